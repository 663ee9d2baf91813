"""What a row of an item may say, beyond the types of its columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from souk.errors import SoukError
from souk.ingest.checks import LARGEST
from souk.ingest.notices import moment
from souk.spec import Entity, FeatureSpec
from souk.values import SHOWN

AHEAD_MS = 300_000  # that the clock of who makes items may be ahead of the server's
CREATED = "Send the item when it is to be shown."
EXTREME = "Look for extreme values in the row."
NO_VECTOR = str(SoukError("content that the item tower has a vector for", "none such", EXTREME))
COLUMNS = ("title", "available", "created_at", "available_until")
NO_CONTENT = {"item_id", "available", "available_until"}  # what says nothing of what an item is


def unfit(
    given: Mapping[str, Any],
    row: Mapping[str, Any],
    new: bool,
    may_create: bool,
    at: int,
    spec: FeatureSpec,
    logged: bool = False,
) -> str:
    """Why a row of the right types is refused; "" where it is not.

    Args:
        given: what was sent.
        row: of the item table.
        new: whether its item is not known.
        may_create: whether it may make it then.
        at: when it came, UTC epoch milliseconds.
        spec: of the features of items.
        logged: whether it was taken before, perhaps by a server that was not so strict.
    """
    item = f"{row['item_id']!r}"[:SHOWN]
    if new and (not may_create or not (logged or _has_content(given))):
        return str(SoukError("an item that is known, or a row with its content", item, "Look for a typing error."))
    if "created_at" in given and (row["created_at"] or 0) > at + AHEAD_MS:
        return str(SoukError("created_at in the past", f"{row['created_at']}, {moment(row['created_at'])}", CREATED))
    for feature in spec.of(Entity.ITEM):
        values = row[feature.name] if feature.dtype == "float32" else None
        if values is not None and np.any(np.abs(np.asarray(values, np.float64)) > LARGEST):
            return str(SoukError(f"{feature.source} of at most {LARGEST:g}", f"{values}"[:SHOWN], EXTREME))
    return ""


def _has_content(given: Mapping[str, Any]) -> bool:
    return any(_is_said(value) for name, value in given.items() if name not in NO_CONTENT)


def _is_said(value: Any) -> bool:
    """Whether a cell is more than null, NaN, a blank text or a list of these."""
    if isinstance(value, list):
        return any(map(_is_said, value))
    return value is not None and value == value and not (isinstance(value, str) and not value.strip())


def spoken(given: Mapping[str, Any], spec: FeatureSpec) -> list[str]:
    """The columns of the item table that what was sent speaks of."""
    features = [f.name for f in spec.of(Entity.ITEM) if f.source in given]
    return [*features, *(name for name in COLUMNS if name in given)]
