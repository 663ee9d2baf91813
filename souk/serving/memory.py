"""What a release takes of memory: its arrays, and the weights of its models."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

SELDOM = 700, 10, 30  # of Python's three generations; the last is 10 by default
FEW = 1_000  # of the parts of a container: more of them are ids or rows, and no arrays
OWN = "souk."


def array_bytes(*roots: Any) -> int:
    """Bytes of the numpy and Arrow arrays that can be reached through objects of ours, each counted once.

    Dictionaries by id, texts and other objects of Python are left out, as is what a library holds for itself.
    """
    seen, total, left = set[int](), 0, list(roots)
    while left:
        thing = left.pop()
        if isinstance(thing, np.ndarray):
            while isinstance(thing.base, np.ndarray):  # a view takes nothing
                thing = thing.base
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, np.ndarray | pa.Table | pa.Array | pa.ChunkedArray):
            total += thing.nbytes
        elif isinstance(thing, Mapping):
            left += thing.values() if len(thing) <= FEW else ()
        elif isinstance(thing, list | tuple):
            left += thing if len(thing) <= FEW else ()
        elif type(thing).__module__.startswith(OWN):
            left += getattr(thing, "__dict__", {}).values()
    return total


def model_bytes(*folders: Path) -> int:
    """Bytes of the weights and graphs of SavedModels, as they lie on the disk."""
    return sum(file.stat().st_size for folder in folders for file in folder.rglob("*") if file.is_file())


def seldom_walked() -> None:
    """Has the collector of garbage walk through what has grown old a third as often as by default.

    That is users' states, a hundred objects each: a walk takes the longer the more users there are, and nobody is
    answered meanwhile. Neither an answer nor an error leaves garbage that only a walk would find.
    """
    gc.set_threshold(*SELDOM)


def settled() -> None:
    """Leaves what is in memory now out of later collections of garbage, but for what is garbage already.

    A walk through all objects of a server and its release takes a tenth of a second, in which nobody is answered; it
    would come every half minute. This one comes at the start, and when a release was let go. One that is added is left
    out by `gc.freeze` alone, without a walk: what is garbage then goes with the next one.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
