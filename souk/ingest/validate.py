"""Validation of one table: its schema, the faults of its rows, its statistics and what they show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from souk.config import Outliers
from souk.errors import SoukError
from souk.ingest.checks import check_duplicates, check_future, check_schema, new_values
from souk.ingest.convert import Rows
from souk.ingest.faults import Fault, Reason, faulty
from souk.ingest.outliers import Bounds, numeric_columns, treat_outliers
from souk.ingest.quarantine import Quarantine, quarantine
from souk.ingest.schemas import SchemaFolder, contract_schema, infer_schema, read_schema, schema_text
from souk.ingest.statistics import table_statistics
from souk.schema import Kind


@dataclass(frozen=True)
class Validated:
    """One table, checked.

    Args:
        accepted: the rows without a fault, outliers clipped where the config says so.
        quarantine: the others.
        schema: the schema in force, and its file.
        schema_text: the file.
        statistics: TFDV statistics of the accepted rows.
        notices: what a reader should know and no row is refused for.
        bounds: the outlier bounds.
    """

    accepted: pa.Table
    quarantine: Quarantine
    schema: Any
    schema_text: str
    statistics: Any
    notices: tuple[str, ...]
    bounds: tuple[Bounds, ...]


def validate(
    rows: Rows,
    kinds: Mapping[str, Kind],
    dataset: str,
    given: str,
    folder: SchemaFolder,
    outliers: Outliers,
    latest: int,
    widths: Mapping[str, int] | None = None,
) -> Validated:
    """Checks every row of a table.

    Args:
        rows: the table as read.
        kinds: its declared columns.
        dataset: name of the data set.
        given: the schema to enforce, "" for that of `folder`.
        folder: where an inferred schema is kept.
        outliers: bounds and actions.
        latest: times after this are in the future, UTC epoch ms.
        widths: of its declared vectors.
    """
    unread = _unread(rows)
    faults = [*rows.faults, *check_schema(rows.table, contract_schema(rows.name, kinds, widths), unread)]
    faults += check_future(rows.name, rows.table, latest)
    text, schema = _schema(rows, kinds, dataset, given, folder, ~faulty(faults, rows.table.num_rows))
    faults = _union(faults, check_schema(rows.table, schema, unread))
    good = ~faulty(faults, rows.table.num_rows)
    table, outside, bounds = treat_outliers(rows.table, good, numeric_columns(rows.name, kinds), outliers)
    faults += outside
    faults += check_duplicates(rows.name, table, ~faulty(faults, table.num_rows))
    refused = quarantine(replace(rows, table=table, faults=faults))
    accepted = table.filter(pa.array(refused.accepted))
    notices = [f"{rows.name}: column {name} of the source is not used" for name in rows.ignored]
    for name, values in new_values(accepted, schema).items():
        shown = ", ".join(values[:5]) + (", ..." if len(values) > 5 else "")
        notices.append(f"{rows.name}.{name}: {len(values)} values that the schema does not list: {shown}")
    for found in bounds:
        if found.outside and found.action != "quarantine":
            done = "clipped" if found.action == "clip" else "kept"
            span = f"{found.low:.6g} to {found.high:.6g}"
            notices.append(f"{rows.name}.{found.column}: {found.outside} outliers beyond {span}, {done}")
    return Validated(accepted, refused, schema, text, table_statistics(accepted), tuple(notices), tuple(bounds))


def anomalies(name: str, statistics: Any, schema: Any, before: Any | None) -> list[str]:
    """What TFDV finds in the statistics of a table, against its schema and those of the window before."""
    import tensorflow_data_validation as tfdv

    if not statistics.datasets[0].num_examples:
        return []
    found = tfdv.validate_statistics(statistics, schema, previous_statistics=before)
    info = sorted(found.anomaly_info.items())
    return [f"{name}.{column}: {each.short_description}. {each.description}".strip() for column, each in info]


def _schema(
    rows: Rows, kinds: Mapping[str, Kind], dataset: str, given: str, folder: SchemaFolder, good: np.ndarray
) -> tuple[str, Any]:
    """The schema file in force and its content: given, kept, or inferred from the rows that the contract accepts."""
    name = rows.name
    text = given or folder.read(name)
    if text:
        origin = f"schema {name}.pbtxt" + ("" if given else f" in {folder.folder}")
        try:
            return text, read_schema(name, text, kinds, origin)
        except SoukError:  # a column was declared since
            if given or folder.edited(name):
                raise
    schema = infer_schema(name, kinds, table_statistics(rows.table.filter(pa.array(good))))
    text = schema_text(name, dataset, schema)
    folder.write(name, text)
    return text, schema


def _unread(rows: Rows) -> dict[str, np.ndarray]:
    """Column to the mask of rows whose cell could not be read; "" for whole rows."""
    masks: dict[str, np.ndarray] = {}
    for each in rows.faults:
        if each.reason in (Reason.MALFORMED, Reason.ENCODING, Reason.TYPE):
            masks.setdefault(each.column, np.zeros(rows.table.num_rows, bool))[each.rows] = True
    return masks


def _union(faults: list[Fault], more: list[Fault]) -> list[Fault]:
    """Both, with the rows of the same reason and column once."""
    joined: dict[tuple[Reason, str], np.ndarray] = {}
    for each in (*faults, *more):
        key = (each.reason, each.column)
        joined[key] = np.union1d(joined[key], each.rows) if key in joined else each.rows
    return [Fault(reason, column, rows) for (reason, column), rows in joined.items()]
