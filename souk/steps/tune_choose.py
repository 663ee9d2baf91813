"""The best of all trials, beside the config as it is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from souk.progress import report
from souk.tuning.page import page
from souk.tuning.trials import choose, read_trial, table


def tune_choose(results: Sequence[str], chosen: str, summary_md: str, page_html: str) -> dict[str, float]:
    """Chooses on the validation window, and tells of all trials.

    Args:
        results: the files of the trials.
        chosen: output file, JSON: `number`, `settings`, `gain` with `low` and `high`, `certain`, `verdict`.
        summary_md: output file, the table.
        page_html: output file, plots and table.

    Returns:
        `trials`, `failed`, `ndcg@10`, and `gain`, `low`, `high` over trial 0 where it has a figure.
    """
    trials = sorted((read_trial(path) for path in results), key=lambda trial: trial.number)
    choice = choose(trials)
    for path in (chosen, summary_md, page_html):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    gain = {"gain": choice.gain.mean, "low": choice.gain.low, "high": choice.gain.high} if choice.gain else {}
    said = {"certain": choice.certain, "verdict": choice.verdict, "level": choice.level, **gain}
    values = {"number": choice.best.number, "settings": dict(choice.best.settings), **said}
    Path(chosen).write_text(json.dumps(values, indent=1), encoding="utf-8")
    text = table(trials, choice)
    Path(summary_md).write_text(text, encoding="utf-8")
    Path(page_html).write_text(page(trials, choice, text), encoding="utf-8")
    report(choice.verdict)
    failed = sum(not trial.gains for trial in trials)
    return {"trials": float(len(trials)), "failed": float(failed), "ndcg@10": choice.best.score, **gain}
