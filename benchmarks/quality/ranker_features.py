"""What Souk's ranker sees of its candidates, in a file for the ranker's peer. Imports TensorFlow."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from souk.errors import SoukError
from souk.features.transform import load_transform
from souk.features.windows import read_windows
from souk.folders import placed
from souk.items import ItemTable
from souk.models.rank_examples import RankExamples, read_rank_examples
from souk.models.sequences import Sequences, read_catalogue
from souk.pairs import PAIR_FEATURES
from souk.spec import Entity, read_spec

WINDOWS = {"validation": ("validation_start", "test_start"), "test": ("test_start", "end")}
MOST_VALUES = 1000  # a categorical feature of more is no feature for trees
CHUNK = 500  # moments in a row group


def export(dataset: Path, towers: Path, window: str, candidates: int, output: Path) -> int:
    """Writes the candidates of a window with the ranker's features, a row each, moments in groups.

    Args:
        dataset: a folder with `features`.
        towers: those fitted up to the start of the window, with their candidates of it.
        window: of WINDOWS.
        candidates: to each moment at most.
        output: the Parquet file: `user_id`, `timestamp`, `item` (place in the catalogue), `taken` (0 or 1), and the
            features as float32, names of categorical ones starting with `category:`.

    Returns:
        moments.
    """
    features = dataset / "features"
    spec, windows = read_spec(features / "spec.json"), read_windows(features / "windows.json")
    transforms = {str(entity): load_transform(str(features), entity) for entity in Entity}
    catalogue = read_catalogue(str(features), spec, transforms["item"])
    start, end = WINDOWS[window]
    vectors = np.load(towers / "candidate_vectors.npy", allow_pickle=False)
    examples = read_rank_examples(
        towers / "candidates.parquet",
        Sequences.open(str(features), spec, transforms, catalogue.ids),
        ItemTable.load(features, start, vectors),
        (getattr(windows, start), getattr(windows, end)),
        candidates,
    )
    times = pq.read_table(towers / "candidates.parquet", columns=["timestamp"])["timestamp"].to_numpy()
    first = np.flatnonzero(examples.first & examples.candidate.any(axis=1))
    if not len(first):
        raise SoukError("moments with candidates in the window", "none", "Give the towers of the window.")
    kinds = json.loads((features / "transform" / "features.json").read_text(encoding="utf-8"))
    items = {name: np.asarray(values) for name, values in catalogue.features.items()}
    with placed(output) as fresh:
        writer: pq.ParquetWriter | None = None
        for rows in np.array_split(first, max(1, -(-len(first) // CHUNK))):
            part = _rows(examples, rows, times, kinds, items)
            writer = writer or pq.ParquetWriter(fresh, part.schema)
            writer.write_table(part)
        if writer:
            writer.close()
    return len(first)


def _rows(
    examples: RankExamples,
    rows: np.ndarray,
    times: np.ndarray,
    kinds: Mapping[str, Mapping[str, object]],
    items: Mapping[str, np.ndarray],
) -> pa.Table:
    """The candidates of some moments."""
    owner, column = np.nonzero(examples.candidate[rows])
    example = rows[owner]
    places = examples.positions[example, column]
    columns: dict[str, np.ndarray] = {
        "user_id": np.asarray(examples.users, dtype=object)[example],
        "timestamp": times[example],
        "item": places,
        "taken": examples.chosen[example, column].astype(np.int8),
    }
    columns |= {name: examples.pair[example, column, n] for n, name in enumerate(PAIR_FEATURES)}
    for source, at in ((examples.user, example), (examples.query, example), (items, places)):
        columns |= {name: values[at].astype(np.float32) for name, values in _plain(source, kinds)}
    return pa.table(columns)


def _plain(
    source: Mapping[str, np.ndarray], kinds: Mapping[str, Mapping[str, object]]
) -> Iterator[tuple[str, np.ndarray]]:
    """The features of one value that trees can use: numbers, and categories of few values."""
    for name, values in source.items():
        kind = kinds.get(name)
        if kind is None or np.ndim(values) != 1:
            continue
        if kind["type"] == "float":
            yield name, values
        elif int(str(kind["size"])) <= MOST_VALUES:
            yield f"category:{name}", values
