"""The report's plots: reference against window, as SVG that stands inside the page."""

from __future__ import annotations

import io

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from souk.drift.detector import ColumnResult

STYLE = {"svg.hashsalt": "souk", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
REFERENCE, WINDOW = "#9a9a9a", "#c76d2e"
LABEL = 28  # characters of a category


@rc_context(STYLE)
def distributions(column: ColumnResult) -> str:
    """Shares of both samples, over bins or categories, and the rates that have tests of their own."""
    rates = _rates(column)
    figure = Figure(figsize=(8, 2.9), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(4, 1))
    shape = column.shape
    if shape.edges:
        for values, color, name in ((shape.reference, REFERENCE, "reference"), (shape.window, WINDOW, "window")):
            left.stairs(values, shape.edges, color=color, fill=color == REFERENCE, alpha=0.9, lw=1.6, label=name)
        left.set_xlabel(column.name)
    elif shape.labels:
        places = np.arange(len(shape.labels))
        left.bar(places - 0.2, shape.reference, 0.4, color=REFERENCE, label="reference")
        left.bar(places + 0.2, shape.window, 0.4, color=WINDOW, label="window")
        turned = {"rotation": 30, "ha": "right"} if max(map(len, shape.labels)) * len(shape.labels) > 50 else {}
        left.set_xticks(places, [_literal(label) for label in shape.labels], **turned)
    left.set_ylabel("share")
    left.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    if shape.edges or shape.labels:
        left.legend(frameon=False)
    places = np.arange(len(rates))
    right.bar(places - 0.2, [pair[0] for pair in rates.values()], 0.4, color=REFERENCE)
    right.bar(places + 0.2, [pair[1] for pair in rates.values()], 0.4, color=WINDOW)
    right.set_xticks(places, list(rates))
    right.set_ylim(0, max(0.02, 1.1 * max(max(pair) for pair in rates.values())))
    right.yaxis.set_major_formatter(lambda value, _: f"{value:.1%}")
    return _svg(figure)


def _rates(column: ColumnResult) -> dict[str, tuple[float, float]]:
    return {"missing": column.missing} | ({"unknown": column.unknown} if column.unknown else {})


def _literal(label: str) -> str:
    """A category as it is: matplotlib would read what stands between dollars as mathematics."""
    short = label if len(label) <= LABEL else f"{label[: LABEL - 1]}…"
    return short.replace("$", r"\$")


def _svg(figure: Figure) -> str:
    """The drawing without the XML header, the same bytes for the same data."""
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()[text.getvalue().index("<svg") :]
