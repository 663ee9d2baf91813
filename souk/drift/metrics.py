"""Prometheus metrics of the detector, read from its state when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from souk.drift.detector import ColumnResult
from souk.drift.windows import Monitor

TOTALS = {
    "windows": "Closed windows",
    "untested_windows": "Windows with too few requests to test",
    "drifted_windows": "Windows in which a feature drifted",
    "alarms": "Windows that were an alarm",
    "refused": "Bodies that could not be read",
    "malformed": "Values of a wrong type, taken as missing",
    "repeated": "Requests that the open window had already",
    "other_release": "Records of other releases, passed over",
    "calls_failed": "Times that an alarm could not be told to --on-alarm",
}
KINDS = ("record", "request", "response")
FEATURE_GAUGES: dict[str, tuple[str, Callable[[ColumnResult], float]]] = {
    "p_value": ("Smallest p-value of the feature's tests in the last tested window", lambda c: c.p),
    "q_value": ("The same, adjusted for the number of tests", lambda c: c.q),
    "effect": ("Distance between reference and window, from 0 to 1", lambda c: c.effect),
    "drifted": ("1 where the feature drifted in the last tested window", lambda c: float(c.drifted)),
    "consecutive_windows": ("Drifted windows in a row", lambda c: float(c.windows)),
    "missing_rate": ("Share of missing values in the last tested window", lambda c: c.missing[1]),
    "unknown_rate": ("Share of unknown categories in the last tested window", lambda c: (c.unknown or (0.0, 0.0))[1]),
}


class DriftMetrics(Collector):
    """The totals of a state and the last tested window."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor

    def collect(self) -> Iterator[Metric]:
        """Totals, then the gauges of each feature."""
        with self._monitor.state.reading():
            totals, opened = self._monitor.state.totals(), self._monitor.state.open_window()
            tested = [window for window in self._monitor.last() if window.tested]
        for name, text in TOTALS.items():
            yield CounterMetricFamily(f"souk_drift_{name}", text, value=totals.get(name, 0))
        rows = CounterMetricFamily("souk_drift_rows", "Requests taken, by source", labels=["source"])
        for kind in KINDS:
            rows.add_metric([kind], totals.get(f"rows_{kind}", 0))
        yield rows
        yield GaugeMetricFamily("souk_drift_open_rows", "Requests in the open window", value=opened.rows)
        if not tested:
            return
        last = tested[-1]
        alarm = GaugeMetricFamily("souk_drift_alarm", "1 where the feature's alarm goes on", labels=["feature"])
        for column in last.columns:
            alarm.add_metric([column.name], column.name in last.alarm)
        yield alarm
        yield GaugeMetricFamily(
            "souk_drift_last_window_timestamp_seconds",
            "The latest request of the last tested window, UTC epoch",
            value=last.ended / 1000,
        )
        for name, (text, read) in FEATURE_GAUGES.items():
            family = GaugeMetricFamily(f"souk_drift_{name}", text, labels=["feature"])
            for column in last.columns:
                family.add_metric([column.name], read(column))
            yield family
