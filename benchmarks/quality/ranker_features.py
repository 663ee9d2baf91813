"""What Souk's ranker sees of its candidates, in a file for the ranker's peer. Imports TensorFlow."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
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
from souk.pairs import names_of
from souk.spec import Entity, read_spec

WINDOWS = {"validation": ("validation_start", "test_start"), "test": ("test_start", "end")}
MOST_VALUES = 1000  # a categorical feature of more is no feature for trees
CHUNK = 500  # moments in a row group


@dataclass(frozen=True)
class Exported:
    """Examples of a window, and what makes features of them.

    Args:
        examples: of the window, but for those that are told as newcomers'.
        users: of all of them: who is held out is drawn from these.
        kinds: the transformed features, by name.
        items: transformed features of the catalogue.
        pairs: the names of pair features.
    """

    examples: RankExamples
    users: np.ndarray
    kinds: Mapping[str, Mapping[str, object]]
    items: Mapping[str, np.ndarray]
    pairs: tuple[str, ...]

    @classmethod
    def read(cls, features: Path, towers: Path, window: str, candidates: int) -> Exported:
        """Reads the examples of a window.

        Args:
            features: of `build_features`.
            towers: those fitted up to the start of the window, with their candidates of it.
            window: of WINDOWS.
            candidates: to each moment at most.
        """
        spec, windows = read_spec(features / "spec.json"), read_windows(features / "windows.json")
        transforms = {str(entity): load_transform(str(features), entity) for entity in Entity}
        catalogue = read_catalogue(str(features), spec, transforms["item"])
        start, end = WINDOWS[window]
        vectors = np.load(towers / "candidate_vectors.npy", allow_pickle=False)
        found = read_rank_examples(
            towers / "candidates.parquet",
            Sequences.open(str(features), spec, transforms, catalogue.ids),
            ItemTable.load(features, start, vectors),
            (getattr(windows, start), getattr(windows, end)),
            candidates,
        )
        kinds = json.loads((features / "transform" / "features.json").read_text(encoding="utf-8"))
        made_of = {name: np.asarray(values) for name, values in catalogue.features.items()}
        return cls(found.as_they_are(), found.users, kinds, made_of, names_of(spec))

    def columns(self, example: np.ndarray, column: np.ndarray) -> dict[str, np.ndarray]:
        """The features of some items of some examples, by name; the arguments are `[rows]`."""
        places = self.examples.positions[example, column]
        found = {name: self.examples.pair[example, column, n] for n, name in enumerate(self.pairs)}
        for source, at in ((self.examples.user, example), (self.examples.query, example), (self.items, places)):
            found |= {name: values[at].astype(np.float32) for name, values in _plain(source, self.kinds)}
        return found


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
    read = Exported.read(dataset / "features", towers, window, candidates)
    first = np.flatnonzero(read.examples.first & read.examples.candidate.any(axis=1))
    if not len(first):
        raise SoukError("moments with candidates in the window", "none", "Give the towers of the window.")
    with placed(output) as fresh:
        writer: pq.ParquetWriter | None = None
        for rows in np.array_split(first, max(1, -(-len(first) // CHUNK))):
            part = _rows(read, rows)
            writer = writer or pq.ParquetWriter(fresh, part.schema)
            writer.write_table(part)
        if writer:
            writer.close()
    return len(first)


def _rows(read: Exported, rows: np.ndarray) -> pa.Table:
    """The candidates of some moments."""
    owner, column = np.nonzero(read.examples.candidate[rows])
    example = rows[owner]
    keys = {
        "user_id": np.asarray(read.examples.users, dtype=object)[example],
        "timestamp": read.examples.times[example],
        "item": read.examples.positions[example, column],
        "taken": read.examples.chosen[example, column].astype(np.int8),
    }
    return pa.table(keys | read.columns(example, column))


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
