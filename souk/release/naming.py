"""The name of a release: a hash of what decides its answers, and of nothing else.

Not in it: paths, times, checksums of SavedModels (their bytes differ from run to run; the weights in them do not).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from souk.release.bundle import Bundle

WEIGHTS = "weights.npz"
DIGITS = 6  # of a float in a table; sums in another order differ beyond


def content_digests(bundle: Bundle, features: str | Path, weights: dict[str, np.ndarray]) -> dict[str, str]:
    """What the name is made of, part by part, so that two releases can be told apart by part.

    Args:
        bundle: the release's bundle.
        features: the features folder: vocabularies.
        weights: the named arrays of towers and ranker.
    """
    return {
        "spec": bundle.spec.hash,
        "vocabularies": _vocabularies(Path(features) / "transform"),
        "weights": _arrays(weights),
        "vectors": _arrays({"vectors": bundle.vectors}),
        "items": _rows(bundle.items.to_pylist()),
        "counters": _rows(bundle.counters.to_pylist()),
        "rules": _arrays(vars(bundle.rules)),
        "ease": _arrays(vars(bundle.ease)),
        "popular": _arrays(bundle.segments.arrays()),
        "settings": _rows([asdict(bundle.settings)]),
    }


def release_name(dataset: str, content: dict[str, str]) -> str:
    """`<dataset>-<12 hex digits>`."""
    return f"{dataset}-{hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]}"


def read_weights(towers: str | Path, ranker: str | Path) -> dict[str, np.ndarray]:
    """The named arrays of both models, with `towers/` and `ranker/` before their names."""
    arrays = {}
    for prefix, folder in (("towers", towers), ("ranker", ranker)):
        with np.load(Path(folder) / "weights.npz", allow_pickle=False) as file:
            arrays.update({f"{prefix}/{name}": file[name] for name in file.files})
    return arrays


def _vocabularies(transform: Path) -> str:
    digest = hashlib.sha256((transform / "features.json").read_bytes())
    for path in sorted(transform.glob("*/transform_fn/assets/*")):
        digest.update(f"\0{path.relative_to(transform).as_posix()}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def _arrays(arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        digest.update(f"\0{name}\0{little.dtype.str}{little.shape}\0".encode() + little.tobytes())
    return digest.hexdigest()


def _rows(rows: list[dict[str, Any]]) -> str:
    digest = hashlib.sha256()
    for row in rows:
        plain = {key: round(value, DIGITS) if isinstance(value, float) else value for key, value in row.items()}
        digest.update(json.dumps(plain, sort_keys=True, ensure_ascii=False, default=str).encode() + b"\n")
    return digest.hexdigest()


def weight_changes(first: Path, second: Path) -> list[str]:
    """A line for each named array of two releases that is new, gone, or moved, with how far."""
    lines = []
    with np.load(first / WEIGHTS, allow_pickle=False) as old, np.load(second / WEIGHTS, allow_pickle=False) as new:
        for name in sorted({*old.files, *new.files}):
            if name not in old.files or name not in new.files:
                lines.append(f"{name}: {'new' if name in new.files else 'gone'}")
            elif old[name].shape != new[name].shape:
                lines.append(f"{name}: shape {old[name].shape} -> {new[name].shape}")
            elif not np.array_equal(old[name], new[name]):
                length, moved = (float(np.linalg.norm(array)) for array in (old[name], new[name] - old[name]))
                lines.append(f"{name}: moved {moved:.4g}, {100 * moved / max(length, 1e-12):.2f}% of its length")
    return lines or ["the same"]
