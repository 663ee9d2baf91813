"""The tests of one column against slower plain ways, and of a whole window against what is planted."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from souk.config import Objectives
from souk.drift.columns import Column, columns_of, fill
from souk.drift.detector import Detector, Settings
from souk.drift.impressions import records
from souk.drift.reference import Reference
from souk.drift.rows import RowReader
from souk.drift.two_sample import Numbers, Shares, pooled, proportions
from souk.errors import SoukError
from tests.drift.shop import NOON, RELEASE, SMALL, SPEC, cells, moved, record, some, traffic, write_part, write_release


@pytest.fixture(scope="module")
def detector(release: Path) -> Detector:
    return Detector(Reference.load(release, ("query_hour", "query_weekday")), SMALL)


def test_the_effect_of_numbers_is_the_largest_gap_of_their_distributions() -> None:
    found = Numbers([0.0] * 50 + [1.0] * 50).test([0.0] * 20 + [1.0] * 80)
    assert found.effect == pytest.approx(0.3)
    assert 1e-5 < found.p < 1e-3


def test_equal_numbers_are_ties_although_a_window_has_more_digits() -> None:
    assert Numbers([0.1] * 500).test([0.1] * 200).p == 1.0


def test_the_chi_square_of_shares_is_that_of_the_table() -> None:
    found = Shares(["a"] * 600 + ["b"] * 400, rows=100).test(["a"] * 40 + ["b"] * 60)
    table = np.array([[600, 400], [40, 60]])
    expected = table.sum(1, keepdims=True) * table.sum(0) / table.sum()
    statistic = ((np.abs(table - expected) - 0.5) ** 2 / expected).sum()  # Yates, as with one degree of freedom
    assert found is not None and found.p == pytest.approx(math.erfc(math.sqrt(statistic / 2)), rel=1e-4)
    assert found.effect == pytest.approx(0.2)


def test_an_unseen_category_leaves_the_shares_of_the_others_alone() -> None:
    shares = Shares(["a"] * 600 + ["b"] * 400, rows=100)
    assert shares.test(["a"] * 40 + ["b"] * 60 + ["new"] * 50) == shares.test(["a"] * 40 + ["b"] * 60)
    assert shares.test(["new"] * 50) is None


def test_rare_categories_share_a_code_until_it_is_no_longer_rare() -> None:
    counts = Counter({"a": 600, "b": 300, "c": 60, "d": 20, "e": 10, "f": 10})
    codes = pooled(counts, rows=100)
    assert [codes[name] for name in "ab"] == [0, 1]
    assert len({codes[name] for name in "cdef"}) == 1, "d, e and f would hold 4 of 100 rows, so c joins them"


@given(st.dictionaries(st.text(max_size=3), st.integers(1, 500), min_size=1, max_size=30), st.integers(1, 2000))
def test_every_code_is_frequent_enough_or_the_only_one(counts: dict[str, int], rows: int) -> None:
    codes = pooled(Counter(counts), rows)
    assert codes.keys() == counts.keys()
    totals: Counter[int] = Counter()
    for name, code in codes.items():
        totals[code] += counts[name]
    assert len(totals) <= 2 or min(totals.values()) * rows >= 5 * sum(counts.values())


def test_one_category_only_has_no_shares_to_compare() -> None:
    assert Shares(["a"] * 100, rows=100).test(["a"] * 50) is None


def test_shares_are_fishers_exact_test() -> None:
    found = proportions(1, 10, 9, 10)  # the tea-tasting kind of table, summed by hand
    ways = math.comb(20, 10)
    tail = sum(math.comb(10, k) * math.comb(10, 10 - k) for k in (0, 1)) * 2
    assert found is not None and found.p == pytest.approx(tail / ways)
    assert found.effect == pytest.approx(0.8)


@pytest.mark.parametrize(("a", "b"), [(0, 0), (10, 20)])
def test_shares_that_never_vary_are_no_test(a: int, b: int) -> None:
    assert proportions(a, 10, b, 20) is None


def test_columns_follow_the_specification() -> None:
    names = {column.name: column.numeric for column in columns_of(SPEC)}
    assert names["user_age"] and not names["user_region"] and not names["query_hour"]
    assert names["user_tags.length"] and not names["user_tags.first"]
    assert not [name for name in names if name.startswith("user_photo")]
    assert names["slate_satisfied"]


def test_a_further_objective_is_a_column_that_records_and_answers_fill(tmp_path: Path) -> None:
    """Also from a log with part files of before it was asked for: there it is missing."""
    given = {rule: {"events": ["click"]} for rule in SPEC.objectives.names} | {
        "kept": {"events": ["click"], "weight": 0.5}
    }
    spec = replace(SPEC, objectives=Objectives.model_validate(given))
    reader = RowReader(Reference(RELEASE, spec, columns_of(spec), {}, 0))
    before = write_part(tmp_path, "w-0", [record(traffic(1, 0)[0], 0)])
    table = pq.read_table(before).append_column("kept", pa.array([[0.5, 0.75]], pa.list_(pa.float32())))
    pq.write_table(table, tmp_path / "later.parquet")
    paths = (before, tmp_path / "later.parquet")
    parts = [batch for path in paths for batch in records(path, RELEASE, reader.objectives)]
    found = [reader.records(part, NOON)[0][0].cells["slate_kept"] for part in parts]
    assert found == [None, 0.625]
    items = [{"score": 0.5, "scores": {"engaged": 0.4, "satisfied": 0.3, "kept": kept}} for kept in (0.25, 0.5)]
    [row], _ = reader.response({"predictions": [{"request_id": "r", "items": items}]}, "", NOON)
    assert row.cells["slate_kept"] == 0.375


def test_an_excluded_feature_that_does_not_exist_is_named() -> None:
    with pytest.raises(SoukError, match="Did you mean 'user_region'"):
        columns_of(SPEC, ["user_regio"])


@pytest.mark.parametrize(
    ("numeric", "part", "value", "cell"),
    [
        (True, "", 3, 3.0),
        (True, "", math.nan, None),
        (True, "", None, None),
        (False, "", "x", "x"),
        (False, "", 7, "7"),
        (False, "", "", None),
        (True, "length", ["a", "b"], 2.0),
        (True, "length", None, 0.0),
        (False, "first", ["a", "b"], "a"),
        (False, "first", [], None),
    ],
)
def test_cells(numeric: bool, part: str, value: object, cell: object) -> None:
    assert Column("x", "x", numeric, part).cell(value) == cell  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("numeric", "part", "value"),
    [
        (True, "", "3"),
        (True, "", True),
        (True, "", math.inf),
        (True, "", 1e31),
        (False, "", 1.5),
        (False, "", ["x"]),
        (False, "", True),
        (True, "length", "abc"),
    ],
)
def test_mixed_types_count_as_missing_and_are_counted(numeric: bool, part: str, value: object) -> None:
    column = Column("x", "x", numeric, part)  # type: ignore[arg-type]
    assert fill([column], {"x": value}) == ({"x": None}, 1)


def test_an_absent_feature_is_not_a_missing_value() -> None:
    assert fill([Column("x", "x", True)], {"y": 1}) == ({}, 0)


@pytest.mark.parametrize(
    ("planted", "first", "test"),
    [
        ({"user_region": some(0.3, "west")}, "user_region", "values"),
        ({"context_device": some(0.3, "desktop")}, "context_device", "values"),
        ({"user_age": moved(8)}, "user_age", "values"),
        ({"slate_satisfied": moved(-0.15)}, "slate_satisfied", "values"),
        ({"context_basket": some(0.1, math.nan)}, "context_basket", "missing"),
        ({"user_age": math.nan}, "user_age", "missing"),
        ({"user_region": some(0.1, "moon")}, "user_region", "unknown"),
        ({"user_tags": some(0.5, ["z"])}, "user_tags.first", "unknown"),
        ({"query_since_last": 5.0}, "query_since_last", "values"),
    ],
)
def test_what_is_planted_comes_first(detector: Detector, planted: dict[str, object], first: str, test: str) -> None:
    results = detector.test(cells(traffic(400, 7, **planted)))
    assert (results[0].name, results[0].test, results[0].drifted) == (first, test, True)


def test_a_stationary_window_is_quiet_although_rare_brands_are_new_to_the_reference(detector: Detector) -> None:
    results = detector.test(cells(traffic(400, 8)))
    assert not [r.name for r in results if r.drifted]
    brand = next(r for r in results if r.name == "user_brand")
    assert brand.unknown is not None and brand.missing == (0.0, 0.0)
    age = next(r for r in results if r.name == "user_age")
    assert age.missing[0] == pytest.approx(0.1, abs=0.02)


def test_q_is_p_adjusted_by_benjamini_and_hochberg(detector: Detector) -> None:
    results = detector.test(cells(traffic(400, 9, user_age=moved(3))))
    assert all(r.p <= r.q <= 1 for r in results)
    assert [r.p for r in results] == sorted(r.p for r in results)


def test_no_tail_of_new_categories_is_expected_where_each_was_met_often(release: Path) -> None:
    """Good (1953): a further row is of a new category as often as a row's category was met once."""
    rows = traffic(1000, 3, user_brand=lambda values, random: [f"b{n}" for n in random.geometric(0.02, len(values))])
    reference = Reference.load(release)
    reference.cells["user_brand"] = [row["user_brand"] for row in rows[:500]]
    other = Reference(
        reference.release,
        SPEC,
        reference.columns,
        reference.cells | {"user_brand": [r["user_brand"] for r in rows[:500]]},
        3000,
    )
    brand = next(c for c in Detector(other, SMALL).test(cells(rows[500:])) if c.name == "user_brand")
    assert brand.unknown is not None
    expected, found = brand.unknown
    assert expected > 0.02 and found > 0.02
    assert not brand.drifted


@pytest.mark.parametrize("value", [math.nan, "constant"])
def test_a_reference_without_values_or_with_one_value_is_no_obstacle(release: Path, value: object) -> None:
    reference = Reference.load(release)
    name = "user_age" if isinstance(value, float) else "user_region"
    reference.cells[name] = [None if isinstance(value, float) else "constant"] * reference.rows
    detector = Detector(reference, SMALL)
    same = {"user_age": math.nan} if isinstance(value, float) else {"user_region": "constant"}
    assert not next(r for r in detector.test(cells(traffic(400, 4, **same))) if r.name == name).drifted
    changed = next(r for r in detector.test(cells(traffic(400, 4))) if r.name == name)
    assert changed.drifted and changed.test == ("missing" if isinstance(value, float) else "unknown")


def test_a_column_with_too_few_values_is_not_tested_for_them(detector: Detector) -> None:
    rows = [
        row if n < 50 else {k: v for k, v in row.items() if k != "user_age"}
        for n, row in enumerate(cells(traffic(400, 5)))
    ]
    age = next(r for r in detector.test(rows) if r.name == "user_age")
    assert (age.rows, age.test, age.p, age.drifted) == (50, "", 1.0, False)


def test_an_empty_window_is_no_drift(detector: Detector) -> None:
    assert not [r for r in detector.test([]) if r.drifted or r.test]


@pytest.mark.parametrize("kind", ["requests", "visits", "engagements", ""])
def test_the_pace_of_requests_is_tested_where_the_reference_is_of_requests(tmp_path: Path, kind: str) -> None:
    release = write_release(tmp_path / "release", traffic(200, 1), kind=kind)
    every = {column.name for column in columns_of(SPEC)}
    calendar, pace = {"query_hour", "query_weekday"}, {"query_since_last", "query_events_1d"}
    without = calendar if kind == "requests" else calendar | pace
    assert {column.name for column in Reference.load(release, None).columns} == every - without
    assert {column.name for column in Reference.load(release).columns} == every


def test_the_hour_may_be_excluded_of_a_release_that_does_not_look_at_it() -> None:
    dates, without = replace(SPEC, timed=False), ("query_hour", "query_weekday")
    assert columns_of(dates, without) == columns_of(SPEC, without)
    assert "query_hour" not in {column.name for column in columns_of(dates)}
    with pytest.raises(SoukError, match="query_our"):
        columns_of(dates, ("query_our",))


@pytest.mark.slow
def test_false_alarms_are_no_more_frequent_than_configured() -> None:
    """See benchmarks/drift.py for the defaults and 1,000 windows of many references."""
    settings = Settings(rows=300, min_rows=100, false_alarm_rate=0.05)
    drifted = alarms = 0
    columns = columns_of(SPEC, ("query_hour", "query_weekday"))
    for seed in range(5):
        sample = cells(traffic(1500, 1000 + seed))
        reference = Reference("r", SPEC, columns, {c.name: [row[c.name] for row in sample] for c in columns}, 1500)
        detector, before = Detector(reference, settings), set()
        for number in range(60):
            now = {r.name for r in detector.test(cells(traffic(300, 10_000 * seed + number + 50))) if r.drifted}
            drifted += bool(now)
            alarms += bool(now & before)
            before = now
    assert drifted <= 300 * 0.05 + 3 * math.sqrt(300 * 0.05 * 0.95), "the share of windows with any rejection"
    assert alarms <= 300 * 0.05
