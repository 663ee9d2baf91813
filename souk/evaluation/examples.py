"""A few users as people see them: what they did, what they would have been shown, and what they took next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from souk.evaluation.content import Content
from souk.evaluation.protocol import Ranking
from souk.evaluation.queries import Catalogue, Query

USERS = 10
HISTORY = 8  # last items that are shown
SEED = 22


def example_users(
    rankings: Sequence[Ranking],
    queries: Sequence[Query],
    catalogue: Catalogue,
    content: Content,
    models: Sequence[str],
) -> list[dict[str, Any]]:
    """The first query of USERS users, who are drawn by a seed: nobody picks the best looking ones.

    Returns:
        Per user: `user_id`, `events` so far, as `history` the titles of the last items of these, newest first, the
        `targets`, and per model the `slates`: pairs of a title and whether it is a target.
    """
    first: dict[str, int] = {}
    for index, query in enumerate(queries):
        first.setdefault(query.user_id, index)
    names = sorted(first)
    drawn = np.random.default_rng(SEED).permutation(len(names))[:USERS]
    shown: Mapping[str, Ranking] = {ranking.name: ranking for ranking in rankings if ranking.name in models}
    return [
        _example(queries[i], i, shown, catalogue, content)
        for i in (first[names[place]] for place in sorted(drawn.tolist()))
    ]


def _example(
    query: Query, index: int, shown: Mapping[str, Ranking], catalogue: Catalogue, content: Content
) -> dict[str, Any]:
    last = dict.fromkeys(catalogue.position[event.item_id] for event in reversed(query.past))
    targets = set(query.targets.tolist())
    return {
        "user_id": query.user_id,
        "events": query.state.count,
        "history": [content.titles[item] for item in list(last)[:HISTORY]],
        "targets": [content.titles[item] for item in query.targets.tolist()],
        "slates": {
            name: [(content.titles[item], item in targets) for item in ranking.top[index].tolist() if item >= 0]
            for name, ranking in shown.items()
        },
    }
