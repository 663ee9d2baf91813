"""Search in Milvus: Lite (a path that ends in .db) or a server (an http address)."""

from __future__ import annotations

import contextlib
import os
from typing import Any

import numpy as np

from souk.folders import placed
from souk.index import lite, server
from souk.index.collections import LOAD_TIMEOUT, Report, connect, count, fill, unavailable_on_error
from souk.index.interface import Allowed, Exclusions, Index, IndexUnavailable, padded
from souk.index.place import is_lite

FLAT_ROWS = 50_000  # a server gets HNSW beyond; Lite stays FLAT: its filtered HNSW loses results
OVERFETCH = 200  # a query with more exclusions sends them along instead of dropping them here
TIMEOUT = 1.0  # seconds
PER_QUERY = 0.05
WIDTH = 4  # candidates of a walk through HNSW for each item that is wanted
LEAST, MOST = 800, 32_768  # at least and at most so many


class MilvusIndex(Index):
    """A collection of item vectors in Milvus.

    Args:
        uri: a path ending in .db, or `http://host:port`.
        collection: its name.
        available: `[items]` bool, as they were loaded.
        timeout: seconds that a search may take; a batch gets PER_QUERY more for each of its queries.
    """

    remote = True

    def __init__(self, uri: str, collection: str, available: np.ndarray, timeout: float = TIMEOUT) -> None:
        super().__init__(available)
        self.uri = uri
        self.collection = collection
        self.timeout = timeout
        self._client: Any = None
        self._holds = self._loaded = False

    def open(self) -> MilvusIndex:
        """Connects, checks that the collection is whole, and loads it.

        Raises:
            IndexUnavailable: missing, corrupt, half-built, held by another process or not reachable.
        """
        if is_lite(self.uri):
            if lite.held_elsewhere(self.uri):
                raise IndexUnavailable(f"{self.uri} to be free", "another process holds it", "Use a Milvus server.")
            if not lite.held_here(self.uri):
                lite.check(self.uri, self.collection, len(self))
            lite.hold(self.uri)
            self._holds = True
        try:
            self._client = connect(self.uri)
            self._load(LOAD_TIMEOUT)
        except BaseException:
            self.close()
            raise
        return self

    def search(
        self,
        queries: np.ndarray,
        k: int,
        exclude: Exclusions | None = None,
        available_only: bool = True,
        timeout: float | None = None,
        allowed: Allowed | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `Index.search`. Queries with few exclusions share one call that fetches that many more."""
        if self._client is None:
            raise IndexUnavailable(f"an open index {self.collection}", "it is closed")
        limit_seconds = timeout or self.timeout + PER_QUERY * len(queries)
        excluded = [set(e) for e in exclude] if exclude is not None else [set()] * len(queries)
        masks = [self.mask(row, exclude, available_only, allowed) for row in range(len(queries))]
        alone = {row for row, e in enumerate(excluded) if len(e) > OVERFETCH or (allowed and allowed[row] is not None)}
        shared = [row for row in range(len(queries)) if row not in alone]
        groups = [(shared, k + max((len(excluded[row]) for row in shared), default=0), "")] if shared else []
        for row in sorted(alone):
            if masks[row].any():
                named = allowed is not None and allowed[row] is not None
                groups.append(([row], k, _named(masks[row]) if named else f"position not in {sorted(excluded[row])}"))
        positions, scores = padded(len(queries), k)
        for rows, limit, condition in groups:
            terms = [term for term in ("available == true" if available_only else "", condition) if term]
            hits = self._hits(queries[rows], limit, " and ".join(terms), limit_seconds)
            for row, found in zip(rows, hits, strict=True):
                kept = sorted((-score, p) for p, score in found if p not in excluded[row])[:k]
                positions[row, : len(kept)] = [p for _, p in kept]
                scores[row, : len(kept)] = [-score for score, _ in kept]
        wanted = [min(k, np.count_nonzero(mask)) for mask in masks]
        short = (positions >= 0).sum(axis=1) < np.array(wanted, np.int64)
        if short.any():
            raise IndexUnavailable(f"{k} items a query from {self.collection}", f"fewer for {short.sum()} queries")
        return positions, scores

    def close(self) -> None:
        """Disconnects; the last user of a Lite folder in this process releases it."""
        client, self._client, self._loaded = self._client, None, False
        if client is not None:
            client.close()
        if self._holds:
            self._holds = False
            lite.drop(self.uri)

    def _hits(self, queries: np.ndarray, limit: int, condition: str, timeout: float) -> list[list[tuple[int, float]]]:
        if not self._loaded:  # the server was lost: it forgets what was loaded, and may not have all that it had
            self._load(timeout)
        try:
            with unavailable_on_error(self.uri):
                answer = self._client.search(
                    self.collection,
                    np.ascontiguousarray(queries, dtype=np.float32),
                    filter=condition,
                    limit=min(limit, len(self)),
                    output_fields=["position"],  # without it the vectors come along
                    search_params={"metric_type": "IP", "params": {"ef": min(max(WIDTH * limit, LEAST), MOST)}},
                    timeout=timeout,
                )
        except IndexUnavailable:
            self._loaded = False
            raise
        return [[(hit["position"], hit["distance"]) for hit in hits] for hits in answer]

    def _load(self, timeout: float) -> None:
        with unavailable_on_error(self.uri):
            self._client.load_collection(self.collection, timeout=timeout)
            rows = count(self._client, self.collection, "Bounded" if is_lite(self.uri) else "Strong", timeout)
        if rows != len(self):
            raise IndexUnavailable(f"{len(self)} rows in {self.collection}", f"{rows}", "Load the index again.")
        self._loaded = True


def _named(mask: np.ndarray) -> str:
    """A filter for the items of a mask, in the shorter of the two ways to say it."""
    word, named = ("in", mask) if 2 * np.count_nonzero(mask) < len(mask) else ("not in", ~mask)
    return f"position {word} {np.flatnonzero(named).tolist()}"


def build(
    uri: str, collection: str, vectors: np.ndarray, available: np.ndarray, report: Report = lambda text: None
) -> None:
    """Builds `collection` anew, whole or not at all.

    Args:
        uri: a path ending in .db, or the address of a server.
        collection: its name.
        vectors: `[items, dim]` float32, by position.
        available: `[items]` bool.
        report: is told how far the loading is.
    """
    if not is_lite(uri):
        server.build(uri, collection, vectors, available, report, "HNSW" if len(vectors) > FLAT_ROWS else "FLAT")
        return

    with placed(uri) as folder:
        path = str(folder)
        lite.hold(path)
        try:
            with contextlib.closing(connect(path)) as client, unavailable_on_error(path):
                fill(client, collection, vectors, available, report, "FLAT")
        finally:
            lite.drop(path)
        lite.seal(path, collection, len(vectors))


def open_or_build(
    uri: str, collection: str, vectors: np.ndarray, available: np.ndarray, report: Report = lambda text: None
) -> MilvusIndex:
    """Opens `collection`, and builds it first where it is missing, half-built or corrupt.

    Raises:
        IndexUnavailable: another process holds the Lite folder, or the server does not answer.
    """
    try:
        return MilvusIndex(uri, collection, available).open()
    except IndexUnavailable as error:
        if is_lite(uri) and lite.held_elsewhere(uri):
            raise
        missing = is_lite(uri) and not os.path.lexists(uri)
        report(f"building {collection}" if missing else f"building {collection} anew: {error}")
    build(uri, collection, vectors, available, report)
    return MilvusIndex(uri, collection, available).open()


def open_again(
    uri: str, collection: str, vectors: np.ndarray, available: np.ndarray, report: Report = lambda text: None
) -> MilvusIndex:
    """Opens `collection` where `open_or_build` could not, and builds it first where it is missing.

    What a server has is left as it is: one that has just come back may not be able to load it yet.

    Raises:
        IndexUnavailable: as `open_or_build`, or the collection of a server is not whole.
    """
    if is_lite(uri):
        return open_or_build(uri, collection, vectors, available)  # each attempt on a broken folder would be reported
    with contextlib.closing(connect(uri)) as client, unavailable_on_error(uri):
        there = client.has_collection(collection, timeout=LOAD_TIMEOUT)
    if not there:
        report(f"building {collection}")
        build(uri, collection, vectors, available, report)
    return MilvusIndex(uri, collection, available).open()
