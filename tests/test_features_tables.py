"""The item feature table."""

import pyarrow as pa

from souk.features.tables import item_table
from tests.features_fixtures import bazaar, spec_of

SPEC = spec_of(bazaar())


def items(until, available=None):
    ids = [f"i{n}" for n in range(len(until))]
    return pa.table(
        {"item_id": ids, "available_until": pa.array(until, pa.int64()), "available": available or [True] * len(ids)}
    )


def test_the_table_says_what_is_so_now():
    made = item_table(items([99, None], [False, True]), SPEC)
    assert made["available"].to_pylist() == [False, True] and made["available_until"].to_pylist() == [99, None]
