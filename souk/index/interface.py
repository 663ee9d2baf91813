"""What every index offers, and the one error with which it fails."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence

import numpy as np

from souk.errors import SoukError

Exclusions = Sequence[Collection[int]]
Allowed = Sequence[np.ndarray | None]  # for each query `[items]` bool, or None where every item may appear


class IndexUnavailable(SoukError):
    """The index cannot answer now: missing, corrupt, held by another process, hung or gone. Use another one."""


class Index(ABC):
    """Top-k search by inner product over the vectors of items.

    Args:
        available: `[items]` bool, which items may be recommended.
    """

    remote = False  # whether a search leaves the process: it may hang then, and what it carries costs time

    def __init__(self, available: np.ndarray) -> None:
        self.available = np.asarray(available, dtype=bool)

    def __len__(self) -> int:
        return len(self.available)

    @abstractmethod
    def search(
        self,
        queries: np.ndarray,
        k: int,
        exclude: Exclusions | None = None,
        available_only: bool = True,
        timeout: float | None = None,
        allowed: Allowed | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The `k` best eligible items of each query, best first.

        Never fewer than `k` while that many items are eligible.

        Args:
            queries: `[batch, dim]` float32.
            k: how many, at least 1.
            exclude: for each query the positions that must not appear.
            available_only: leave out items that are not available.
            timeout: seconds after which to give up; None for the index's own limit.
            allowed: for each query the only items that may appear.

        Returns:
            Positions `[batch, k]` int64, padded with -1, and scores `[batch, k]` float32, padded with -inf.

        Raises:
            IndexUnavailable: no answer, or not in time, or not a whole one.
        """

    @abstractmethod
    def close(self) -> None:
        """Frees what the index holds; it cannot be searched afterwards."""

    def mask(self, row: int, exclude: Exclusions | None, available_only: bool, allowed: Allowed | None) -> np.ndarray:
        """What the query `row` of a search may be answered with: `[items]` bool, the caller's own."""
        own = allowed[row] if allowed is not None else None
        if own is None:
            mask = self.available.copy() if available_only else np.ones(len(self), bool)
        else:
            mask = self.available & own if available_only else np.array(own, bool)
        if exclude is not None and len(exclude[row]):
            mask[np.fromiter(exclude[row], np.int64, len(exclude[row]))] = False
        return mask


def padded(batch: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """An answer without items: positions `[batch, k]` of -1, scores `[batch, k]` of -inf."""
    return np.full((batch, k), -1, dtype=np.int64), np.full((batch, k), -np.inf, dtype=np.float32)


def collection_name(item_ids: Sequence[str], vectors: np.ndarray, available: np.ndarray) -> str:
    """`items_` and twelve hex digits that name the whole content of a collection.

    Args:
        item_ids: by position.
        vectors: `[items, dim]` float32.
        available: `[items]` bool.
    """
    digest = hashlib.sha256("\n".join(item_ids).encode())
    digest.update(repr(vectors.shape).encode())
    digest.update(np.ascontiguousarray(vectors, dtype="<f4").tobytes())
    digest.update(np.packbits(np.asarray(available, dtype=bool)).tobytes())
    return f"items_{digest.hexdigest()[:12]}"
