"""What an index finds of what exact search finds."""

from __future__ import annotations

import numpy as np

from souk.index.interface import Index

QUERIES = 512
SEED = 17
BLOCK = 64  # queries searched at once where there are many
EQUAL = 1e-5  # of two scores: items of one vector have one, which another order of additions moves by some millionths


def recall_at(
    index: Index,
    exact: Index,
    queries: np.ndarray,
    k: int,
    timeout: float = 60.0,
    allowed: np.ndarray | None = None,
) -> float:
    """The share of the exact top `k` that `index` finds too, over all `queries` `[batch, dim]`; 1 of nothing.

    An item that scores as well as the last of the exact ones is as good as that: those that training never saw share a
    vector where they share their content, and which of them come first nobody minds.

    Only the items of `allowed` `[items]` bool are looked for, where it is given.
    """
    hits = wanted = 0
    for start in range(0, len(queries), BLOCK):
        block = queries[start : start + BLOCK]
        masks = None if allowed is None else [allowed] * len(block)
        found, scores = index.search(block, k, timeout=timeout, allowed=masks)
        truth, best = exact.search(block, k, allowed=masks)
        counts = (truth >= 0).sum(axis=1)
        last = np.where(counts, np.take_along_axis(best, np.maximum(0, counts - 1)[:, None], axis=1)[:, 0], 0)
        near = (found >= 0) & (scores >= (last - EQUAL * np.maximum(1, np.abs(last)))[:, None])
        hits += int(np.minimum(near.sum(axis=1), counts).sum())
        wanted += int(counts.sum())
    return hits / wanted if wanted else 1.0


def sample_queries(vectors: np.ndarray) -> np.ndarray:
    """Item vectors, and mixtures of up to eight of them as long as an item's, as a user's vector is.

    Args:
        vectors: `[items, dim]` float32.

    Returns:
        `[QUERIES, dim]` float32, the same for the same vectors.
    """
    random = np.random.default_rng(SEED)
    alone = vectors[random.integers(len(vectors), size=QUERIES // 2)]
    groups = vectors[random.integers(len(vectors), size=(QUERIES - len(alone), 8))]
    mixed = np.einsum("qm,qmd->qd", random.dirichlet(np.full(8, 0.5), size=len(groups)), groups)
    lengths = np.linalg.norm(groups, axis=2).mean(axis=1) / np.maximum(np.linalg.norm(mixed, axis=1), 1e-9)
    return np.concatenate([alone, mixed * lengths[:, None]]).astype(np.float32)
