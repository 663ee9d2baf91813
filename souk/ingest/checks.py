"""Checks of rows against a schema, a column at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from souk.ingest.cells import as_mask
from souk.ingest.faults import Fault, Reason, fault
from souk.ingest.schemas import bounds_of_width
from souk.schema import NO_ACTS, SECONDS

FUTURE = {"events": ("timestamp", "arrived_at")}  # an item may be created ahead of its sale
LATER_MS = 315_532_800_000  # 1980-01-01: no clock that began at 0 with the log has run for so long
NUMBERS = ("int_domain", "float_domain")
LARGEST = 1e18  # of a number: the models square some, and float32 ends at 3e38


def check_schema(table: pa.Table, schema: Any, unread: Mapping[str, np.ndarray]) -> list[Fault]:
    """The rows that break `schema`. What it asks of an event's `value` is not asked of impressions and hides.

    Args:
        table: the rows.
        schema: a TFDV `Schema`.
        unread: column to the mask of rows whose cell could not be read ("" for whole rows), which are not missing.
    """
    faults: list[Fault] = []
    closed = closed_domains(schema)
    for feature in schema.feature:
        if feature.name not in table.column_names:
            continue
        column = table[feature.name].combine_chunks()
        spared = no_acts(table) if feature.name == "value" else np.False_
        if feature.presence.min_fraction >= 1:
            known = unread.get("", False) | unread.get(feature.name, np.False_)
            faults += fault(Reason.MISSING, feature.name, ~as_mask(column.is_valid()) & ~np.asarray(known) & ~spared)
        if pa.types.is_list(column.type):
            faults += fault(Reason.DIMENSION, feature.name, _wrong_width(column, feature))
        faults += fault(Reason.RANGE, feature.name, _out_of_range(column, feature) & ~spared)
        if feature.name in closed:
            faults += fault(Reason.DOMAIN, feature.name, _outside(column, closed[feature.name]))
    return faults


def no_acts(table: pa.Table) -> Any:
    """The mask of rows that are events, and nothing that a user did with an item."""
    if "event_type" not in table.column_names:
        return np.False_
    return as_mask(pc.is_in(table["event_type"].combine_chunks(), value_set=pa.array(list(map(str, NO_ACTS)))))


def closed_domains(schema: Any) -> dict[str, list[str]]:
    """The only values that closed columns of a schema may have."""
    domains = {domain.name: list(domain.value) for domain in schema.string_domain}
    found = {feature.name: closed_domain(feature, domains) for feature in schema.feature}
    return {name: values for name, values in found.items() if values}


def closed_domain(feature: Any, domains: Mapping[str, list[str]]) -> list[str]:
    """The only values that a feature may have; none where others are merely reported."""
    mass = feature.distribution_constraints.min_domain_mass if feature.HasField("distribution_constraints") else 1.0
    values = list(feature.string_domain.value) or domains.get(feature.domain, [])
    return values if mass >= 1 else []


def ranges(schemas: Iterable[Any]) -> dict[str, str]:
    """For people, by column with a limit, the numbers that all of the schemas take."""
    found: dict[str, tuple[float, float]] = {}
    for feature in (feature for schema in schemas for feature in schema.feature):
        if feature.WhichOneof("domain_info") in NUMBERS:
            least, most = _limits(feature)
            low, high = found.get(feature.name, (-LARGEST, LARGEST))
            found[feature.name] = low if least is None else max(low, least), high if most is None else min(high, most)
    return {name: _range(low, high) for name, (low, high) in found.items()}


def _limits(feature: Any) -> tuple[float | None, float | None]:
    """Least and greatest number of a feature with a domain of numbers, None for no limit. Schemas have theirs in
    float32: the decimals that were written, and not the float64 of these, are meant."""
    kind = feature.WhichOneof("domain_info")
    domain = getattr(feature, kind)
    ends = (getattr(domain, end) if domain.HasField(end) else None for end in ("min", "max"))
    low, high = (end if end is None or kind == "int_domain" else float(str(np.float32(end))) for end in ends)
    return low, high


def _range(low: float, high: float) -> str:
    if high >= LARGEST and low > -LARGEST:
        return f"of at least {low:.15g}"
    return f"from {low:.15g} to {high:.15g}" if low > -LARGEST or high >= LARGEST else f"of at most {high:.15g}"


def check_future(name: str, table: pa.Table, latest: int) -> list[Fault]:
    """Times after `latest`, UTC epoch milliseconds."""
    columns = FUTURE.get(name, ())
    return [f for c in columns for f in fault(Reason.FUTURE, c, as_mask(pc.greater(table[c], latest)))]


def of_later_years(times: pa.Array) -> bool:
    """Whether most times of a table's events, UTC epoch milliseconds, are of 1980 and later: no other of them is of the
    beginning of 1970 then, as it may be by a clock of the log's own. Times up to 0 stand for none."""
    known = times.filter(pc.greater(times, 0))
    return bool(len(known)) and 2 * pc.sum(pc.greater_equal(known, LATER_MS)).as_py() >= len(known)


def check_early(table: pa.Table) -> list[Fault]:
    """Times of events in the first weeks of 1970, in a table of later years: in another unit, such as seconds among
    milliseconds, or as 0 for none."""
    time = table["timestamp"].combine_chunks()
    early = as_mask(pc.and_(pc.greater_equal(time, 0), pc.less(time, SECONDS.stop)))
    seconds = early & as_mask(pc.greater_equal(time, SECONDS.start))
    return fault(Reason.UNIT, "timestamp", seconds) + fault(Reason.RANGE, "timestamp", early & ~seconds)


def check_size(table: pa.Table) -> list[Fault]:
    """Numbers, those of vectors too, beyond LARGEST."""
    faults: list[Fault] = []
    for field in table.schema:
        column = table[field.name].combine_chunks()
        if pa.types.is_floating(field.type):
            faults += fault(Reason.RANGE, field.name, _beyond(column))
        elif pa.types.is_list(field.type) and pa.types.is_floating(field.type.value_type):
            faults += fault(Reason.RANGE, field.name, _any(column, _beyond(column.flatten())))
    return faults


def new_values(table: pa.Table, schema: Any) -> dict[str, list[str]]:
    """Values that open domains do not list, by column, of rows that are otherwise good."""
    found = {}
    domains = {domain.name: list(domain.value) for domain in schema.string_domain}
    for feature in schema.feature:
        values = list(feature.string_domain.value) or domains.get(feature.domain, [])
        if values and feature.name in table.column_names and not closed_domain(feature, domains):
            unknown = sorted(set(distinct(table[feature.name])) - set(values))
            if unknown:
                found[feature.name] = unknown
    return found


def distinct(column: pa.ChunkedArray) -> list[Any]:
    """The different values of a column, of lists those of their entries."""
    return pc.drop_null(pc.unique(pc.list_flatten(column) if pa.types.is_list(column.type) else column)).to_pylist()


def _outside(column: pa.Array, values: list[str]) -> np.ndarray:
    allowed = pa.array(values, pa.string())
    if not pa.types.is_list(column.type):
        return as_mask(pc.and_(column.is_valid(), pc.invert(pc.is_in(column, value_set=allowed))))
    return _any(column, ~as_mask(pc.is_in(column.flatten(), value_set=allowed)))


def _any(column: pa.Array, entries: np.ndarray) -> np.ndarray:
    """Which lists have an entry for which the mask of all `entries` is true."""
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    found = np.zeros(len(column), bool)
    found[np.repeat(np.arange(len(column)), lengths)[entries]] = True
    return found


def _beyond(numbers: pa.Array) -> np.ndarray:
    return as_mask(pc.greater(pc.abs(numbers), LARGEST))


def _out_of_range(column: pa.Array, feature: Any) -> np.ndarray:
    wrong = np.zeros(len(column), bool)
    if feature.WhichOneof("domain_info") not in NUMBERS or pa.types.is_string(column.type):
        return wrong
    if pa.types.is_list(column.type):
        return _any(column, _out_of_range(column.flatten(), feature))
    low, high = _limits(feature)
    if low is not None:
        wrong |= as_mask(pc.less(column, low))
    if high is not None:
        wrong |= as_mask(pc.greater(column, high))
    return wrong


def _wrong_width(column: pa.Array, feature: Any) -> np.ndarray:
    """Lists that are present and shorter or longer than the schema's value_count or shape."""
    low, high = bounds_of_width(feature)
    lengths = pc.list_value_length(column)
    wrong = as_mask(pc.less(lengths, low))
    return wrong | as_mask(pc.greater(lengths, high)) if high else wrong
