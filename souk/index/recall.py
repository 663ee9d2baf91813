"""What an index finds of what exact search finds."""

from __future__ import annotations

import numpy as np

from souk.index.exact import ExactIndex
from souk.index.interface import Index

QUERIES = 512
SEED = 17
BLOCK = 64  # queries searched at once where there are many
EQUAL = 1e-5  # of the greatest score: items of one vector have one, which another order of additions moves a little


def recall_at(
    index: Index,
    exact: ExactIndex,
    queries: np.ndarray,
    k: int,
    timeout: float = 60.0,
    allowed: np.ndarray | None = None,
) -> float:
    """The share of the exact top `k` that `index` finds too, over all `queries` `[batch, dim]`; 1 of nothing.

    An item that may appear and scores as well as the last of the exact ones is as good as that: those that training
    never saw share a vector where they share their content, and which of them come first nobody minds. What the index
    says of scores counts for nothing.

    Only the items of `allowed` `[items]` bool are looked for, where it is given.
    """
    hits = wanted = 0
    eligible = exact.mask(0, None, True, None if allowed is None else [allowed])
    for start in range(0, len(queries), BLOCK):
        block = queries[start : start + BLOCK]
        masks = None if allowed is None else [allowed] * len(block)
        found = index.search(block, k, timeout=timeout, allowed=masks)[0]
        truth, best = exact.search(block, k, allowed=masks)
        for query, own, items, scores in zip(block, found, truth, best, strict=True):
            count = int((items >= 0).sum())
            own = np.unique(own[own >= 0])
            own = own[eligible[own]]
            if count:
                least = scores[count - 1] - EQUAL * max(abs(scores[0]), abs(scores[count - 1]))
                hits += min(count, int(np.count_nonzero(exact.vectors[own] @ query >= least)))
            wanted += count
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
