"""Columns made of several columns of a file: `"{product_type}, {package_size}"`, or of the first of several that has a
value: `"{account|cookie}"`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from souk.config import template_parts
from souk.errors import unknown
from souk.ingest.cells import parse_text

OR = "|"  # between the columns of which the first that has a value counts
SLASH = "|"  # what a "/" within a part of a path becomes, so that it does not split the part


def template_columns(text: str) -> list[str]:
    """The columns that a template names."""
    return [name for _, part in template_parts(text) if part for name in part.split(OR)]


def check_templates(
    table: str, templates: Mapping[str, str], present: Iterable[str], file: str, some: bool = False
) -> None:
    """Every name in braces must be a column of the file.

    Args:
        table: of the columns.
        templates: by column.
        present: columns of the file.
        file: its name.
        some: whether one of several that stand for each other is enough.

    Raises:
        SoukError: one is not; the nearest is named.
    """
    known = list(present)
    for column, text in templates.items():
        for part in (part for _, part in template_parts(text) if part):
            lacking = [name for name in part.split(OR) if name not in known]
            if lacking and not (some and len(lacking) < len(part.split(OR))):
                raise unknown(f"data.{table}.templates.{column} to name columns of {file}", lacking[0], known)


def fill_template(text: str, columns: Mapping[str, pa.Array], rows: int, whole: bool, path: bool) -> pa.Array:
    """The cells of a template.

    A part is a column, or the first of several that has a value. One that is missing is left out with the text that
    stands between it and its neighbour; without any part the cell is missing. The text
    before the first and after the last part stays.

    Args:
        text: the template.
        columns: the file's columns; one that is absent is missing in every row.
        rows: how many.
        whole: whether a cell with a missing part is missing (identifiers).
        path: whether a "/" within a part is to become SLASH.
    """
    parts = template_parts(text)
    prefix, suffix = parts[0][0], "" if parts[-1][1] else parts[-1][0]
    joined, nothing = pa.nulls(rows, pa.string()), pa.scalar(None, pa.string())
    for place, (before, name) in enumerate(part for part in parts if part[1]):
        value = pc.coalesce(*(parse_text(columns.get(own, pa.nulls(rows)))[0] for own in name.split(OR)))
        value = pc.replace_substring(value, "/", SLASH) if path else value
        both = pc.binary_join_element_wise(joined, value, before)  # null where either is
        joined = value if place == 0 else both if whole else pc.coalesce(both, joined, value, nothing)
    return pc.binary_join_element_wise(pa.scalar(prefix), joined, pa.scalar(suffix), "")
