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
DRAWN = 8  # digits behind the name of one that is not whole yet, and a _
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
    own, carried = f"{BUILT}{collection}_{uuid.uuid4().hex[:DRAWN]}", set[str]()
    with contextlib.closing(connect(uri)) as client, unavailable_on_error(uri):
        _recover(client, {collection})
        before = _identity(client, collection)
        try:
            fill(client, own, vectors, available, report, index_type)
            if before is not None and _identity(client, collection) == before:
                carried = _carry_marks(client, collection, own)
                client.drop_collection(collection)
            with contextlib.suppress(MilvusException):  # of one that another builder put there meanwhile
                client.rename_collection(own, collection)
            for each in carried - _marks(client, collection):  # one whose owner moved it back to the one that is gone
                _put(client, collection, each)
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
        _put(client, collection, _mark(collection, owner))


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
        _recover(client, keep)
        names = set(client.list_collections())
        for name in sorted(names & set(keep)):
            _put(client, name, _mark(name, owner))
        for name in sorted(name for name in names.difference(keep) if name.startswith((NAMED, BUILT + NAMED, SWEPT))):
            marks = _marks(client, name)
            own = {mark for mark in marks if mark.startswith(_mark("", owner))}
            for each in own:
                client.drop_alias(each)
            if marks == own and (own or name.startswith(SWEPT) or _age(client, name, now) > ORPHAN_MS):
                gone += _dropped(client, name)
    return gone


def _recover(client: Any, keep: Collection[str]) -> None:
    """Puts right what a process left that was killed between two steps of `build` or `_dropped`.

    A collection under another name that has marks is in use: it gets its name back, or, where one has it, hands over
    its marks. What is being built has marks for a moment only, when it is whole; its builder finds either.

    Args:
        client: of the server.
        keep: collections that are in use without a mark, too; a swept one gets its name back.
    """
    for name in sorted(name for name in client.list_collections() if name.startswith((BUILT + NAMED, SWEPT + NAMED))):
        original = name.removeprefix(SWEPT) if name.startswith(SWEPT) else name[len(BUILT) : -DRAWN - 1]
        if client.has_collection(original):
            _carry_marks(client, name, original)
        elif _marks(client, name) or (name.startswith(SWEPT) and original in keep):
            client.rename_collection(name, original)


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


def _put(client: Any, collection: str, mark: str) -> None:
    """Has a mark on a collection, wherever it is."""
    if mark in _marks(client, collection):
        return
    try:
        client.create_alias(collection, mark)
    except MilvusException:  # it is on another: on one that was to take the collection's place
        client.alter_alias(collection, mark)


def _carry_marks(client: Any, source: str, target: str) -> set[str]:
    """Has the marks of one collection on another, which takes its place: whoever uses the one uses that."""
    marks = _marks(client, source)
    for mark in marks:
        client.alter_alias(target, mark)
    return marks


def _marks(client: Any, collection: str) -> set[str]:
    return {name for name in client.list_aliases(collection)["aliases"] if name.startswith(MARK)}


def _age(client: Any, collection: str, now: int) -> int:
    """Milliseconds; 0 where the server does not tell, as Milvus Lite."""
    made = client.describe_collection(collection).get("created_timestamp", 0) >> 18  # a hybrid clock: 18 bits of logic
    return now - made if made else 0
