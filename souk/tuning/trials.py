"""What came of trials, and which of them to take."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from souk.errors import SoukError
from souk.metrics import LEAST_USERS, Interval, bootstrap

LEVEL = 0.95
SAMPLES = 1000  # at LEVEL; as many times more as the bounds lie further out
SEED = 17


@dataclass(frozen=True)
class Trial:
    """One setting that was tried.

    Args:
        number: 0 is the config as it is.
        settings: `section.key` to value.
        seconds: of wall time.
        error: why there is no figure, "" where there is one.
        metrics: what towers and ranker reported.
        gains: by user, the mean NDCG@10 of the slates of the validation window; of users that nothing of the trial was
            fitted on or chosen by.
    """

    number: int
    settings: Mapping[str, Any]
    seconds: float = 0.0
    error: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    gains: Mapping[str, float] = field(default_factory=dict)

    @property
    def score(self) -> float:
        """The mean over users; NaN without a figure."""
        return float(np.mean(list(self.gains.values()))) if self.gains else math.nan

    def write(self, path: str | Path) -> None:
        """Writes it as JSON."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(json.dumps(asdict(self)), encoding="utf-8")


def read_trial(path: str | Path) -> Trial:
    """Reads what `Trial.write` wrote."""
    return Trial(**json.loads(Path(path).read_text(encoding="utf-8")))


@dataclass(frozen=True)
class Choice:
    """The trial to take.

    Args:
        best: of the highest score; of equal ones the first.
        gain: its mean score over that of trial 0, paired by user; None where trial 0 has no figure.
        level: of the interval: 0.95 for all trials together, by Bonferroni, because the best of many looks better than
            it is.
        users: how many the gain is of.
    """

    best: Trial
    gain: Interval | None
    level: float
    users: int = 0

    @property
    def certain(self) -> bool:
        """Whether the gain is above zero with its whole interval, and of users enough for an interval."""
        return self.gain is not None and self.gain.low > 0 and self.users >= LEAST_USERS

    @property
    def verdict(self) -> str:
        """The gain in words, and what follows from it."""
        if self.gain is None:
            return "Warning: the config as it is gave no figure to compare with."
        if not self.best.number:
            return "Nothing was better than the config as it is."
        gain = f"{self.gain.mean:+.4f} ({self.gain.low:+.4f} to {self.gain.high:+.4f}, {self.level:.1%})"
        if self.certain:
            return f"NDCG@10 {gain} over the config as it is."
        if self.users < LEAST_USERS:
            few = f"of {self.users} users, and fewer than {LEAST_USERS} tell nothing for certain"
            return f"Warning: NDCG@10 {gain} over the config as it is: {few}. Enlarge split.validation."
        return f"Warning: NDCG@10 {gain} over the config as it is: not certainly above zero. It may be chance."


def choose(trials: Sequence[Trial]) -> Choice:
    """The best trial on the validation window.

    Raises:
        SoukError: no trial has a figure.
    """
    told = sorted((trial for trial in trials if trial.gains), key=lambda trial: (-trial.score, trial.number))
    if not told:
        first = next((trial.error for trial in trials), "there was none")
        raise SoukError("a trial that ends with a figure", f"none of {len(trials)}; the first: {first}", "Mend it.")
    best, usual = told[0], next((trial for trial in told if not trial.number), None)
    others = max(1, len(told) - 1)
    level = 1 - (1 - LEVEL) / others
    if not usual:
        return Choice(best, None, level)
    users = sorted(best.gains.keys() & usual.gains.keys())
    differences = np.array([best.gains[user] - usual.gains[user] for user in users], np.float64)
    return Choice(best, bootstrap(differences, SAMPLES * others, SEED, level), level, len(users))


def table(trials: Sequence[Trial], choice: Choice) -> str:
    """All trials as a Markdown table, the best first, those without a figure last."""
    names = [name for trial in trials[:1] for name in trial.settings]
    order = sorted(trials, key=lambda trial: (not trial.gains, -trial.score if trial.gains else 0, trial.number))
    lines = [
        "| trial | ndcg@10 | seconds | " + " | ".join(names) + " |",
        "| --- " * (3 + len(names)) + "|",
    ]
    for trial in order:
        mark = " (config)" if not trial.number else ""
        mark += " **chosen**" if trial.number == choice.best.number else ""
        score = f"{trial.score:.4f}" if trial.gains else trial.error.replace("|", "/").replace("\n", " ")
        values = " | ".join(
            f"{value:g}" if isinstance(value, float) else str(value) for value in trial.settings.values()
        )
        lines.append(f"| {trial.number}{mark} | {score} | {trial.seconds:.0f} | {values} |")
    return "\n".join([*lines, "", choice.verdict, ""])
