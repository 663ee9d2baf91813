"""What a person reads to decide: one page, the drifted features first, each with a plot."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import jinja2

from souk import outputs
from souk.drift.detector import ColumnResult
from souk.drift.page import PAGE
from souk.drift.plots import distributions
from souk.drift.two_sample import shown
from souk.drift.windows import Monitor, Window
from souk.folders import whole_file


def write_report(monitor: Monitor, path: str | Path) -> int:
    """Writes the report of the last tested window; returns its number, 0 where no window was tested: no file then.

    Raises:
        SoukError: another file stands there.
    """
    outputs.free_file(path, outputs.DRIFT_REPORT, "--report")
    windows = monitor.last()
    tested = [window for window in windows if window.tested]
    if not tested:
        return 0
    with whole_file(Path(path)) as file:
        file.write_text(page(monitor, tested[-1], windows), encoding="utf-8")
    return tested[-1].number


def page(monitor: Monitor, window: Window, windows: Sequence[Window]) -> str:
    """The report: a self-contained HTML page.

    Args:
        monitor: whose windows they are.
        window: the one to report.
        windows: the last ones, the oldest first.
    """
    drifted = [column for column in window.columns if column.drifted]
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["shown"] = shown
    return environment.from_string(PAGE).render(
        release=monitor.detector.release,
        window=window,
        verdict="alarm" if window.alarm else "drift" if drifted else "quiet",
        headline=headline(window),
        began=_moment(window.began),
        ended=_moment(window.ended),
        reference_rows=monitor.detector.reference_rows,
        reference_kind=monitor.detector.reference_kind,
        settings=monitor.detector.settings,
        drifted=drifted,
        sentences={column.name: sentence(column) for column in drifted},
        pictures={column.name: distributions(column) for column in drifted},
        history=[
            {"number": w.number, "rows": w.rows, "ended": _moment(w.ended), "result": headline(w)}
            for w in reversed(windows)
        ],
    )


def headline(window: Window) -> str:
    """The result of a window in one line."""
    if window.alarm:
        return f"Alarm: {', '.join(window.alarm)}"
    if window.drifted:
        return f"Drift, not yet an alarm: {', '.join(window.drifted)}"
    return "Quiet" if window.tested else "Not tested: too few requests"


def sentence(column: ColumnResult) -> str:
    """What has changed, in words, by the test that is the surest of it."""
    shape = column.shape
    if column.test == "missing":
        return f"Missing in {column.missing[1]:.1%} of the requests, {column.missing[0]:.1%} before."
    if column.test == "unknown" and column.unknown:
        expected, found = column.unknown
        return f"{found:.1%} are in categories that the reference does not have ({expected:.1%} expected)."
    if shape.labels:
        changes = zip(shape.labels, shape.reference, shape.window, strict=True)
        label, before, now = max(changes, key=lambda change: abs(change[2] - change[1]))
        return f"{label}: {before:.1%} before, {now:.1%} now."
    if shape.medians:
        return f"Median {shape.medians[0]:.4g} before, {shape.medians[1]:.4g} now."
    return "Its distribution has changed."


def _moment(time: int) -> str:
    return datetime.fromtimestamp(time / 1000, UTC).strftime("%Y-%m-%d %H:%M")
