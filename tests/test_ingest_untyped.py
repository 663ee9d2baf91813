"""The step tells of a column that looks like the type of the events, while the config makes all of them one."""

import pyarrow as pa
import pytest

from souk.config import Source
from souk.ingest.mapping import TableSource
from souk.ingest.odd.untyped import Untyped
from souk.schema import Kind

CLICKS = Source(path="e.csv", constants={"event_type": "click"})


def told(source: Source, column: str, *batches: list[object], table: str = "events") -> list[str]:
    found = Untyped(TableSource(table, source, {"channel": Kind.CATEGORICAL}))
    for values in batches:
        found.note(pa.table({"user_id": ["u"] * len(values), column: pa.array(values)}))
    return list(found.notices())


@pytest.mark.parametrize(
    ("column", "batches", "expected"),
    [
        ("accion", [["raro", "otro"]], True),  # by its name
        ("que_hizo", [["ver", None, "ver"], ["compra", "raro", "otro", "mas"]], True),  # by its words
        ("que_hizo", [["ver", "raro", "vista"]], False),  # of one type
        ("accion", [["ver"], ["ver"]], False),  # it says nothing
        ("accion", [[f"x{n}" for n in range(9)], [f"y{n}" for n in range(9)]], False),  # more than there are types
        ("accion", [[1, 2, 3]], False),
        ("accion", [[{"a": 1}, {"a": 2}]], False),
        ("accion", [[None, None]], False),
        ("dispositivo", [["web", "app"]], False),
        ("channel", [["ver", "compra"]], False),  # declared
        ("event_type", [["ver", "compra"]], True),  # the constant has its place
    ],
)
def test_a_column_that_looks_like_the_type(column: str, batches: list[list[object]], expected: bool) -> None:
    lines = told(CLICKS, column, *batches)
    assert len(lines) == expected
    if expected:
        assert lines[0].startswith(f"events: EVERY EVENT IS A CLICK, and the column {column} (")
        assert lines[0].endswith("and leave out data.events.constants.event_type")


def test_a_status_of_orders_is_told_as_init_tells_it() -> None:
    """It was to be mapped as the type, where what was cancelled would be given back without being bought."""
    orders = Source(path="e.csv", constants={"event_type": "purchase"})
    (line,) = told(orders, "Payment Status", ["Succeeded", "Failed", "Refunded", "paid"])
    out = 'skip: {"Payment Status": [Failed, Refunded]} leaves out those that came to nothing'
    assert line == f"events: Payment Status says how orders ended: beside data.events.path, {out}"
    assert told(orders, "status", ["paid", "shipped"]) == []
    skipped = Source(path="e.csv", constants={"event_type": "purchase"}, skip={"status": ["cancelled"]})
    assert told(skipped, "status", ["paid", "cancelled"]) == []


def test_where_a_column_says_the_type_others_are_not_told() -> None:
    typed = Source(path="e.csv", columns={"event_type": "kind"})
    assert told(typed, "accion", ["ver", "compra"]) == []
    assert told(CLICKS, "accion", ["ver", "compra"], table="items") == []
