"""Vectors whose numbers are far larger than those of embeddings: the models read them as they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa

from souk.schema import Kind

LARGE = 20.0  # the root of the mean square of all numbers of a column, from which it is told; of embeddings it is below


def odd_vectors(name: str, rows: pa.Table, kinds: Mapping[str, Kind]) -> Iterator[str]:
    """Which vectors are amounts, as calories and grams, beside which the models would see nothing else.

    Args:
        name: of the table.
        rows: it.
        kinds: its declared columns.
    """
    for column, kind in kinds.items():
        if kind is not Kind.VECTOR or column not in rows.column_names:
            continue
        total, count = 0.0, 0
        for chunk in rows[column].chunks:  # joined they may be more than an array holds
            numbers = chunk.flatten().drop_null().to_numpy(zero_copy_only=False)
            total, count = total + float(np.square(numbers, dtype=np.float64).sum()), count + len(numbers)
        size = float(np.sqrt(total / max(1, count)))
        if size > LARGE:
            told = f"{name}: the numbers of {column} are about {size:,.0f}, and vectors are read as they are"
            yield f"{told}. Divide them so that they are about 1, or declare each as a column of its own, `numeric`"
