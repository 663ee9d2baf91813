"""The page of a search: every setting's trials, and the table."""

from __future__ import annotations

import html
import io
from collections.abc import Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from souk.tuning.trials import Choice, Trial

STYLE = {"svg.hashsalt": "souk", "font.size": 8, "axes.spines.top": False, "axes.spines.right": False}
COLUMNS = 3
WHO = (
    "NDCG@10 of slates of Souk's own models as they would be served, re-ranked where the section rerank says so, for a "
    "fifth of the window's users: no ranker was fitted on them, and no trial chose its passes or its weights by them."
)


def page(trials: Sequence[Trial], choice: Choice, table: str) -> str:
    """An HTML page that stands alone."""
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ") and "---" not in line]
    cells = [[html.escape(cell.replace("**", "")) for cell in row] for row in rows]
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in cells)
    return (
        '<!doctype html><meta charset="utf-8"><title>souk tune</title>'
        "<style>body{font-family:sans-serif;margin:2em}td{padding:2px 8px;border-bottom:1px solid #ddd}</style>"
        f"<h1>Trials on the validation window</h1><p>{html.escape(choice.verdict)}</p><p>{WHO}</p>"
        f"{plots(trials, choice)}<table>{body}</table>\n"
    )


@rc_context(STYLE)
def plots(trials: Sequence[Trial], choice: Choice) -> str:
    """NDCG@10 against each setting, as SVG: the config as it is in grey, the chosen trial in orange."""
    told = [trial for trial in trials if trial.gains]
    names = list(told[0].settings)
    lines = -(-len(names) // COLUMNS)
    figure = Figure(figsize=(9, 2 * lines), layout="constrained")
    for axes, name in zip(figure.subplots(lines, COLUMNS, squeeze=False).flat, names, strict=False):
        values = [_place(trial.settings[name]) for trial in told]
        colors = [
            "#c76d2e" if t.number == choice.best.number else "#9a9a9a" if not t.number else "#1b6ca8" for t in told
        ]
        axes.scatter(values, [trial.score for trial in told], c=colors, s=16)
        axes.set_title(name)
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()[text.getvalue().index("<svg") :]


def _place(value: Any) -> Any:
    return str(list(value)) if isinstance(value, list | tuple) else value
