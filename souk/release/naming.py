"""The name of a release: a hash of what decides its answers, and of nothing else.

Not in it: paths, times, checksums of SavedModels (their bytes differ from run to run; the weights in them do not).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from souk.release.bundle import Bundle

WEIGHTS = "weights.npz"
PART = 3  # names that tell a part of the models, of those that lead to an array
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
    """What differs between the named arrays of two releases: a line for each that is new, gone or of another shape, and
    for each part of the models that moved, how far, and which of its arrays moved most."""
    lines: list[str] = []
    parts: dict[str, list[tuple[str, float, float]]] = {}  # of each its arrays: name, length, how far it moved
    with np.load(first / WEIGHTS, allow_pickle=False) as old, np.load(second / WEIGHTS, allow_pickle=False) as new:
        for name in sorted({*old.files, *new.files}):
            if name not in old.files or name not in new.files:
                lines.append(f"{name}: {'new' if name in new.files else 'gone'}")
            elif old[name].shape != new[name].shape:
                lines.append(f"{name}: shape {old[name].shape} -> {new[name].shape}")
            else:
                names = name.split("/")
                length, moved = (float(np.linalg.norm(array)) for array in (old[name], new[name] - old[name]))
                own = parts.setdefault("/".join(names[:PART]), [])
                own.append(("/".join(names[PART:]), length, moved))
    lines += [_moved(part, arrays) for part, arrays in parts.items() if any(moved for *_, moved in arrays)]
    return lines or ["the same"]


def _moved(part: str, arrays: Sequence[tuple[str, float, float]]) -> str:
    """How far the arrays of a part moved together, and the one that moved farthest; in shares of their lengths."""
    name, length, far = max(arrays, key=lambda array: array[2])
    if len(arrays) == 1:
        return f"{'/'.join(filter(None, (part, name)))}: moved, {_share(far, length)}"
    _, lengths, distances = zip(*arrays, strict=True)
    moved = f"{sum(map(bool, distances))} of {len(arrays)} arrays moved"
    whole = _share(math.hypot(*distances), math.hypot(*lengths))
    return f"{part}: {moved}, {whole}; farthest {name}, {_share(far, length)}"


def _share(moved: float, length: float) -> str:
    return f"by {moved / length:.2%}" if length else "from 0"
