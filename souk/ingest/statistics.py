"""TensorFlow Data Validation statistics of a table, and those of earlier windows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from tensorflow_metadata.proto.v0 import statistics_pb2

from souk.folders import placed, remove, whole_file


def table_statistics(table: pa.Table) -> Any:
    """The `DatasetFeatureStatisticsList` of a table.

    Columns without a value are left out: a table has every column of the contract, most data sets have few.
    """
    from tensorflow_data_validation.statistics import stats_impl

    names = [name for name in table.column_names if table[name].null_count < table.num_rows]
    if not names:
        return statistics_pb2.DatasetFeatureStatisticsList(datasets=[statistics_pb2.DatasetFeatureStatistics()])
    lists = [_lists(table[name].combine_chunks()) for name in names]
    return stats_impl.generate_statistics_in_memory(pa.RecordBatch.from_arrays(lists, names))


def compared(statistics: Any, schema: Any) -> Any:
    """What a later window of a table is compared with: the number of rows, and the columns with a `drift_comparator`.

    The others are left out: statistics list values, and ids of users must not outlive their rows.
    """
    names = {feature.name for feature in schema.feature if feature.HasField("drift_comparator")}
    kept = statistics_pb2.DatasetFeatureStatisticsList()
    for dataset in statistics.datasets:
        fresh = kept.datasets.add(name=dataset.name, num_examples=dataset.num_examples)
        fresh.features.extend(each for each in dataset.features if each.path.step[0] in names)
    return kept


class Windows:
    """The statistics of the latest data windows of a data set, in a folder of the workspace.

    Args:
        folder: where they are kept; a window is a folder named by the fingerprint of its data.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def before(self, fingerprint: str, table: str) -> Any | None:
        """The statistics of `table` in the window before that of `fingerprint`; None before the first."""
        earlier = [window for window in self._order() if window != fingerprint[:16]]
        file = self.folder / earlier[-1] / f"{table}.pb" if earlier else None
        if file is None or not file.is_file():
            return None
        return statistics_pb2.DatasetFeatureStatisticsList.FromString(file.read_bytes())

    def keep(self, fingerprint: str, statistics: dict[str, Any]) -> None:
        """Adds a window (again); the two latest stay."""
        name = fingerprint[:16]
        order = [window for window in self._order() if window != name]
        with placed(self.folder / name) as fresh:
            fresh.mkdir()
            for table, content in statistics.items():
                (fresh / f"{table}.pb").write_bytes(content.SerializeToString(deterministic=True))
        with whole_file(self.folder / "windows.json") as fresh:
            fresh.write_text(json.dumps([*order[-1:], name]), encoding="utf-8")
        for window in order[:-1]:
            remove(self.folder / window)

    def _order(self) -> list[str]:
        file = self.folder / "windows.json"
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []


def _lists(array: pa.Array) -> pa.Array:
    """The form that TensorFlow Data Validation reads: a list a row, null where the value is missing."""
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.int64())
    if pa.types.is_list(array.type):
        return array
    valid = array.is_valid().to_numpy(zero_copy_only=False)
    offsets = np.concatenate([[0], np.cumsum(valid)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), array.drop_null(), mask=pa.array(~valid))
