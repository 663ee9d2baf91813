"""The item feature table, and what is said of the dates at which items end."""

import pyarrow as pa
import pytest

from souk.features.tables import after_their_end, item_table
from souk.features.windows import Windows
from tests.features_fixtures import bazaar, spec_of

SPEC = spec_of(bazaar())
WINDOWS = Windows(50, 70, 100)


def items(until, available=None):
    ids = [f"i{n}" for n in range(len(until))]
    return pa.table(
        {"item_id": ids, "available_until": pa.array(until, pa.int64()), "available": available or [True] * len(ids)}
    )


def test_the_table_says_what_is_so_now():
    made = item_table(items([99, None], [False, True]), SPEC)
    assert made["available"].to_pylist() == [False, True] and made["available_until"].to_pylist() == [99, None]


@pytest.mark.parametrize(
    ("until", "times", "told"),
    [
        ([None, None], [98, 99], []),
        ([99, 120], [98, 99], []),
        ([97, 120], [98, 99], ["1 of 2 engagements come after the available_until of their item"]),
        ([97, 120], [98] + [99] * 98, ["1 of 99 engagements"]),
        ([97, 120], [98] + [99] * 99, []),  # no more than one in a hundred
        ([98, 100], [98, 99], []),  # the last moment is one; 100 is that after the last event
        ([98, 99], [98, 99], ["none of 2 is available after the last event"]),
    ],
)
def test_what_is_told_of_ends(until, times, told):
    """The first event is of the first item, the others are of the second; the data end at 100."""
    table = item_table(items(until), SPEC)
    examples = pa.table({"item_id": ["i0"] + ["i1"] * (len(times) - 1), "timestamp": pa.array(times, pa.int64())})
    found = list(after_their_end(examples, table, WINDOWS))
    assert len(found) == len(told) and all(words in line for words, line in zip(told, found, strict=True)), found
