"""The step that loads the item vectors into Milvus and measures what its search finds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from souk.config import parse_step_config
from souk.errors import SoukError
from souk.features.windows import read_windows
from souk.index import ivf
from souk.index.choice import IVF_FILE, IVF_ITEMS
from souk.index.exact import ExactIndex
from souk.index.interface import collection_name
from souk.index.lite import FILE
from souk.index.milvus import open_or_build
from souk.index.partial import write
from souk.index.place import is_lite
from souk.index.recall import recall_at, sample_queries
from souk.items import available_at, item_columns
from souk.progress import report

RECALL_AT = 100


def load_index(config: str, features: str, towers: str, index: str) -> dict[str, float]:
    """Builds the collection of these vectors, unless it is there, the lists of a large catalogue, and `index.json`.

    Args:
        config: the step's config.
        features: the features folder.
        towers: the towers folder.
        index: the output folder.

    Returns:
        `recall_at_100` against exact search, of the collection or of the lists where that is less, and `items`.

    Raises:
        SoukError: the recall is below the bar.
    """
    settings = parse_step_config("load_index", config).load_index
    items = item_columns(features, "item_id", "available", "available_until")
    trained = json.loads((Path(towers) / "training.json").read_text(encoding="utf-8"))
    available = available_at(items, trained["trained_until"], read_windows(Path(features) / "windows.json").end)
    vectors = np.load(Path(towers) / "vectors.npy", mmap_mode="r", allow_pickle=False)
    if len(vectors) != len(items):
        raise SoukError(f"a vector for each of {len(items)} items", f"{len(vectors)}", "Train the towers again.")
    folder = Path(index)
    folder.mkdir(parents=True, exist_ok=True)
    collection = collection_name(items["item_id"].to_pylist(), vectors, available)
    uri = settings.uri or str(folder / FILE)
    searcher = open_or_build(uri, collection, vectors, available, report)
    exact, queries = ExactIndex(vectors, available), sample_queries(vectors)
    try:
        recall = recall_at(searcher, exact, queries, RECALL_AT)
    finally:
        searcher.close()
    report(f"recall@{RECALL_AT} of {collection} against exact search: {recall:.4f}")
    if len(vectors) >= IVF_ITEMS:
        report(f"putting {len(vectors):,} vectors into lists")
        lists = ivf.build(vectors, available)
        write(lists, folder / IVF_FILE)
        found = recall_at(ivf.IvfIndex(lists, vectors, available), exact, queries, RECALL_AT)
        report(f"recall@{RECALL_AT} of {lists.nprobe} of {lists.nlist} lists: {found:.4f}")
        recall = min(recall, found)
    record = {
        "uri": FILE if is_lite(uri) else uri,  # Lite: relative to this folder
        "collection": collection,
        "items": len(vectors),
        "dim": vectors.shape[1],
        "recall_at_100": recall,
    }
    (folder / "index.json").write_text(json.dumps(record, indent=1, sort_keys=True), encoding="utf-8")
    if recall < settings.recall_bar:
        raise SoukError(
            f"recall@{RECALL_AT} of at least {settings.recall_bar} in {collection}",
            f"{recall:.4f}",
            "Lower load_index.recall_bar, or look at the index type of the collection.",
        )
    return {"recall_at_100": recall, "items": float(len(vectors))}
