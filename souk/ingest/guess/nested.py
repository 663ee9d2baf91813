"""Columns of JSON objects in the place of an id or a time, as databases of documents export them."""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from souk.errors import SoukError
from souk.ingest.profile import Column

if TYPE_CHECKING:
    from souk.ingest.guess.columns import Table

OBJECT = r"^\{.*\}$"
MOSTLY = 0.5  # share of the values


def check_flat(events: Table) -> None:
    """Raises a SoukError where an id of the events is an object: its other parts, as a device, would be of the id."""
    for target in ("user_id", "item_id"):
        column = events.mapped[target][0]
        if has_objects(column):
            expected = f"one value in each row for {target} in {events.source.path}"
            raise SoukError(
                expected, f"{column.name} with objects such as {_example(column)}", flatten(events.source.path)
            )


def has_objects(column: Column) -> bool:
    """Whether the values of a column are objects."""
    return not column.nested and column.like(OBJECT) >= MOSTLY


def flatten(path: str) -> str:
    """What makes columns of the parts of objects."""
    name = json.dumps(PurePosixPath(path).name)
    rows = f"pandas.read_json({name}, lines=True, dtype=False, convert_dates=False).to_dict('records')"
    return (
        f"Write each part into a column of its own, with pandas, pandas.json_normalize({rows}, sep='_')"
        ".to_json('flat.jsonl', orient='records', lines=True), and give that file."
    )


def _example(column: Column) -> str:
    return str(column.texts[0])[:48]
