"""Parsers of cells, against plain Python and by known answers."""

import datetime as dt
import math
from collections.abc import Callable
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from souk.ingest import cells

UTC = dt.UTC
TIMES = st.datetimes(
    min_value=dt.datetime(1971, 1, 1),
    max_value=dt.datetime(2200, 1, 1),
    timezones=st.timedeltas(dt.timedelta(hours=-14), dt.timedelta(hours=14)).map(
        lambda delta: dt.timezone(dt.timedelta(minutes=int(delta.total_seconds() // 60)))
    ),
)


def parsed(result: cells.Parsed) -> tuple[list[object], list[bool]]:
    return result[0].to_pylist(), result[1].tolist()


@given(st.lists(TIMES, min_size=1))
def test_iso_times_with_zones_are_utc_milliseconds(times: list[dt.datetime]) -> None:
    values, wrong = parsed(cells.parse_time(pa.array([time.isoformat() for time in times]), "iso"))
    epoch = dt.datetime(1970, 1, 1, tzinfo=UTC)
    assert values == [(time - epoch) // dt.timedelta(milliseconds=1) for time in times]
    assert not any(wrong)


@given(st.lists(st.text() | st.none()))
def test_garbage_is_null_and_wrong_or_missing_never_an_error(texts: list[str | None]) -> None:
    array = pa.array([t and t.encode("utf-8", "replace").decode() for t in texts], pa.string())
    parsers = [
        cells.parse_number,
        cells.parse_integer,
        cells.parse_bool,
        cells.parse_list,
        lambda a: cells.parse_list(a, "|"),
        lambda a: cells.parse_vector(a, " "),
        *(lambda a, unit=unit: cells.parse_time(a, unit) for unit in ("s", "ms", "us", "iso")),
    ]
    for parse in parsers:
        values, wrong = parse(array)
        assert len(values) == len(wrong) == len(texts)
        assert not (values.is_valid().to_numpy(zero_copy_only=False) & wrong).any()


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53)))
def test_numbers_survive_text(numbers: list[float]) -> None:
    values, wrong = parsed(cells.parse_number(pa.array([repr(n) for n in numbers], pa.string())))
    assert values == [float(n) for n in numbers]
    assert not any(wrong)


@given(st.lists(st.lists(st.text("abc é", min_size=1).filter(str.strip)) | st.none()))
def test_lists_survive_separators_and_types(rows: list[list[str] | None]) -> None:
    expected = [None if row is None else [e.strip() for e in row] for row in rows]
    assert parsed(cells.parse_list(pa.array(rows, pa.list_(pa.string()))))[0] == expected
    joined = [None if row is None else "|".join(row) for row in rows]
    split = parsed(cells.parse_list(pa.array(joined, pa.string()), "|"))[0]
    assert split == [row or None for row in expected]  # an empty cell is a missing one


@given(st.lists(st.integers(-(2**62), 2**62)))
def test_whole_numbers_become_ids_of_their_digits(numbers: list[int]) -> None:
    assert parsed(cells.parse_text(pa.array(numbers, pa.int64())))[0] == [str(n) for n in numbers]
    small = [float(n % 2**53) for n in numbers]
    assert parsed(cells.parse_text(pa.array(small, pa.float64())))[0] == [str(int(n)) for n in small]


@pytest.mark.parametrize(
    "kind",
    [
        *(pa.decimal128(38, 9), pa.decimal128(38, 1), pa.decimal256(70, 20), pa.decimal64(18, 9), pa.decimal32(7, 2)),
        pa.decimal128(38, 30),
    ],
)
def test_decimals_are_the_numbers_that_they_are(kind: pa.DataType) -> None:
    """As warehouses export whole numbers: 17 as 17.000000000, 0 as 0E-9."""
    numbers = pa.array([Decimal(number) for number in ("17", "0", "1.5", "-20")] + [None], kind)
    texts = ["17", "0", "1.5", "-20", None]
    assert parsed(cells.parse_text(numbers))[0] == texts
    assert parsed(cells.parse_text(pa.array([Decimal(1700), None], pa.decimal128(5, -2))))[0] == ["1700", None]
    assert parsed(cells.parse_text(pa.array([Decimal("1e-9")], pa.decimal128(38, 12))))[0] == ["0.000000001"]
    assert parsed(cells.parse_list(pa.ListArray.from_arrays([0, 4], numbers)))[0] == [texts[:4]]
    assert parsed(cells.parse_bool(pa.array([Decimal(1), Decimal(0)], kind))) == ([True, False], [False] * 2)
    assert parsed(cells.parse_integer(numbers)) == ([17, 0, None, -20, None], [False, False, True, False, False])


@pytest.mark.parametrize(
    ("parse", "given", "values", "wrong"),
    [
        (cells.parse_number, ["1", "+2.5", " 3 ", ".5", "1e3"], [1, 2.5, 3, 0.5, 1000], []),
        (cells.parse_number, ["x", "1,5", "0x1", "1e999", "1_0"], [None] * 5, [0, 1, 2, 3, 4]),
        (cells.parse_number, ["", "NA", "nan", "NULL", None], [None] * 5, []),
        (cells.parse_integer, ["1.0", "1.5", "9e20", "-3"], [1, None, None, -3], [1, 2]),
        (cells.parse_bool, ["Yes", "0", "maybe", None, "F"], [True, False, None, None, False], [2]),
        (cells.parse_bool, ["Ja", "N", "oui", "não", "J", "nie"], [True, False, True, False, True, None], [5]),
        (cells.parse_text, [" a ", "", "NA", None], ["a", None, "NA", None], []),
        (cells.parse_list, ['["a", 1]', "['x']", "[1,", "q"], [["a", "1"], ["x"], None, None], [2, 3]),
    ],
)
def test_known_answers(
    parse: Callable[[pa.Array], cells.Parsed], given: list[str | None], values: list[object], wrong: list[int]
) -> None:
    assert parsed(parse(pa.array(given, pa.string()))) == (values, [i in wrong for i in range(len(given))])


def test_times_of_each_unit() -> None:
    for unit, value in [("s", 1.5), ("ms", 1500), ("us", 1_500_999)]:
        assert parsed(cells.parse_time(pa.array([value, None]), unit)) == ([1500, None], [False, False])
    day = dt.date(2024, 2, 29)
    zoned = pa.array([dt.datetime(2024, 2, 29, 1, tzinfo=UTC)], pa.timestamp("us", "Europe/Berlin"))
    assert parsed(cells.parse_time(pa.array([day]), "s"))[0] == [1_709_164_800_000]
    assert parsed(cells.parse_time(zoned, "s"))[0] == [1_709_168_400_000]
    iso = pa.array(["2024-02-29", "2024-02-30", "29.02.2024", "now", "2024-02-29 01:00+01:00"])
    expected = [1_709_164_800_000, None, None, None, 1_709_164_800_000]
    assert parsed(cells.parse_time(iso, "iso")) == (expected, [False, True, True, True, False])


@pytest.mark.parametrize("end", ["", "Z", "+0100", "+01:00"])
def test_days_and_times_that_iso_writes_without_signs(end: str) -> None:
    """As SAP exports them, and as a template makes of its two columns."""
    hour = 3_600_000 if "1" in end else 0
    texts = ["20240229T000000", "20240229T013000", "20240229 0130"]
    times = [1_709_164_800_000, 1_709_170_200_000, 1_709_170_200_000]
    read, wrong = parsed(cells.parse_time(pa.array([f"{text}{end}" for text in texts]), "iso"))
    assert (read, wrong) == ([time - hour for time in times], [False] * 3)
    days = pa.array(["20240229", "20240230", "20241301", "2024022", "120240229", "20240229T25"])
    assert parsed(cells.parse_time(days, "iso")) == ([times[0], *[None] * 5], [False, *[True] * 5])
    assert parsed(cells.parse_time(pa.array([20240229]), "iso"))[0] == [times[0]]
    never = pa.array(
        ["9999-12-31", "9996-02-29 23:59:59", "2262-01-01", "2270-06-30", "2999-12-31", "2259-12-31", "3000-13-01"]
    )
    times, wrong = parsed(cells.parse_time(never, "iso"))
    years = [dt.datetime(1970, 1, 1) + dt.timedelta(milliseconds=time) for time in times[:6]]
    assert [time.year for time in years] == [2260] * 5 + [2259] and wrong == [False] * 6 + [True]


def test_days_of_before_the_clocks_of_computers_begin() -> None:
    """Nanoseconds begin in 1677; what is older is of 1680, as none asks which of them is the older."""
    days = ["1959-08-17", "1678-01-01", "1677-12-31", "1600-02-29", "1500-01-01", "1066-10-14", "0999-01-01"]
    times, wrong = parsed(cells.parse_time(pa.array(days), "iso"))
    read = [dt.datetime(1970, 1, 1) + dt.timedelta(milliseconds=time) for time in times[:6]]
    assert [f"{time:%Y-%m-%d}" for time in read] == [*days[:2], "1680-12-31", "1680-02-29", "1680-01-01", "1680-10-14"]
    assert (times[6:], wrong) == ([None], [False] * 6 + [True])


def test_times_with_a_decimal_comma_or_a_small_z() -> None:
    """As the logs of Python have them, and RFC 3339 allows."""
    ends = [":00,500", ":00.5", ":00,500000z", ":00.5Z", ":00.5 UTC", ":00,5+00", "z"]
    texts = pa.array([f"2024-02-29T00:00{end}" for end in ends])
    assert parsed(cells.parse_time(texts, "iso")) == ([1_709_164_800_500] * 6 + [1_709_164_800_000], [False] * 7)
    assert parsed(cells.parse_time(texts.slice(6), "iso", "Europe/Berlin"))[0] == [1_709_164_800_000]
    day = pa.array(["29.02.2024 00:00:00,500"])
    assert parsed(cells.parse_time(day, "dmy")) == ([1_709_164_800_500], [False])


@pytest.mark.parametrize(("unit", "ticks"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)])
def test_durations_are_seconds_and_no_times(unit: str, ticks: int) -> None:
    """As pandas writes a timedelta: of 5 seconds 5,000,000,000."""
    stayed = pa.array([5 * ticks, 0, None], pa.duration(unit))
    assert parsed(cells.parse_number(stayed)) == ([5.0, 0.0, None], [False] * 3)
    assert parsed(cells.parse_integer(stayed)) == ([5, 0, None], [False] * 3)
    with pytest.raises(pa.ArrowInvalid):
        cells.parse_time(stayed, "ms")


def test_vectors_of_every_type() -> None:
    fixed = pa.array([[1.0, 2.0], None], pa.list_(pa.float64(), 2))
    assert parsed(cells.parse_vector(fixed)) == ([[1.0, 2.0], None], [False, False])
    assert parsed(cells.parse_vector(pa.array([[1.0, math.nan], [], [3.0]]))) == (
        [None, [], [3.0]],
        [True, False, False],
    )
    assert parsed(cells.parse_vector(pa.array(["1 2", "x 2", None]), " ")) == (
        [[1.0, 2.0], None, None],
        [False, True, False],
    )


def test_masks_of_columns_in_chunks() -> None:
    assert cells.as_mask(pa.chunked_array([[True, None], [False]])).tolist() == [True, False, False]
    assert cells.as_mask(pa.chunked_array([], pa.bool_())).dtype == np.bool_
