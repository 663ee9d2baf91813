"""The report's plots: reference against window, as SVG that stands inside the page."""

from __future__ import annotations

import io

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
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
    axes = figure.subplots(1, 2 if rates else 1, squeeze=False, width_ratios=(4, 1) if rates else None)[0]
    _values(axes[0], column)
    if rates:
        places = np.arange(len(rates))
        axes[1].bar(places - 0.2, [pair[0] for pair in rates.values()], 0.4, color=REFERENCE)
        axes[1].bar(places + 0.2, [pair[1] for pair in rates.values()], 0.4, color=WINDOW)
        axes[1].set_xticks(places, list(rates))
        axes[1].yaxis.set_major_formatter(lambda value, _: f"{value:.1%}")
    return _svg(figure)


def _values(axes: Axes, column: ColumnResult) -> None:
    shape = column.shape
    axes.set_ylabel("share")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    if shape.edges:
        axes.stairs(shape.reference, shape.edges, color=REFERENCE, fill=True, alpha=0.9, label="reference")
        axes.stairs(shape.window, shape.edges, color=WINDOW, lw=1.6, label="window")
        axes.set_xlabel(_literal(column.name))
    elif shape.labels:
        places = np.arange(len(shape.labels))
        axes.bar(places - 0.2, shape.reference, 0.4, color=REFERENCE, label="reference")
        axes.bar(places + 0.2, shape.window, 0.4, color=WINDOW, label="window")
        axes.set_xticks(places, [_literal(label) for label in shape.labels])
        if max(map(len, shape.labels)) * len(shape.labels) > 50:
            axes.tick_params(axis="x", rotation=30)
    if shape.edges or shape.labels:
        axes.legend(frameon=False)


def _rates(column: ColumnResult) -> dict[str, tuple[float, float]]:
    """Those that are not zero in both samples."""
    rates = {"missing": column.missing, "unknown": column.unknown or (0.0, 0.0)}
    return {name: pair for name, pair in rates.items() if max(pair) > 0}


def _literal(label: str) -> str:
    """A category as it is: matplotlib would read what stands between dollars as mathematics."""
    short = label if len(label) <= LABEL else f"{label[: LABEL - 1]}…"
    return short.replace("$", r"\$")


def _svg(figure: Figure) -> str:
    """The drawing without the XML header, the same bytes for the same data."""
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()[text.getvalue().index("<svg") :]
