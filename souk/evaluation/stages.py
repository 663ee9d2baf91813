"""Where the slate loses what was right: the stage at which each positive of the test window falls out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from souk.evaluation.protocol import TOP
from souk.metrics import Floats

STAGES = ("filtering", "retrieval", "ranking", "reranking", "kept")


MUCH = 0.1  # of the positives


def gone(stages: Mapping[str, Any]) -> str:
    """A warning where much of what was right was not available by the items file; "" where that is little."""
    share = stages.get("unavailable", 0.0)
    return (
        f"{share:.1%} of the positives are of items that were not available by the items file: they are not measured, "
        "since no slate may show them. `available` is of the time of the file, not of the moment: where "
        "items sell once, give `available_until`, or leave it out; where there are ends, look at their time zone "
        "(docs/data.md, items that end)."
        if share > MUCH
        else ""
    )


def attribution(
    ranks: Sequence[Floats],
    found: Sequence[np.ndarray],
    moved: Sequence[np.ndarray],
    filtered: Mapping[str, int],
    unavailable: int = 0,
    places: int = TOP,
) -> dict[str, Any]:
    """The share of the positives that is lost at each stage, and the share that is kept.

    - `filtering`: `repeat` or availability keeps it out;
    - `kept`: it stands in the slate, among its first `places`, whichever way it came there;
    - `retrieval`: no retriever brought it, so that it is not among the candidates;
    - `reranking`: it stood among the first `places` of the ranker's order, and the re-ranking moved it out;
    - `ranking`: it was a candidate, and the ranker put it behind these.

    Every positive counts once. The shares sum to 1.

    Args:
        ranks: per query `[targets]`, the rank in the final order.
        found: per query `[targets]` bool, whether it was among the candidates.
        moved: per query `[targets]` bool, whether it was among the first `places` of the ranker's order.
        filtered: positives that were filtered out, of the same moments, by cause; their shares, which sum to that of
            the stage, are told beside the stages'.
        unavailable: those of them that are not available now, or had ended; their share is told beside the stages'.
        places: of a slate that are looked at.
    """
    rank, candidate, first = (np.concatenate([*parts, np.zeros(0)]) for parts in (ranks, found, moved))
    total = len(rank) + sum(filtered.values())
    kept = rank <= places
    lost = {
        "filtering": sum(filtered.values()),
        "retrieval": int((~kept & (candidate == 0)).sum()),
        "ranking": int((~kept & (candidate == 1) & (first == 0)).sum()),
        "reranking": int((~kept & (candidate == 1) & (first == 1)).sum()),
        "kept": int(kept.sum()),
    }
    shares = {stage: lost[stage] / max(1, total) for stage in STAGES}
    causes = {cause: count / max(1, total) for cause, count in filtered.items()}
    told = {"causes": causes, "unavailable": unavailable / max(1, total)}
    return {"k": places, "positives": total, "shares": shares, **told}
