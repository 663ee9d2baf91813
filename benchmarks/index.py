"""Recall against latency of every index, one query at a time, by size and by the share of the items that may appear.

    env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE python -m benchmarks.index [--sizes 1000 70000] [--largest 70000]

Prints a table and writes `benchmarks/results/index.json`. The vectors are synthetic: groups of about fifty items, with
a spectrum and scores like those of towers; the queries are those of the step load_index. A graph of a million items
takes minutes to build, and so does its collection. `--largest` is the most items that Milvus gets. The Milvus server is
that of `make tools`; without it, its rows are left out.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.__main__ import table, write
from benchmarks.milvus_server import installed, milvus_server
from souk.index import hnsw, ivf
from souk.index.exact import ExactIndex
from souk.index.interface import Index, IndexUnavailable
from souk.index.milvus import open_or_build
from souk.index.recall import sample_queries

DIM, QUERIES = 64, 64
SHARES = (1.0, 0.03, 0.001)
KS = (100, 500)  # of the issue of recall, and what the ranker's candidates ask for


def main() -> None:
    """Reads the arguments, measures, prints and writes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.index", description=(__doc__ or "").split(".")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 70_000, 1_000_000])
    parser.add_argument("--largest", type=int, default=70_000, help="the most items that Milvus gets (%(default)s)")
    given = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="souk-index-") as scratch, server(Path(scratch) / "server") as uri:
        for size in given.sizes:
            vectors = items(size)
            for name, index in indexes(vectors, Path(scratch), uri, size <= given.largest):
                with contextlib.closing(index):
                    rows += measured(name, index, vectors)
                    print(table(rows[-len(SHARES) * len(KS) :]), flush=True)
    print(f"\n{table(rows)}")
    write("index", rows, f"{DIM} wide, synthetic")


def items(count: int) -> np.ndarray:
    """`[count, DIM]` float32 of unit length."""
    random = np.random.default_rng(0)
    spectrum = np.arange(1, DIM + 1) ** -0.4
    groups = random.normal(size=(max(2, count // 50), DIM)) * spectrum
    own = 0.75 * random.standard_normal((count, DIM), np.float32) * spectrum.astype(np.float32)
    rows = groups.astype(np.float32)[random.integers(len(groups), size=count)] + own
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def indexes(vectors: np.ndarray, scratch: Path, uri: str, milvus: bool) -> Iterator[tuple[str, Index]]:
    """Each index over the vectors, one after the other."""
    everything, name = np.ones(len(vectors), bool), f"items_{len(vectors)}"
    yield "exact", ExactIndex(vectors)
    lists = ivf.build(vectors)
    yield f"lists only, {lists.nprobe} of {lists.nlist}", ivf.IvfIndex(lists, vectors, always=True)
    yield "ivf", ivf.IvfIndex(lists, vectors)
    graph = hnsw.build(vectors)
    yield "graph only", hnsw.HnswIndex(graph, vectors, always=True)
    yield "hnsw", hnsw.HnswIndex(graph, vectors)
    for kind, where in (("Milvus Lite", str(scratch / f"{name}.db")), ("Milvus server", uri)):
        if milvus and where:
            index = open_or_build(where, name, vectors, everything)
            index.timeout = 60.0
            yield kind, index


def measured(name: str, index: Index, vectors: np.ndarray) -> list[dict[str, Any]]:
    """A row for each number of items wanted and each share."""
    rows = []
    for k in KS:
        for share in SHARES:
            mask = None if share == 1 else np.random.default_rng(1).random(len(vectors)) < share
            row: dict[str, Any] = {"index": name, "items": len(vectors), "share": share, "k": k}
            try:
                rows.append(row | timed(index, vectors, k, mask))
            except IndexUnavailable as error:
                rows.append(row | {"recall": None, "p50 ms": None, "p99 ms": None, "error": str(error)[:200]})
    return rows


def timed(index: Index, vectors: np.ndarray, k: int, mask: np.ndarray | None) -> dict[str, float]:
    """Recall against exact search, and milliseconds a query."""
    queries = sample_queries(vectors)
    queries = queries[:: len(queries) // QUERIES]
    truth = ExactIndex(vectors).search(queries, k, allowed=[mask] * len(queries))[0]
    allowed = None if mask is None else [mask]
    took, hits = [], 0
    index.search(queries[:1], k, allowed=allowed)
    for query, best in zip(queries, truth, strict=True):
        began = time.perf_counter()
        found = index.search(query[None], k, allowed=allowed)[0][0]
        took.append(1000 * (time.perf_counter() - began))
        hits += len(np.intersect1d(found[found >= 0], best[best >= 0]))
    p50, p99 = np.percentile(took, [50, 99]).round(2).tolist()
    there = int((truth >= 0).sum())
    return {"recall": round(hits / there, 4) if there else 1.0, "p50 ms": p50, "p99 ms": p99}


@contextlib.contextmanager
def server(folder: Path) -> Iterator[str]:
    """The address of a Milvus server with its data in `folder`; "" where there is none to start."""
    if not installed():
        print("no Milvus server (make tools)")
        yield ""
        return
    with milvus_server(folder) as one:
        yield one.uri


if __name__ == "__main__":
    main()
