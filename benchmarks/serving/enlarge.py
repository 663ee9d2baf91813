"""A release with more items: `python -m benchmarks.serving.enlarge WORKSPACE OUT --items 1000000 --candidates 500`.

For the cost of a request by the size of the catalogue: the models, the users and what follows what stay as they are.
The further items are copies of the release's, with vectors nearby and engagements fewer, and nothing follows them.
Copies WORKSPACE to OUT and makes the larger release its current one.
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from souk.index.choice import chosen
from souk.index.ivf import build
from souk.index.partial import write
from souk.release.bundle import Bundle
from souk.release.golden import read_golden, write_golden
from souk.release.manifest import read_manifest, write_manifest
from souk.serving.recommender import Recommender
from souk.serving.served import golden_answers
from souk.sources.rows import SparseRows
from souk.workspace import Workspace

SPREAD = 0.5  # length of what is added to a unit vector


def main() -> None:
    """Reads the arguments, and writes the workspace."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serving.enlarge", description=(__doc__ or "").split(":")[0]
    )
    parser.add_argument("workspace", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--candidates", type=int, default=500)
    given = parser.parse_args()
    shutil.copytree(given.workspace, given.out, symlinks=True, ignore=shutil.ignore_patterns("LOCK", "impressions"))
    folder = Workspace(given.out).served_folder()
    print(f"{given.items:,} items", flush=True)
    tables(folder, given.items)
    settings = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps(settings | {"candidates": given.candidates}))
    bundle = Bundle.load(folder)
    if chosen("auto", given.items) == "ivf":
        print("putting the vectors into lists", flush=True)
        write(build(bundle.vectors), bundle.ivf)
    print("answering the golden requests", flush=True)
    asked = [request for request, _ in read_golden(folder)]
    answer = golden_answers(Recommender.load(replace(bundle), None, None))
    write_golden(folder, asked, answer(asked))
    manifest = read_manifest(folder)
    write_manifest(folder, manifest["name"], manifest["content"], manifest["lineage"])


def tables(folder: Path, count: int) -> None:
    """Makes the release's items `count`, in the order that all its parts share."""
    random, vectors = np.random.default_rng(0), np.load(folder / "vectors.npy")
    source = np.arange(count) % len(vectors)
    copies = source[len(vectors) :]
    noise = random.normal(size=(len(copies), vectors.shape[1])).astype(np.float32)
    near = vectors[copies] + SPREAD * noise / np.linalg.norm(noise, axis=1, keepdims=True)
    near /= np.linalg.norm(near, axis=1, keepdims=True)
    np.save(folder / "vectors.npy", np.concatenate([vectors, near]).astype(np.float32))
    numbers = pa.array([f"copy-{n}" for n in range(len(vectors), count)])
    for name in ("items", "counters"):
        table = pq.read_table(folder / f"{name}.parquet")
        more = table.take(pa.array(copies))
        more = more.set_column(more.schema.get_field_index("item_id"), table.schema.field("item_id"), numbers)
        if name == "counters":
            for column in ("events", "lately"):
                place, field = more.schema.get_field_index(column), more.schema.field(column)
                more = more.set_column(place, field, pc.divide(more[column], 2).cast(field.type))
        pq.write_table(pa.concat_tables([table, more]), folder / f"{name}.parquet")
    for path in filter(Path.exists, (folder / "co_visitation.npz", folder / "ease.npz")):  # the latter of newer ones
        SparseRows.load(path, count).longer(len(copies)).save(path)


if __name__ == "__main__":
    main()
