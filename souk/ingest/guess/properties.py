"""Files with a row for each property of an item, of which a table has a column each."""

from __future__ import annotations

from souk.ingest.guess.columns import Table
from souk.ingest.profile import Column

PROPERTIES = ("property", "attribute", "key", "field", "feature")  # beside `value`
PARTS = 3  # columns of a file that has nothing but ids, properties and their values


def by_property(table: Table, column: Column) -> str:
    """How a file with a row for each property of an item becomes one with a row for each item, with a space after it;
    "" where it is none.

    Args:
        table: the file.
        column: its ids, which repeat.
    """
    names = {other.plain: other.name for other in table.columns}
    key = next((names[name] for name in PROPERTIES if name in names), "")
    value = names.get("value", "")
    if not key and not value and len(table.columns) == PARTS:  # `feature_category_id` and `feature_value_id`
        rest = [other for other in table.columns if other is not column]
        values = [other.name for other in rest if "value" in other.snake.split("_")]
        value = values[0] if len(values) == 1 else ""
        key = next((c.name for c in rest if c.name != value and {*PROPERTIES} & {*c.snake.split("_")}), "")
    if not key or not value:
        return ""
    pivot = f"pivot(index='{column.name}', columns='{key}', values='{value}')"
    kept = f"drop_duplicates(['{column.name}', '{key}'], keep='last').{pivot}"
    return f"It has a row for each {key}: make a column of each that tells something, with pandas, {kept}. "
