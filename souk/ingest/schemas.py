"""TensorFlow Data Validation schemas: made of the contract and the declared columns, and kept in files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from souk.errors import SoukError
from souk.folders import whole_file
from souk.ingest.mapping import arrow_schema
from souk.schema import EventType, Kind, contract

HEADER = """\
# Schema of {table} in data set {dataset}, inferred by `ingest`; review it, it is enforced from now on.
# Rows that break it are quarantined: presence.min_fraction 1 (a value is required), the min and max of a domain,
# value_count (the width of a vector), and a string_domain without distribution_constraints (a closed set).
# Reported only: new values where min_domain_mass is below 1, rarer values than min_fraction, drift_comparator.
"""


def contract_schema(table: str, kinds: Mapping[str, Kind], widths: Mapping[str, int] | None = None) -> Any:
    """What holds for every data set, whatever its own schema says; `widths` are those of its declared vectors."""
    known = contract(table)
    schema = schema_pb2.Schema()
    for field in arrow_schema(table, kinds):
        feature = schema.feature.add(name=field.name, type=_type(field.type))
        column = known.get(field.name)
        if column and column.required:
            feature.presence.min_fraction, feature.presence.min_count = 1.0, 1
        if not pa.types.is_list(field.type):
            feature.value_count.min = feature.value_count.max = 1
        elif widths and field.name in widths:
            feature.value_count.min = feature.value_count.max = widths[field.name]
        for bound in ("min", "max"):
            limit = getattr(column, f"{bound}imum", None)
            if limit is not None:
                domain = feature.int_domain if field.type == pa.int64() else feature.float_domain
                setattr(domain, bound, int(limit) if field.type == pa.int64() else limit)
        if field.type == pa.bool_():
            feature.bool_domain.SetInParent()
        if field.name == "event_type":
            feature.string_domain.value.extend(sorted(EventType))
    return schema


def read_schema(
    table: str, text: str, kinds: Mapping[str, Kind], origin: str, widths: Mapping[str, int] | None = None
) -> Any:
    """Parses a schema file and checks that it speaks of the declared columns; `widths` are those of vectors.

    Raises:
        SoukError: no schema, or a declared column that it does not know, or knows with another type or width.
    """
    schema = schema_pb2.Schema()
    try:
        text_format.Parse(text, schema)
    except text_format.ParseError as error:
        raise SoukError(f"{origin} to be a TFDV schema", str(error), "Mend the line, or delete the file.") from error
    fields = {field.name: _type(field.type) for field in arrow_schema(table, kinds)}
    features = {feature.name: feature for feature in schema.feature}
    if table == "events" and "event_type" in features:  # schemas of a version before know of no hides
        domain = features["event_type"].string_domain.value
        if EventType.IMPRESSION in domain and EventType.HIDE not in domain:
            domain.append(str(EventType.HIDE))
    born = features.get("created_at")  # in these, nothing is older than 1970
    if born and born.HasField("int_domain") and born.int_domain.min == 0:
        born.int_domain.ClearField("min")
    for name in sorted(kinds):
        if name not in features or features[name].type != fields[name]:
            raise SoukError(
                f"{origin} to have a feature {name} of type {schema_pb2.FeatureType.Name(fields[name])}",
                "none" if name not in features else schema_pb2.FeatureType.Name(features[name].type),
                "Add it, or delete the file to have it inferred again.",
            )
        low, high = bounds_of_width(features[name])
        width = (widths or {}).get(name, low)
        if not low <= width <= (high or width):
            raise SoukError(
                f"{origin} to have vectors {name} of {width} numbers",
                str(low) if low == high else f"{low} to {high or 'any'}",
                "Mend its value_count, or delete the file to have it inferred again.",
            )
    return schema


def bounds_of_width(feature: Any) -> tuple[int, int]:
    """The fewest and most entries of a list by a schema; 0 most where these have no bound."""
    if feature.HasField("shape") and len(feature.shape.dim) == 1:
        return feature.shape.dim[0].size, feature.shape.dim[0].size
    return feature.value_count.min, feature.value_count.max


def schema_text(table: str, dataset: str, schema: Any) -> str:
    """A schema file."""
    return HEADER.format(table=table, dataset=dataset) + text_format.MessageToString(schema)


class SchemaFolder:
    """The schemas of one data set in the workspace: `<table>.pbtxt`, and in `.inferred/` what was inferred.

    A file that differs from the one in `.inferred/` was edited by hand and is never replaced.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, table: str) -> str:
        """The text of a table's schema, "" without one."""
        file = self.folder / f"{table}.pbtxt"
        return file.read_text(encoding="utf-8") if file.is_file() else ""

    def edited(self, table: str) -> bool:
        """Whether the schema is not what was inferred."""
        file = self.folder / ".inferred" / f"{table}.pbtxt"
        return not file.is_file() or _digest(file.read_text(encoding="utf-8")) != _digest(self.read(table))

    def write(self, table: str, text: str) -> None:
        """Stores a schema as inferred."""
        for folder in (self.folder / ".inferred", self.folder):
            with whole_file(folder / f"{table}.pbtxt") as fresh:
                fresh.write_text(text, encoding="utf-8")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _type(kind: pa.DataType) -> int:
    value = kind.value_type if pa.types.is_list(kind) else kind
    if pa.types.is_string(value):
        return int(schema_pb2.BYTES)
    return int(schema_pb2.INT if value in (pa.int64(), pa.bool_()) else schema_pb2.FLOAT)
