"""Columns that a model learned from and an evaluation does not have, as where the config of today no longer names them.

The model is asked without them then. Its server is not, where requests, users and items still have them.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from souk.spec import FeatureSpec
from souk.state_rows import PROFILE_TYPES


def gone_columns(table: str, own: FeatureSpec, spec: FeatureSpec, tables: Path) -> frozenset[str]:
    """The columns of a model that a table lacks, has no value of, or has as something else. What both specs declare
    alike is not gone: no model has more of it.

    Args:
        table: "events", "items" or "users".
        own: the model's.
        spec: that of the data.
        tables: output of `ingest`.
    """
    learned, declared = getattr(own.columns, table), getattr(spec.columns, table)
    stored = {name: PROFILE_TYPES.get(kind) for name, kind in declared.items()}
    other = {name for name, kind in learned.items() if name in stored and stored[name] != PROFILE_TYPES.get(kind)}
    undeclared = learned.keys() - stored.keys()
    if not undeclared:
        return frozenset(other)
    path = tables / f"{table}.parquet"
    there = pq.read_table(path, columns=sorted(undeclared.intersection(pq.read_schema(path).names)))
    known = {name for name in there.column_names if there[name].null_count < len(there)}  # of the contract, or empty
    return frozenset(other | (undeclared - known))
