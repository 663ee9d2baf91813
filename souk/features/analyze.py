"""TensorFlow Transform in Beam: from RecordBatches of raw features to a transform graph."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from tensorflow_transform.tf_metadata import dataset_metadata
from tfx_bsl.tfxio import tensor_adapter, tensor_representation_util

from souk.features.columns import pad
from souk.features.preprocess import Transformed, outputs, preprocessing_fn, raw_specification
from souk.spec import Entity, FeatureSpec

BATCH_ROWS = 4096
ARROW_TYPES = {"string": pa.binary(), "int64": pa.int64(), "float32": pa.float32()}


def arrow_schema(entity: Entity, spec: FeatureSpec) -> pa.Schema:
    """The columns of the RecordBatches that `Analyze` takes: every value a list, as TFT wants it."""
    return pa.schema([(feature.name, pa.list_(ARROW_TYPES[feature.dtype])) for feature in spec.of(entity)])


def record_batch(columns: Mapping[str, Sequence[Any]], entity: Entity, spec: FeatureSpec) -> pa.RecordBatch:
    """Raw features by column, as `features_at` gives them; lists are padded to their length."""
    arrays = []
    for feature in spec.of(entity):
        rows = columns[feature.name]
        if feature.length:
            flat = [entry for row in rows for entry in pad(row, feature)]
        else:
            flat = list(rows)
        width = feature.length or 1
        offsets = pa.array(range(0, len(flat) + 1, width), pa.int32())
        arrays.append(pa.ListArray.from_arrays(offsets, pa.array(flat, ARROW_TYPES[feature.dtype])))
    return pa.record_batch(arrays, schema=arrow_schema(entity, spec))


class Analyze(beam.PTransform):
    """Analyses RecordBatches of one entity and writes the TFT output into `folder`/<entity>."""

    def __init__(self, entity: Entity, spec: FeatureSpec, folder: str) -> None:
        super().__init__(f"Analyze {entity}")
        self.entity, self.spec, self.folder = entity, spec, folder

    def expand(self, batches: beam.PCollection) -> Any:
        """Args: batches: a collection of RecordBatches in `arrow_schema`."""
        metadata = dataset_metadata.DatasetMetadata.from_feature_spec(raw_specification(self.entity, self.spec))
        schema = arrow_schema(self.entity, self.spec)
        config = tensor_adapter.TensorAdapterConfig(schema, _representations(metadata))
        fn = preprocessing_fn(self.entity, self.spec, item_vocabulary_path(self.folder))
        graph = (batches, config) | tft_beam.AnalyzeDataset(fn)
        return graph | tft_beam.WriteTransformFn(str(Path(self.folder) / self.entity))


def _representations(metadata: dataset_metadata.DatasetMetadata) -> dict[str, Any]:
    return tensor_representation_util.GetTensorRepresentationsFromSchema(metadata.schema) or (
        tensor_representation_util.InferTensorRepresentationsFromSchema(metadata.schema)
    )


def item_vocabulary_path(folder: str) -> str:
    """Where the item graph's TFT output keeps the vocabulary of item ids."""
    return str(Path(folder) / Entity.ITEM / "transform_fn" / "assets" / "item_id")


def describe(spec: FeatureSpec, folder: str) -> dict[str, Transformed]:
    """Writes `features.json` beside the TFT outputs: what each transformed feature is."""
    described: dict[str, Transformed] = {}
    for entity in Entity:
        output = tft.TFTransformOutput(str(Path(folder) / entity))
        for feature in spec.of(entity):
            described |= outputs(feature, spec, functools.partial(_entries, folder, output))
    text = json.dumps({name: asdict(value) for name, value in described.items()}, indent=1)
    Path(folder, "features.json").write_text(text, encoding="utf-8")
    return described


def _entries(folder: str, output: tft.TFTransformOutput, name: str) -> int:
    path = item_vocabulary_path(folder) if name == "item_id" else output.vocabulary_file_by_name(name)
    return len(Path(path).read_bytes().splitlines())
