"""Collections on a Milvus server, which several workspaces may share: built whole, marked, and swept.

Each workspace that serves a collection has an alias of its own on it. No request uses it: it says that the collection
is in use. Neither Milvus nor Milvus Lite keeps a collection for its aliases, so that a sweep looks for them.
"""

from __future__ import annotations

import contextlib
import logging
import uuid
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from pymilvus.exceptions import MilvusException

from souk.folders import placed
from souk.index.collections import Report, connect, fill, unavailable_on_error
from souk.index.interface import IndexUnavailable

logger = logging.getLogger(__name__)
NAMED = "items_"  # what all names of collections begin with (souk.index.interface.collection_name)
BUILT, SWEPT = "building_", "sweeping_"  # before the name of one that is not whole yet, and of one that is to go
MARK = "souk_"
ORPHAN_MS = 7 * 86_400_000  # that a collection without a mark is left alone: a run takes less to deploy what it loads


def build(
    uri: str, collection: str, vectors: np.ndarray, available: np.ndarray, report: Report, index_type: str
) -> None:
    """Builds `collection` anew: under its name it is whole or not there, whoever else builds it at the same time.

    The marks of the one before are on the new one before that goes.

    Args:
        uri: the address of the server.
        collection: its name.
        vectors: `[items, dim]` float32, by position.
        available: `[items]` bool.
        report: is told how far it is.
        index_type: of Milvus.
    """
    own = f"{BUILT}{collection}_{uuid.uuid4().hex[:8]}"
    with contextlib.closing(connect(uri)) as client, unavailable_on_error(uri):
        before = _identity(client, collection)
        try:
            fill(client, own, vectors, available, report, index_type)
            if before is not None and _identity(client, collection) == before:
                _carry_marks(client, collection, own)
                client.drop_collection(collection)
            with contextlib.suppress(MilvusException):  # of one that another builder put there meanwhile
                client.rename_collection(own, collection)
            if _identity(client, collection) is None:
                raise IndexUnavailable(f"{own} to become {collection}", "neither", "Load the index again.")
        finally:
            with contextlib.suppress(MilvusException):  # there is none, or a server that is gone: the sweep finds it
                if client.has_collection(own):
                    _carry_marks(client, own, collection)  # where another builder's took its place
                    client.drop_collection(own)


def owner(folder: Path) -> str:
    """The name under which the workspace with this folder for Milvus marks collections; made where there is none."""
    path = folder / "owner"
    if not path.exists():
        with placed(path) as fresh:
            drawn = path.read_text(encoding="utf-8") if path.exists() else uuid.uuid4().hex[:12]  # by another meanwhile
            fresh.write_text(drawn, encoding="utf-8")
    return path.read_text(encoding="utf-8")


def mark(uri: str, collection: str, owner: str) -> None:
    """Says that a workspace uses `collection`.

    Raises:
        IndexUnavailable: there is no such collection, or no answer.
    """
    with contextlib.closing(connect(uri)) as client, unavailable_on_error(uri):
        if _mark(collection, owner) not in _marks(client, collection):
            client.create_alias(collection, _mark(collection, owner))


def sweep(uri: str, keep: Collection[str], owner: str, now: int) -> list[str]:
    """Drops the collections that no workspace uses.

    These are the ones that only this workspace had marked and that are not in `keep`, and those without a mark that are
    older than ORPHAN_MS: of a run that never deployed them, or that was killed while it built.

    Args:
        uri: the address of the server.
        keep: collections that this workspace uses; they are marked where they are there.
        owner: the workspace (`owner`).
        now: UTC epoch milliseconds.

    Returns:
        the names of those dropped.

    Raises:
        IndexUnavailable: no answer.
    """
    gone = []
    with contextlib.closing(connect(uri)) as client, unavailable_on_error(uri):
        names = set(client.list_collections())
        for name in sorted(names & set(keep)):
            if _mark(name, owner) not in _marks(client, name):
                client.create_alias(name, _mark(name, owner))
        for name in sorted(name for name in names.difference(keep) if name.startswith((NAMED, BUILT + NAMED, SWEPT))):
            marks = _marks(client, name)
            own = {mark for mark in marks if mark.startswith(_mark("", owner))}
            for each in own:
                client.drop_alias(each)
            if marks == own and (own or name.startswith(SWEPT) or _age(client, name, now) > ORPHAN_MS):
                gone += _dropped(client, name)
    return gone


def _dropped(client: Any, name: str) -> list[str]:
    """Drops a collection that nobody uses; the name of one that nobody began to use meanwhile.

    Under another name nobody can mark it any more: what is unmarked then is so for good.
    """
    original = name.removeprefix(SWEPT)
    if original == name:
        client.rename_collection(name, SWEPT + name)
    if _marks(client, SWEPT + original):
        logger.warning("%s is in use again", original)
        client.rename_collection(SWEPT + original, original)
        return []
    client.drop_collection(SWEPT + original)
    return [original]


def _identity(client: Any, collection: str) -> int | None:
    """What tells a collection from another of its name; Milvus Lite does not."""
    return int(client.describe_collection(collection)["collection_id"]) if client.has_collection(collection) else None


def _mark(collection: str, owner: str) -> str:
    return f"{MARK}{owner}_{collection}"


def _carry_marks(client: Any, source: str, target: str) -> None:
    """Has the marks of one collection on another, which takes its place: whoever uses the one uses that."""
    for mark in _marks(client, source):
        client.alter_alias(target, mark)


def _marks(client: Any, collection: str) -> set[str]:
    return {name for name in client.list_aliases(collection)["aliases"] if name.startswith(MARK)}


def _age(client: Any, collection: str, now: int) -> int:
    """Milliseconds; 0 where the server does not tell, as Milvus Lite."""
    made = client.describe_collection(collection).get("created_timestamp", 0) >> 18  # a hybrid clock: 18 bits of logic
    return now - made if made else 0
