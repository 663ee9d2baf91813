"""The tests of a whole window: every column's values, missing rate and unknown rate, under one false-discovery rate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from scipy.stats import false_discovery_control

from souk.drift.columns import Cell, Column
from souk.drift.reference import Reference
from souk.drift.shapes import Shape
from souk.drift.two_sample import Numbers, Outcome, Shares, proportions


@dataclass(frozen=True)
class Settings:
    """When windows close, and when they alarm.

    Args:
        rows: requests in a window.
        max_age_seconds: a window that began longer ago closes with what it has.
        min_rows: a window with fewer requests is counted and not tested, nor is a column with fewer values.
        consecutive: windows in a row that a feature must drift in before there is an alarm.
        false_alarm_rate: the false-discovery rate over all tests of a window. While nothing drifts that is the chance
            that any test of it rejects, so alarming windows are no more frequent.
    """

    rows: int = 1000
    max_age_seconds: float = 7 * 86_400.0
    min_rows: int = 200
    consecutive: int = 2
    false_alarm_rate: float = 0.01


@dataclass(frozen=True)
class ColumnResult:
    """What a window says of one column.

    Args:
        name: the column.
        rows: of the window that have it, missing values included.
        test: which of its tests has the smallest p-value: `values`, `missing` or `unknown`; "" without any.
        p: that p-value; 1 without a test.
        q: the smallest false-discovery rate at which it counts as drifted (Benjamini and Hochberg 1995).
        effect: of that test, from 0 to 1.
        drifted: whether q is at most the configured rate.
        missing: share of missing values in reference and window.
        unknown: share of categories that the reference lacks, in what a further row of the reference would be expected
            to have (Good 1953: the share of its categories that were met once) and in the window; None for numbers.
        shape: both distributions, for a plot.
        windows: drifted windows in a row, this one included; those that could not be tested are passed over.
    """

    name: str
    rows: int
    test: str
    p: float
    q: float
    effect: float
    drifted: bool
    missing: tuple[float, float]
    unknown: tuple[float, float] | None
    shape: Shape
    windows: int = 0

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` reads them."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ColumnResult:
        """The inverse of `to_json`."""
        pair = values["unknown"]
        plain = {**values, "missing": tuple(values["missing"]), "unknown": pair and tuple(pair)}
        return cls(**{**plain, "shape": Shape.from_json(values["shape"])})


class Detector:
    """The tests of one release, built from its reference sample.

    Args:
        reference: the sample.
        settings: window size and error rate.
    """

    def __init__(self, reference: Reference, settings: Settings) -> None:
        self.release = reference.release
        self.reference_rows, self.reference_kind = reference.rows, reference.kind
        self.settings = settings
        self._columns = [_ColumnTests(c, reference.cells[c.name], settings) for c in reference.columns]

    def test(self, window: Sequence[Mapping[str, Cell]]) -> list[ColumnResult]:
        """Tests a window: the strongest drift first.

        Args:
            window: a mapping of column name to cell for every request; a column may be absent from some.
        """
        measured = [tests.measure([row[tests.name] for row in window if tests.name in row]) for tests in self._columns]
        flat = [outcome.p for column in measured for outcome in column.outcomes.values()]
        adjusted = iter(false_discovery_control(flat, method="bh").tolist() if flat else [])
        results = []
        for column in measured:
            qs = {name: next(adjusted) for name in column.outcomes}
            results.append(column.result(qs, self.settings.false_alarm_rate))
        return sorted(results, key=strength)


def strength(result: ColumnResult) -> tuple[float, float, str]:
    """Sorts the strongest drift first: by p-value, and where that is too small to tell apart, by effect."""
    return result.p, -result.effect, result.name


@dataclass(frozen=True)
class _Measured:
    column: _ColumnTests
    rows: int
    outcomes: dict[str, Outcome]
    missing: float
    unknown: float
    shape: Shape

    def result(self, qs: Mapping[str, float], rate: float) -> ColumnResult:
        test = min(self.outcomes, key=lambda name: (self.outcomes[name].p, -self.outcomes[name].effect), default="")
        best = self.outcomes.get(test, Outcome(1.0, 0.0))
        tests = self.column
        return ColumnResult(
            name=tests.name,
            rows=self.rows,
            test=test,
            p=best.p,
            q=qs.get(test, 1.0),
            effect=best.effect,
            drifted=qs.get(test, 1.0) <= rate,
            missing=(tests.missing / tests.rows, self.missing),
            unknown=None if tests.shares is None else (tests.new / max(1, tests.present), self.unknown),
            shape=self.shape,
        )


class _ColumnTests:
    """The tests of one column; what never varies has none."""

    def __init__(self, column: Column, cells: Sequence[Cell], settings: Settings) -> None:
        self.name = column.name
        self.rows = len(cells)
        self._least = settings.min_rows
        self._reference = [cell for cell in cells if cell is not None]
        self.present = len(self._reference)
        self.missing = self.rows - self.present
        numbers = [float(cell) for cell in self._reference] if column.numeric else []
        categories = [] if column.numeric else [str(cell) for cell in self._reference]
        self._numbers = Numbers(numbers) if numbers else None
        self.shares = None if column.numeric else Shares(categories, settings.rows)
        self.new = sum(count == 1 for count in Counter(categories).values())

    def measure(self, cells: Sequence[Cell]) -> _Measured:
        values = [cell for cell in cells if cell is not None]
        unknown = [cell for cell in values if self.shares and cell not in self.shares.codes]
        outcomes: dict[str, Outcome | None] = {}
        if len(cells) >= self._least:
            outcomes["missing"] = proportions(self.missing, self.rows, len(cells) - len(values), len(cells))
        if len(values) >= self._least:
            outcomes["values"] = self._values(values)
            if self.shares:
                outcomes["unknown"] = proportions(self.new, self.present, len(unknown), len(values))
        return _Measured(
            column=self,
            rows=len(cells),
            outcomes={name: outcome for name, outcome in outcomes.items() if outcome},
            missing=(len(cells) - len(values)) / max(1, len(cells)),
            unknown=len(unknown) / max(1, len(values)),
            shape=Shape.of(self._reference, values),
        )

    def _values(self, values: Sequence[Cell]) -> Outcome | None:
        if self.shares:
            return self.shares.test([str(value) for value in values])
        return self._numbers.test([float(value) for value in values if value is not None]) if self._numbers else None
