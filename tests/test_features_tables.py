"""The item feature table, and what is said of the dates at which items end."""

import pyarrow as pa
import pytest

from souk.features.tables import after_their_end, item_rows, item_table
from souk.features.windows import Windows
from tests.features_fixtures import bazaar, spec_of

SPEC = spec_of(bazaar())
WINDOWS = Windows(50, 70, 100)


def items(until, available=None):
    ids = [f"i{n}" for n in range(len(until))]
    return pa.table(
        {"item_id": ids, "available_until": pa.array(until, pa.int64()), "available": available or [True] * len(ids)}
    )


def test_what_is_gone_since_its_end_was_available_until_then():
    given = items([99, 100, 101, None, 100], [False, False, False, False, True])
    made = item_table(given, SPEC, WINDOWS.end)
    assert made["available"].to_pylist() == [True, True, False, False, True], "101 is to come: it was taken out before"
    assert made["available_until"].to_pylist() == [99, 100, 101, None, 100]
    now = item_rows(given, SPEC)
    assert now["available"].to_pylist() == [False, False, False, False, True], "an upsert says what is so now"
    assert item_table(given.drop_columns(["available_until"]), SPEC, 100)["available"].to_pylist() == [False] * 4 + [
        True
    ]


@pytest.mark.parametrize(
    ("until", "times", "told"),
    [
        ([None, None], [98, 99], []),
        ([99, 120], [98, 99], []),
        ([97, 120], [98, 99], ["1 of 2 engagements come after the available_until of their item"]),
        ([97, 120], [98] + [99] * 98, ["1 of 99 engagements"]),
        ([97, 120], [98] + [99] * 99, []),  # no more than one in a hundred
        ([99, 100], [98, 99], ["none of 2 is available after the last event"]),
    ],
)
def test_what_is_told_of_ends(until, times, told):
    """The first event is of the first item, the others are of the second; the data end at 100."""
    table = item_table(items(until), SPEC, WINDOWS.end)
    examples = pa.table({"item_id": ["i0"] + ["i1"] * (len(times) - 1), "timestamp": pa.array(times, pa.int64())})
    found = list(after_their_end(examples, table, WINDOWS))
    assert len(found) == len(told) and all(words in line for words, line in zip(told, found, strict=True)), found
