"""What a metric says of a catalogue so small that a list as long as its cut-off holds much or all of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MOST = 100  # items, the longest list that a metric cuts off at
SLATE = 10


def few_items(metrics: Mapping[str, Any]) -> str:
    """In words, what an order by chance has of a catalogue of at most 100 items; "" for a larger one.

    Args:
        metrics: the content of `metrics.json`.
    """
    count = metrics["items"]
    if not 0 < count <= MOST:
        return ""
    if count <= SLATE:
        return (
            f"Ten places hold all {count} items: HR, recall and coverage are 1 for whatever ranks them all; the order "
            "counts, which NDCG and MRR tell."
        )
    cut = [f"Recall@{length}" for length in (50, 100) if length >= count]
    return (
        f"Ten places hold {SLATE / count:.0%} of so few items, which is the least HR@10 of an order by chance; "
        f"{' and '.join(cut)} {'is' if len(cut) == 1 else 'are'} 1 for whatever ranks them all."
    )
