"""What re-ranking costs and brings: the slates without it, with each control alone, and with all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from souk.evaluation.content import Content
from souk.evaluation.observed import places_among
from souk.evaluation.protocol import TOP, Ranking, Users
from souk.evaluation.queries import Catalogue, Query
from souk.evaluation.summary import intervals, summarise
from souk.metrics import Ints
from souk.rerank import Reranker
from souk.serving import ranking as served

NONE, ALL = "none", "all"
TOLD = ("ndcg", "coverage", "diversity", "top1_share")


@dataclass
class Alternatives:
    """The first TOP of the same ranked candidates, as slates under other rules.

    Args:
        rerankers: by name: NONE, each control that is on alone, and ALL where there are several; empty where none is.
        tops: by name and query, positions in the catalogue.
        new: by name and query, bool, which of them are new items.
        size: items of a slate; the rest of it than the first TOP is chosen, and not told.
    """

    rerankers: dict[str, Reranker] = field(default_factory=dict)
    tops: dict[str, list[Ints]] = field(default_factory=dict)
    new: dict[str, list[np.ndarray]] = field(default_factory=dict)
    size: int = TOP

    @classmethod
    def of(cls, reranker: Reranker, size: int) -> Alternatives:
        """Those of a release whose slates have `size` items."""
        on = reranker.controls
        found = {NONE: reranker.alone(""), **{name: reranker.alone(name) for name in on}} if on else {}
        return cls(found | ({ALL: reranker} if len(on) > 1 else {}), size=size)

    def add(self, ranking: served.Ranking, time: int, places: Ints) -> None:
        """Takes one query's candidates.

        Args:
            ranking: what is served.
            time: of the query, UTC epoch milliseconds.
            places: `[C]` the candidates' positions in the catalogue, -1 for those that it lacks.
        """
        ranked = ranking.ranked
        positions, logs = ranking.candidates.positions[ranked], ranking.log_scores[ranked]
        for name, reranker in self.rerankers.items():
            order = reranker.order(positions, logs, time, self.size)
            first = order[places[ranked[order]] >= 0][:TOP]
            self.tops.setdefault(name, []).append(places[ranked[first]])
            self.new.setdefault(name, []).append(reranker.new(positions[first], time))

    def price(
        self, queries: Sequence[Query], catalogue: Catalogue, content: Content, samples: int, places: int = TOP
    ) -> dict[str, Any]:
        """By name: accuracy with the difference to NONE, paired by user, and what it is paid for.

        Args:
            queries: those that were added, in order.
            catalogue: the items.
            content: of the items.
            samples: of the bootstrap.
            places: of a slate that are looked at, at most TOP and `size`.
        """
        rankings, metric = [], f"ndcg@{places}"
        for name, tops in self.tops.items():
            ranks = [places_among(top, query.targets) for top, query in zip(tops, queries, strict=True)]
            firsts = [top[:places] for top in tops]
            rows = np.array([np.pad(top, (0, places - len(top)), constant_values=-1) for top in firsts])
            rankings.append(Ranking(name, ranks, ranks, rows))
        models, per_user = summarise(rankings, queries, catalogue, content, (metric,), samples)
        own = {str(name): table[metric].to_numpy() for name, table in per_user.groupby("model")} if models else {}
        weights = Users.of(queries).weights
        told = [f"{kind}@{places}" for kind in TOLD]
        new = {
            name: np.array([own[:places].mean() if len(own) else 0.0 for own in shown])
            for name, shown in self.new.items()
        }
        return {
            name: {key: values[key] for key in told if key in values}
            | {f"new_share@{places}": float(new[name] @ weights)}
            | {"difference": intervals({metric: own[name] - own[NONE]}, samples)[metric]}
            for name, values in models.items()
        }
