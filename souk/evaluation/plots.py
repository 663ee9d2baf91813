"""The report's plots, as SVG that stands inside the page."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from souk.evaluation.protocol import RECALL_AT

STYLE = {"svg.hashsalt": "souk", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
COLORS = (
    "#1b6ca8",
    "#5fb0d6",
    "#c76d2e",
    "#9a9a9a",
    "#c9a227",
    "#6a4c93",
    "#5a8f4e",
    "#b5527a",
    "#3f3f8f",
    "#2e8b8b",
)  # as many as models, at most
STAGE_COLORS = {  # in the order of the stages; see souk.evaluation.stages
    "filtering": "#9a9a9a",
    "retrieval": "#c76d2e",
    "ranking": "#c9a227",
    "reranking": "#6a4c93",
    "kept": "#1b6ca8",
}
FRONTS = {"expected_": "as it is expected", "": "as held-out users saw it"}
LOSSES_OF = {"two_tower": "epoch", "ranker": "judgement"}  # the ranker's held-out users do not judge each epoch
# The loss that the ranker is fitted by has other heads and drawn negatives in it: nothing to hold beside held_out_loss.
CURVES = {"two_tower": ("loss",), "ranker": ("held_out_loss", "ndcg@10")}


@rc_context(STYLE)
def metric_bars(models: Mapping[str, Mapping[str, Any]], metrics: Sequence[str]) -> str:
    """Each of `metrics` of each model, with its interval."""
    figure = Figure(figsize=(9, 0.9 + 0.3 * len(models)), layout="constrained")
    for axes, metric in zip(figure.subplots(1, len(metrics), squeeze=False)[0], metrics, strict=True):
        values = [models[name][metric] for name in models]
        means = [value["mean"] for value in values]
        errors = [[v["mean"] - v["low"] for v in values], [v["high"] - v["mean"] for v in values]]
        axes.barh(range(len(means)), means, xerr=errors, color=COLORS[: len(means)], error_kw={"lw": 0.8})
        axes.set_yticks(range(len(means)), list(models) if axes.get_subplotspec().is_first_col() else [])
        axes.invert_yaxis()
        axes.set_title(metric)
    return _svg(figure)


@rc_context(STYLE)
def recall_curves(curves: Mapping[str, Sequence[float]]) -> str:
    """The share of the targets within the first k, by k."""
    figure, axes = _single("k", "recall@k")
    for (name, values), color in zip(curves.items(), COLORS, strict=False):
        axes.plot(RECALL_AT[: len(values)], values, marker=".", label=name, color=color)
    axes.set_xscale("log")
    axes.legend(frameon=False)
    return _svg(figure)


@rc_context(STYLE)
def popularity_curve(curve: Mapping[str, Any], first: str = "ten") -> str:
    """The share of the exposure that the most popular items get, of each model and of the users' own choices."""
    figure, axes = _single("most popular items, % of the catalogue", f"share of the first {first}")
    for (name, values), color in zip(curve["models"].items(), COLORS, strict=False):
        axes.plot(curve["percent"], values, marker=".", label=name, color=color)
    axes.plot(curve["percent"], curve["data"], color="#222222", ls="--", label="engagements")
    axes.axvline(1, color="#dddddd", lw=1, zorder=0)
    axes.set_xscale("log")
    axes.set_xticks(percents := [0.1, 1, 10, 100], [f"{percent:g}" for percent in percents])
    axes.set_ylim(0, 1.02)
    axes.legend(frameon=False, loc="upper left", fontsize=8)
    return _svg(figure)


@rc_context(STYLE)
def stage_bars(stages: Mapping[str, Mapping[str, Any]]) -> str:
    """Where the positives of each slate go: lost at a stage, or kept."""
    figure = Figure(figsize=(9, 0.8 + 0.4 * len(stages)), layout="constrained")
    axes = figure.subplots()
    start = [0.0] * len(stages)
    for stage, color in STAGE_COLORS.items():
        shares = [found["shares"][stage] for found in stages.values()]
        label = "kept" if stage == "kept" else f"lost in {stage}"
        axes.barh(range(len(shares)), shares, left=start, color=color, label=label, height=0.6)
        for row, (left, share) in enumerate(zip(start, shares, strict=True)):
            if share >= 0.04:
                axes.text(left + share / 2, row, f"{share:.0%}", ha="center", va="center", color="#ffffff")
        start = [left + share for left, share in zip(start, shares, strict=True)]
    axes.set_yticks(range(len(stages)), list(stages))
    axes.set_ylim(len(stages) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.set_xticks([])
    axes.legend(frameon=False, ncols=len(STAGE_COLORS), loc="upper center", bbox_to_anchor=(0.5, -0.05))
    return _svg(figure)


@rc_context(STYLE)
def learning_curves(histories: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """What can be compared along each model's fit, by what it was recorded of (LOSSES_OF), each on an axis of its own;
    a dotted line where the next stage begins, or the refresh."""
    figure = Figure(figsize=(7, 2.4), layout="constrained")
    for axes, (name, history) in zip(
        figure.subplots(1, len(histories), squeeze=False)[0], histories.items(), strict=True
    ):
        start = 1 - int("stage" in history[0])  # what the ranker begins with is judged, too
        parts = [(entry.get("stage", 0), entry.get("refresh", 0)) for entry in history]
        for number in range(1, len(parts)):
            if parts[number] != parts[number - 1]:
                axes.axvline(start + number - 0.5, color="#bbbbbb", ls=":", lw=1)
        own = axes
        lines: list[Any] = []
        for key, color in zip(CURVES[name], COLORS[::2], strict=False):
            points = [(number, entry[key]) for number, entry in enumerate(history, start) if key in entry]
            own = axes.twinx() if lines else axes
            lines += own.plot(*zip(*points, strict=True), marker=".", label=key, color=color) if points else []
        axes.set_title(name)
        axes.set_xlabel(LOSSES_OF[name])
        own.legend(handles=lines, frameon=False)
    return _svg(figure)


@rc_context(STYLE)
def pareto(front: Sequence[Mapping[str, float]]) -> str:
    """What each weight of satisfaction costs and brings, expected and as held-out users saw it, the chosen filled."""
    figure = Figure(figsize=(6, 2.8), layout="constrained")
    for axes, (prefix, title) in zip(figure.subplots(1, 2), FRONTS.items(), strict=True):
        points = [point for point in front if f"{prefix}ndcg@10" in point]  # trainings of before expected nothing
        taken, pleased = ([point[f"{prefix}{name}ndcg@10"] for point in points] for name in ("", "satisfied_"))
        axes.plot(taken, pleased, color=COLORS[1], lw=1)
        colors = [COLORS[0] if point["chosen"] else "#ffffff" for point in points]
        axes.scatter(taken, pleased, c=colors, edgecolors=COLORS[0], s=26, zorder=2)
        for x, y, point in zip(taken, pleased, points, strict=True):
            axes.annotate(f"{point['weight']:g}", (x, y), (4, 4), textcoords="offset points", fontsize=8)
        axes.set_title(title)
        axes.set_xlabel("NDCG@10 of what was taken")
        axes.set_ylabel("NDCG@10 of what satisfied")
        axes.locator_params(nbins=4)
    return _svg(figure)


@rc_context(STYLE)
def reranking(found: Mapping[str, Any], places: int) -> str:
    """Accuracy with its interval beside the places of the most popular, of each set of controls."""
    figure, axes = _single("places of the most popular 1%", f"NDCG@{places}")
    for (name, values), color in zip(found.items(), COLORS, strict=False):
        own = values[f"ndcg@{places}"]
        errors = [[own["mean"] - own["low"]], [own["high"] - own["mean"]]]
        axes.errorbar(values[f"top1_share@{places}"]["mean"], own["mean"], errors, marker="o", label=name, color=color)
    axes.locator_params(nbins=5)
    axes.legend(frameon=False, fontsize=8)
    return _svg(figure)


@rc_context(STYLE)
def calibration(heads: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """Predicted against observed shares, a point for each tenth of the predictions."""
    figure = Figure(figsize=(6, 2.8), layout="constrained")
    for axes, (name, bins) in zip(figure.subplots(1, max(1, len(heads)), squeeze=False)[0], heads.items(), strict=True):
        predicted, observed = [b["predicted"] for b in bins], [b["observed"] for b in bins]
        top = max([*predicted, *observed, 1e-9])
        axes.plot([0, top], [0, top], color="#bbbbbb", lw=1)
        axes.plot(predicted, observed, marker="o", ms=4, color=COLORS[0])
        axes.locator_params(nbins=5)
        axes.set_title(name)
        axes.set_xlabel("predicted")
        axes.set_ylabel("observed")
    return _svg(figure)


def _single(x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(5, 2.8), layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    return figure, axes


def _svg(figure: Figure) -> str:
    """The drawing without the XML header, the same bytes for the same data."""
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()[text.getvalue().index("<svg") :]
