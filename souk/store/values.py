"""User states as Feast's own values.

`FeatureStore.write_to_online_store` makes them of a pandas frame: 6 ms more for one state, and a column of lists in
which all are NaN becomes zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from feast import FeatureView
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import DoubleList, Int64List, StringList, Value

from souk.spec import FeatureSpec
from souk.state import UserState
from souk.state_rows import state_columns, to_row

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
VALUES: Mapping[str, Callable[[Any], Any]] = {
    "string": lambda value: Value(string_val=value),
    "int64": lambda value: Value(int64_val=value),
    "double": lambda value: Value(double_val=value),
    "list<string>": lambda value: Value(string_list_val=StringList(val=value)),
    "list<int64>": lambda value: Value(int64_list_val=Int64List(val=value)),
    "list<double>": lambda value: Value(double_list_val=DoubleList(val=value)),
}
Row = tuple[Any, dict[str, Any], datetime, datetime]


def feast_row(state: UserState, spec: FeatureSpec, now: int) -> Row:
    """What a provider of Feast writes online: key, values by feature, and both times.

    Args:
        state: of one user.
        spec: says which columns there are.
        now: UTC epoch milliseconds.
    """
    return row_of(to_row(state, spec), state_columns(spec), EPOCH + timedelta(milliseconds=now))


def row_of(row: Mapping[str, Any], columns: Mapping[str, str], written: datetime) -> Row:
    """`feast_row` of a state that is a row already.

    Args:
        row: by column; None is a value that is not set.
        columns: their kinds, from `state_columns`.
        written: the time of both.
    """
    values = {
        name: Value() if row[name] is None else VALUES[kind](row[name])
        for name, kind in columns.items()
        if name != "user_id"
    }
    return user_key(row["user_id"]), values, written, written


def emptied(rows: Iterable[Row], view: FeatureView | None, columns: Collection[str]) -> list[Row]:
    """Rows that also empty what a version before stored of a state and this one does not: a server of that version
    would read it with events that it is not of.

    Args:
        rows: to write.
        view: as it is published; None where it is not yet.
        columns: of a state, from `state_columns`.
    """
    gone = {field.name: Value() for field in view.schema if field.name not in columns} if view else {}
    return [(key, values | gone, *times) for key, values, *times in rows] if gone else list(rows)


def user_key(user_id: str) -> Any:
    """By what a user's row is found."""
    return EntityKey(join_keys=["user_id"], entity_values=[Value(string_val=user_id)])


def user_of(row: Row) -> str:
    """Whose state a row is."""
    return str(row[0].entity_values[0].string_val)


def plain(value: Any) -> Any:
    """The inverse of `VALUES`; None for a value that is not set."""
    kind = value.WhichOneof("val")
    if kind is None:
        return None
    found = getattr(value, kind)
    return list(found.val) if kind.endswith("_list_val") else found
