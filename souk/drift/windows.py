"""Requests become windows, windows are tested, and a feature that drifts in enough of them in a row is an alarm."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from souk.drift.detector import ColumnResult, Detector
from souk.drift.rows import Row
from souk.drift.state import OpenWindow, State


@dataclass(frozen=True)
class Window:
    """A closed window.

    Args:
        number: from 1.
        rows: requests in it.
        began: the time of its earliest request, UTC epoch milliseconds.
        ended: of its latest.
        tested: False where it had too few requests.
        alarm: the features that drifted in enough windows in a row, the strongest first; a feature that this window
            could not be tested for stays among them.
        columns: the results, the strongest drift first; empty where it was not tested.
    """

    number: int
    rows: int
    began: int
    ended: int
    tested: bool
    alarm: tuple[str, ...]
    columns: tuple[ColumnResult, ...]

    @property
    def drifted(self) -> tuple[str, ...]:
        """The columns that drifted in this window, the strongest first."""
        return tuple(column.name for column in self.columns if column.drifted)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Window:
        """From what a state keeps."""
        columns = tuple(ColumnResult.from_json(column) for column in values["columns"])
        return cls(**{**values, "alarm": tuple(values["alarm"]), "columns": columns})


class Monitor:
    """A detector with its state.

    Args:
        detector: the tests.
        state: of the same release.
    """

    def __init__(self, detector: Detector, state: State) -> None:
        self.detector = detector
        self.state = state

    def take(self, rows: Iterable[Row], counts: Mapping[str, int], file: str = "") -> list[Window]:
        """Takes requests, all or none of them; returns the windows that they close.

        Args:
            rows: the requests, in order.
            counts: totals to add to, as `other_release`; looked at after the last row.
            file: the file that they come from; one that was taken before is passed over.
        """
        closed: list[Window] = []
        with self.state.change():
            if file and not self.state.take_file(file):
                return []
            totals: Counter[str] = Counter()
            opened = self.state.open_window()
            for row in rows:
                if self._old(opened, row.time):
                    closed.append(self._close(opened))
                    opened = OpenWindow()
                if not self.state.add(row):
                    totals["repeated"] += 1
                    continue
                totals[f"rows_{row.kind}"] += 1
                totals["malformed"] += row.malformed
                opened = opened.with_row(row)
                if opened.rows >= self.detector.settings.rows:
                    closed.append(self._close(opened))
                    opened = OpenWindow()
            totals.update(counts)
            for name, more in totals.items():
                self.state.count(name, more)
        return closed

    def close_due(self, now: int) -> list[Window]:
        """Closes the open window if it is older than it may become, or has all its requests since they became fewer.

        Args:
            now: UTC epoch milliseconds.
        """
        with self.state.change():
            opened = self.state.open_window()
            due = self._old(opened, now) or opened.rows >= self.detector.settings.rows
            return [self._close(opened)] if due else []

    def last(self) -> list[Window]:
        """The last closed windows, the oldest first."""
        return [Window.from_json(window) for window in self.state.windows()]

    def _old(self, opened: OpenWindow, now: int) -> bool:
        return bool(opened.rows) and now - opened.began > 1000 * self.detector.settings.max_age_seconds

    def _close(self, opened: OpenWindow) -> Window:
        settings = self.detector.settings
        tested = opened.rows >= settings.min_rows
        columns = self._counted(self.detector.test(self.state.cells())) if tested else []
        alarming, enough = self._alarming(), [c for c in columns if c.windows >= settings.consecutive]
        alarm = [column.name for column in enough if column.drifted or column.name in alarming]
        content = {"rows": opened.rows, "began": opened.began, "ended": opened.ended, "tested": tested, "alarm": alarm}
        number = self.state.close_window(content | {"columns": [column.to_json() for column in columns]})
        self.state.count("windows")
        self.state.count("untested_windows", not tested)
        self.state.count("drifted_windows", any(column.drifted for column in columns))
        self.state.count("alarms", bool(alarm))
        window = Window(number, opened.rows, opened.began, opened.ended, tested, tuple(alarm), tuple(columns))
        if not alarming.issuperset(alarm):
            self.state.put_untold([*self.state.untold(), alarm_record(self.detector.release, window)])
        return window

    def _alarming(self) -> set[str]:
        """The features whose alarm goes on: those of the last tested window."""
        tested = [window for window in self.state.windows() if window["tested"]]
        return set(tested[-1]["alarm"]) if tested else set()

    def _counted(self, columns: Sequence[ColumnResult]) -> list[ColumnResult]:
        """The results with how many windows in a row drifted; of a column, one without a test is passed over."""
        before: Mapping[str, int] = json.loads(self.state.get("in_a_row", "{}"))
        counted = []
        for column in columns:
            kept = 0 if column.test and not column.drifted else before.get(column.name, 0)
            counted.append(replace(column, windows=kept + column.drifted))
        in_a_row = {column.name: column.windows for column in counted if column.windows}
        self.state.put("in_a_row", json.dumps(in_a_row))
        return counted


def alarm_record(release: str, window: Window) -> dict[str, Any]:
    """What an alarm tells: the content of `alarm.json`."""
    features = [
        {
            "feature": c.name,
            "test": c.test,
            "p": c.p,
            "q": c.q,
            "effect": c.effect,
            "windows": c.windows,
            "missing": c.missing[1],
            "unknown": c.unknown[1] if c.unknown else 0.0,
        }
        for c in window.columns
        if c.name in window.alarm and c.drifted  # not one that goes on and could not be tested
    ]
    times = {"began": window.began, "ended": window.ended}
    return {"release": release, "window": window.number, "rows": window.rows, **times, "features": features}
