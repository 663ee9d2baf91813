"""Ratings that are none of the scale of the others are told, and what refuses them."""

import pyarrow as pa
import pytest
from pyarrow import parquet

from souk.ingest.odd.events import odd_events

STARS = [1.0, 2.0, 3.0, 4.0, 5.0] * 40


def told(tmp_path, ratings, others=()):
    """Of ratings with some values, and of purchases with others."""
    values = [*ratings, *others]
    kinds = ["rating"] * len(ratings) + ["purchase"] * len(others)
    rows = {"event_type": kinds, "timestamp": list(range(len(kinds))), "value": pa.array(values, pa.float64())}
    parquet.write_table(pa.table(rows), tmp_path / "events.parquet", row_group_size=64)
    return list(odd_events(tmp_path / "events.parquet"))


@pytest.mark.parametrize(
    ("ratings", "counted"),
    [
        (STARS, ""),
        ([*STARS, 9.0], "1 of 201 ratings are not of the scale of the others, 1 to 5: 9."),
        ([*STARS, 9.0, 9.0, -1.0], "3 of 203 ratings are not of the scale of the others, 1 to 5: -1, 9."),
        ([*STARS, *[99.0] * 20], "20 of 220 ratings"),  # a code for what is not known
        ([*STARS, *range(9, 30)], "21 of 221 ratings are not of the scale of the others, 1 to 5: 9, 10, 11, ...."),
        ([*STARS, *[99.0] * 30], ""),  # too many to be of none: they are of a scale that has gaps
        ([*STARS, 6.0, 0.0], ""),  # the next grades, which are rare
        ([*STARS, 7.0, 8.0, 11.0, 12.0], "4 of 204 ratings are not of the scale of the others, 1 to 5: 7, 8, 11, ...."),
        ([n / 2 for n in range(1, 11)] * 20 + [6.5], "1 of 201 ratings are not of the scale of the others, 0.5 to 5"),
        ([*[20.0, 40.0, 60.0, 80.0, 100.0] * 40, 4.0], ""),  # within one step of it
        ([n / 3 for n in range(300)] * 2 + [500.0], ""),  # of no grades
        ([0.0, 1.0] * 100 + [9.0], ""),  # two are no scale
        ([0.0, 1.0] * 100 + [9.0] * 5, ""),
        ([*STARS[:98], 9.0], ""),  # so few
        ([*STARS, None, 9.0], "1 of 201 ratings"),
        ([n / 7 for n in range(5000)] + [*STARS, 9.0], ""),  # more values than are counted
    ],
)
def test_ratings_beyond_the_scale_of_the_others(tmp_path, ratings, counted):
    lines = told(tmp_path, ratings)
    assert len(lines) == bool(counted) and all(line.startswith(f"events: {counted}") for line in lines), lines


@pytest.mark.parametrize(("quantity", "refused"), [(2.0, True), (6.0, False)])
def test_a_range_that_refuses_no_other_event_is_proposed(tmp_path, quantity, refused):
    (line,) = told(tmp_path, [*STARS, 9.0], [1.0, quantity])
    assert ("`float_domain { min: 1 max: 5 }` of value in the schema events.pbtxt refuses them" in line) == refused
    assert ("leave them out of the file" in line) != refused
