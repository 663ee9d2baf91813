"""What a metric says of a catalogue so small that a list as long as its cut-off holds much or all of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from souk.evaluation.places import in_words, places_of

MOST = 100  # items, the longest list that a metric cuts off at


def few_items(metrics: Mapping[str, Any]) -> str:
    """In words, what an order by chance has of a catalogue of at most 100 items; "" for a larger one.

    Args:
        metrics: the content of `metrics.json`.
    """
    count, places = metrics["items"], places_of(metrics["protocols"]["rolling"])
    first = in_words(places).capitalize()
    if not 0 < count <= MOST:
        return ""
    if count <= places:
        return (
            f"{first} places hold all {count} items: HR, recall and coverage are 1 for whatever ranks them all; the "
            "order counts, which NDCG and MRR tell."
        )
    cut = [f"Recall@{length}" for length in (10, 50, 100) if length >= count]
    return (
        f"{first} places hold {places / count:.0%} of so few items, which is the least HR@{places} of an order by "
        f"chance; {' and '.join(cut)} {'is' if len(cut) == 1 else 'are'} 1 for whatever ranks them all."
    )
