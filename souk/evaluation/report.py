"""What people read of an evaluation: the summary, one table, and the report, one page with plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jinja2

from souk.evaluation import plots
from souk.evaluation.gate import Verdict
from souk.evaluation.page import PAGE
from souk.evaluation.protocol import METRICS

HEADERS = {"hr@10": "HR@10", "ndcg@10": "NDCG@10", "mrr": "MRR", "recall@100": "Recall@100"}
SIZES = ("queries", "users")  # beside the models in a slice
OUTCOMES = {
    "promote": "promoted",
    "reject": "rejected",
    "unchanged": "unchanged: the models are those of the served release",
    "not_comparable": "not comparable with the served release",
}


def summary(metrics: Mapping[str, Any], verdict: Verdict) -> str:
    """Markdown: the main table, aligned, with what it rests on and the verdict."""
    rolling, frozen = metrics["protocols"]["rolling"], metrics["protocols"]["frozen"]
    header = ("model", *HEADERS.values(), "coverage")
    rows = [
        (name, *(f"{values[m]['mean']:.4f}" for m in METRICS), f"{values['coverage@10']:.1%}")
        for name, values in rolling["models"].items()
    ]
    primary = metrics["primary"]
    ahead = ", ".join(f"{name} {values[primary]['mean']:.4f}" for name, values in frozen["models"].items())
    return "\n".join(
        [
            *_aligned(header, rows),
            "",
            f"{rolling['queries']} queries of {rolling['users']} users in the test window, each ranking all "
            f"{metrics['items']} items.",
            f"{primary} with everything frozen at the window's start ({frozen['users']} users): {ahead}.",
            *_by_novelty(rolling["slices"], primary),
            "",
            f"Gate: {OUTCOMES[verdict.outcome]}. {verdict.rules[0].detail}",
            "",
        ]
    )


def _by_novelty(slices: Mapping[str, Any], primary: str) -> list[str]:
    """A line for what is new to a user and one for what is not, where users come back to items."""
    return [
        f"{primary} on items {name}: "
        + ", ".join(f"{model} {values[primary]:.4f}" for model, values in slices[name].items() if model not in SIZES)
        + "."
        for name in ("new to the user", "engaged with before")
        if name in slices and slices[name]["queries"]
    ]


def page(metrics: Mapping[str, Any], verdict: Verdict, histories: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """The report: a self-contained HTML page.

    Args:
        metrics: the content of `metrics.json`.
        verdict: the gate's.
        histories: per model, a record of each epoch of its training.
    """
    rolling = metrics["protocols"]["rolling"]
    trained = {name: history for name, history in histories.items() if history}
    calibrated = {name: bins for name, bins in metrics["calibration"].items() if bins}
    pictures = {
        "Metrics beside the baselines": plots.metric_bars(rolling["models"]),
        "Recall": plots.recall_curves(rolling["recall_curve"]),
        "Coverage and popularity": plots.coverage_bars(rolling["models"]),
        "Training": plots.learning_curves(trained) if trained else "",
        "Calibration of the ranker": plots.calibration(calibrated) if calibrated else "",
    }
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(PAGE).render(
        metrics=metrics,
        verdict=verdict,
        outcome=OUTCOMES[verdict.outcome],
        headers=HEADERS,
        pictures={title: svg for title, svg in pictures.items() if svg},
    )


def _aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table whose columns line up in a terminal: names to the left, numbers to the right."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        first, *numbers = cells
        return " | ".join([first.ljust(widths[0]), *(n.rjust(w) for n, w in zip(numbers, widths[1:], strict=True))])

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return [f"| {line(cells)} |" for cells in (header, rule, *rows)]
