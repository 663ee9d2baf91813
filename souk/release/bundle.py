"""A bundle: what the request path needs, in one folder. A release is one, its twin is another."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from souk.config import Deploy, Rerank
from souk.counters import counters_at
from souk.errors import SoukError
from souk.items import FORM, SOURCE_FILES, available_at
from souk.plugs import code_of
from souk.rerank import written
from souk.sources.popularity import Segments
from souk.sources.rows import SparseRows
from souk.spec import Entity, FeatureSpec, Role, read_spec


@dataclass(frozen=True)
class BundleSettings:
    """The content of `bundle.json`.

    Args:
        spec_hash: of `spec.json`.
        boundary: "test_start" for a twin, "end" for a release.
        trained_until: the time of that boundary, UTC epoch milliseconds: events before it were learned from.
        collection: the Milvus collection of the vectors.
        objectives: objective to the exponent of its probability in the score.
        candidates: how many items of the merged sources the ranker looks at.
        slate_size: items in a slate where the request does not say.
        max_slate_size: the most that a request may ask for.
        rerank: the config's section (`souk.rerank.written`); {} in a bundle of before there was one.
        retrievers: by name, classes of one's own that bring candidates (souk.plugs): `use`, `share`, `options`, `code`.
        ranker: the class that ranks instead of the model, likewise without `share`; None for the model.
        form: of the pairs and sources that its models learned from (souk.items.FORM).
    """

    spec_hash: str
    boundary: str
    trained_until: int
    collection: str
    objectives: dict[str, float]
    candidates: int
    slate_size: int
    max_slate_size: int
    rerank: dict[str, Any] = field(default_factory=dict)
    retrievers: dict[str, dict[str, Any]] = field(default_factory=dict)
    ranker: dict[str, Any] | None = None
    form: int = 1


@dataclass(frozen=True)
class Bundle:
    """A bundle read from disk; its SavedModels stay there.

    Args:
        folder: where it is.
        name: the release's name; "" for a twin.
        spec: the feature specification.
        settings: `bundle.json`.
        vectors: `[items, dim]` float32, memory-mapped.
        items: the item feature table, by position.
        counters: of each item, by position, as `souk.features.tables.counters` has them for one boundary.
        rules: what follows each item (souk.sources.co_visitation).
        segments: what is popular with whom (souk.sources.popularity).
        ease: what is taken together with each item (souk.features.ease); nothing in a bundle of before.
        items_as_of: UTC epoch milliseconds of its items file; 0 where unknown. It and what follows are not in the name.
        items_oldest: of several files when the oldest was written, and `items_as_of` is of the newest; 0 as there.
        names: by table, the columns that its config maps or makes of others, with the files' names of these.
        event_types: what the files call types of events, `*` for any text, with the contract's.
        separators: by path column of items, what stands in the files where paths have `/`.
        bounds: by table and column `[low, high, action]`, what `ingest` did with numbers beyond them.
    """

    folder: Path
    name: str
    spec: FeatureSpec
    settings: BundleSettings
    vectors: np.ndarray
    items: pa.Table
    counters: pa.Table
    rules: SparseRows
    segments: Segments
    ease: SparseRows
    items_as_of: int = 0
    items_oldest: int = 0
    names: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)
    event_types: Mapping[str, str] = field(default_factory=dict)
    separators: Mapping[str, str] = field(default_factory=dict)
    bounds: Mapping[str, Mapping[str, Sequence[Any]]] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: str | Path) -> Bundle:
        """Reads a bundle; the checksums of a release are `souk.release.manifest.verify`'s matter.

        Raises:
            SoukError: a file is missing, or the parts do not belong together.
        """
        path = Path(folder)
        _check_there(path, *FILES)
        settings = BundleSettings(**_read_json(path / "bundle.json"))
        _check_there(path, *[EASE] * (settings.form > 7))
        release = path / "release.json"
        manifest: dict[str, Any] = _read_json(release) if release.exists() else {"name": "", "lineage": {}}
        data = manifest["lineage"].get("data", {})
        items = pq.read_table(path / "items.parquet")
        if "available_until" not in items.column_names:  # of before items had ends
            items = items.append_column("available_until", pa.nulls(len(items), pa.int64()))
        bundle = cls(
            folder=path,
            name=manifest["name"],
            spec=read_spec(path / "spec.json"),
            settings=settings,
            vectors=np.load(path / "vectors.npy", mmap_mode="r", allow_pickle=False),
            items=items,
            counters=pq.read_table(path / "counters.parquet"),
            rules=SparseRows.load(path / "co_visitation.npz", len(items)),
            segments=Segments.load(path / "segment_popular.npz", len(items)),
            ease=SparseRows.load(path / EASE, len(items)) if settings.form > 7 else SparseRows.empty(len(items)),
            items_as_of=data.get("items_as_of") or 0,
            items_oldest=data.get("items_oldest") or 0,
            names=_names(data),
            event_types=data.get("event_types") or {},
            separators=data.get("separators") or {},
            bounds=data.get("bounds") or {},
        )
        bundle.check()
        return bundle

    def check(self) -> None:
        """Refuses parts of different releases: they would answer, and be wrong."""
        if self.spec.hash != self.settings.spec_hash:
            raise SoukError(f"spec {self.settings.spec_hash} in {self.folder}", self.spec.hash, "Do not mix releases.")
        ids = self.items["item_id"]
        parts = self.vectors, self.rules, self.ease, self.counters, ids
        if len({*map(len, parts)}) > 1 or not ids.equals(self.counters["item_id"]):
            expected = f"vectors, rules, counters and items of one release in {self.folder}"
            received = "{} vectors, {} rules, {} rows of ease, {} counters for {} items".format(*map(len, parts))
            raise SoukError(expected, received, "Do not mix them.")

    @property
    def item_ids(self) -> list[str]:
        """Item ids, by position."""
        return list(self.items["item_id"].to_pylist())

    @property
    def titles(self) -> list[str]:
        """Titles, by position."""
        return list(self.items["title"].to_pylist())

    @property
    def available(self) -> np.ndarray:
        """`[items]` bool, by position."""
        return available_at(self.items, 0)

    @property
    def indexed(self) -> np.ndarray:
        """`[items]` bool, what the collection has as available: not what ended before the models were fitted."""
        return available_at(self.items, self.settings.trained_until)

    @property
    def ivf(self) -> Path:
        """The vectors in lists; a release of a large catalogue has it."""
        return self.folder / "ivf.faiss"

    @property
    def graph(self) -> Path:
        """A graph of the vectors, which releases of large catalogues had before they had lists."""
        return self.folder / "graph.faiss"

    @property
    def query_tower(self) -> Path:
        """SavedModel: raw features to a query's vector."""
        return self.folder / "query_tower"

    @cached_property
    def words(self) -> dict[str, frozenset[str]]:
        """By categorical, list or path feature of the user or the moment, the values that the models learned of: the
        vocabularies that TensorFlow Transform keeps beside them."""
        features = (*self.spec.of(Entity.USER), *self.spec.context)
        files = {f.name: self.query_tower / "assets" / f.name for f in features if f.role in (Role.CATEGORY, Role.BAG)}
        return {
            name: frozenset(line.decode(errors="replace") for line in file.read_bytes().splitlines())
            for name, file in files.items()
            if file.is_file()
        }

    @property
    def item_tower(self) -> Path:
        """SavedModel: raw features to an item's vector."""
        return self.folder / "item_tower"

    def schema(self, table: str) -> str:
        """The schema that `ingest` held "items" or "events" to, as text; "" in a bundle without one."""
        path = self.folder / "schema" / f"{table}.pbtxt"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    @property
    def ranker(self) -> Path:
        """SavedModel: raw features of queries and candidates to probabilities."""
        return self.folder / "ranker"


FILES = (
    *("bundle.json", "spec.json", "query_tower", "item_tower", "ranker", "vectors.npy"),
    *("items.parquet", "counters.parquet", "co_visitation.npz", "segment_popular.npz"),
)
EASE = "ease.npz"  # not in a bundle of before


def _check_there(folder: Path, *names: str) -> None:
    if missing := [name for name in names if not (folder / name).exists()]:
        raise SoukError(f"a bundle at {folder}", f"no {', '.join(missing)}", "Run the pipeline again.")


def write_bundle(
    folder: str | Path,
    features: str | Path,
    towers: str | Path,
    ranker: str | Path,
    boundary: str,
    collection: str,
    slates: Deploy | None = None,
    rerank: Rerank | None = None,
    retrievers: dict[str, dict[str, Any]] | None = None,
    own_ranker: dict[str, Any] | None = None,
) -> Bundle:
    """Gathers the outputs of the steps into a bundle.

    Args:
        folder: where it goes; may exist already.
        features: the features folder.
        towers: the towers folder.
        ranker: the ranker folder.
        boundary: up to where the models were fitted: "test_start" (twin) or "end" (release).
        collection: the Milvus collection of the towers' vectors.
        slates: slate sizes; the defaults where None.
        rerank: how slates are re-ranked; not at all where None.
        retrievers: the config's section.
        own_ranker: the config's section `ranker`.
    """
    target, source = Path(folder), Path(features)
    for model in (Path(towers) / "query_tower", Path(towers) / "item_tower", Path(ranker) / "ranker"):
        shutil.copytree(model, target / model.name, dirs_exist_ok=True)
    shutil.copyfile(Path(towers) / "vectors.npy", target / "vectors.npy")
    windows = _read_json(source / "windows.json")
    shutil.copyfile(source / "spec.json", target / "spec.json")
    _write_items(target, pq.read_table(source / "items.parquet"), windows[boundary], windows["end"])
    for name in SOURCE_FILES:
        shutil.copyfile(source / name / f"{boundary}.npz", target / f"{name}.npz")
    pq.write_table(counters_at(source, boundary), target / "counters.parquet")
    spec = read_spec(source / "spec.json")
    sizes, trained = slates or Deploy(), _read_json(Path(ranker) / "training.json")
    if "candidates" not in trained:
        raise SoukError(f"candidates in {ranker}/training.json", "none", "Run the pipeline again.")
    settings = BundleSettings(
        spec_hash=spec.hash,
        boundary=boundary,
        trained_until=windows[boundary],
        collection=collection,
        objectives=spec.weights(trained.get("objectives", {})),
        candidates=trained["candidates"],
        slate_size=sizes.slate_size,
        max_slate_size=sizes.max_slate_size,
        rerank=written(rerank or Rerank()),
        retrievers={name: own | {"code": code_of(own["use"])} for name, own in (retrievers or {}).items()},
        ranker=own_ranker and own_ranker | {"code": code_of(own_ranker["use"])},
        form=FORM,
    )
    (target / "bundle.json").write_text(json.dumps(asdict(settings), indent=1, sort_keys=True), encoding="utf-8")
    return Bundle.load(target)


def _write_items(target: Path, items: pa.Table, trained_until: int, end: int) -> None:
    """The item feature table; to a twin is available what was until a time of its window."""
    left = available_at(items, 0) | available_at(items, trained_until, end)
    place = items.column_names.index("available")
    pq.write_table(items.set_column(place, "available", pa.array(left)), target / "items.parquet")


def _names(data: dict[str, Any]) -> dict[str, dict[str, list[str]]]:
    """`Bundle.names`: what is mapped is of one column of the files, what a template makes of its parts."""
    mapped, parts = data.get("names") or {}, data.get("parts") or {}  # an older release has none
    own = {table: {name: [raw] for name, raw in names.items()} for table, names in mapped.items()}
    return {table: {**own.get(table, {}), **parts.get(table, {})} for table in {**own, **parts}}


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
