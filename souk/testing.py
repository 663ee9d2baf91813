"""The tests that classes of one's own have to pass (souk.plugs), for pytest in the package that has them:

    class TestEditors(RetrieverContract):
        use = "shop.recommend:Editors"
        options = {"ids": ["i3", "i5"]}

The catalogue has 40 items, `i0` to `i39`, a number `price`, and a word `category`, `even` or `odd`. A user has a
`region`, a request a `device`.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from souk.config import BuildFeatures, Columns, Objective, Objectives, Repeat
from souk.pairs import PAIR_FEATURES
from souk.plugs import Items, Query, Ranker, Retriever, as_heads, as_positions, made
from souk.schema import EventType, Kind
from souk.serving.inputs import query_inputs
from souk.spec import FeatureSpec
from souk.state import Event, UserState, features_at

SIZE, DIM, NOW = 40, 8, 1_700_000_000_000
DAY_MS = 86_400_000
CLICK = Objective(events=(EventType.CLICK,))
SPEC = FeatureSpec(
    dataset="example",
    columns=Columns(events={"device": Kind.CATEGORICAL}, users={"region": Kind.CATEGORICAL}),
    objectives=Objectives(engaged=CLICK, satisfied=CLICK),
    repeat=Repeat(rule="always"),
    build=BuildFeatures(history_length=4),
)


def example_items(size: int = SIZE) -> Items:
    """The catalogue; of another size, with fewer items or more at the end."""
    vectors = np.random.default_rng(7).normal(size=(max(size, 2 * SIZE), DIM)).astype(np.float32)[:size]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[SIZE - 2 :] *= 0.94  # as of items that training never saw
    place = np.arange(size)
    ids = tuple(f"i{n}" for n in range(size))
    arrays = {
        "available": place % 7 != 0,
        "vectors": vectors,
        "created_at": np.where(place % 5 == 0, np.nan, NOW - place * DAY_MS),
        "available_until": np.where(place % 7 == 0, NOW + place * DAY_MS, np.inf),
        "events": (place[::-1] ** 2).astype(np.float32),
        "price": np.where(place % 11 == 10, np.nan, 5 + place).astype(np.float32),
    }
    price = arrays.pop("price")
    words = {"category": {"even": place % 2 == 0, "odd": place % 2 == 1}}

    def having(column: str, word: str) -> np.ndarray:
        mask = words.get(column, {}).get(word, np.zeros(size, bool))
        mask.flags.writeable = False
        return mask

    positions = {item: n for n, item in enumerate(ids)}
    titles = tuple(f"Item {item}" for item in ids)
    return Items(ids, positions, titles, numbers={"price": price}, having=having, **arrays)


def example_queries() -> list[Query]:
    """Who may ask: somebody with a history, of which one item is not known, and a visitor of whom nothing is."""
    history = tuple(Event(f"i{n}", "click", NOW - (9 - n) * DAY_MS, event_id=f"e{n}") for n in range(8))
    gone = Event("gone", "purchase", NOW - DAY_MS // 2, value=3.0, event_id="gone")
    vector = example_items().vectors[3]
    return [
        Query("ann", NOW, (*history, gone), {"region": "north"}, {"device": "mobile"}, vector),
        Query("ann", NOW, history, {}, {}, None),
        Query("nobody", NOW, (), {}, {}, vector),
        Query("nobody", NOW, (), {}, {}, None),
        Query("bob", NOW, (*history[5:], *history[:2]), {"region": "south"}, {"device": "desktop"}, -vector),
    ]


def example_features(count: int) -> dict[str, np.ndarray]:
    """The raw features of `count` requests by those who may ask, made as a server makes them."""
    return features_of([query for query, _ in zip(itertools.cycle(example_queries()), range(count), strict=False)])


def features_of(asked: Sequence[Query]) -> dict[str, np.ndarray]:
    """The raw features of these requests, made as a server makes them."""
    states = [UserState(q.user_id, len(q.history), q.history, profile=q.profile) for q in asked]
    each = zip(states, asked, strict=True)
    return query_inputs([features_at(state, q.time, SPEC, q.context) for state, q in each], SPEC)


class _Contract:
    use: str
    options: Mapping[str, Any] = {}


class RetrieverContract(_Contract):
    """What a `Retriever` has to do."""

    def made(self) -> Retriever:
        """The retriever, by what a config would say."""
        return made(self.use, Retriever, example_items(), self.options)  # type: ignore[type-abstract]

    def test_it_brings_distinct_positions_of_the_catalogue_for_whoever_asks(self) -> None:
        retriever, items = self.made(), example_items()
        for query in example_queries():
            for count in (1, 5, SIZE):
                as_positions(retriever.retrieve(query, items, count), SIZE)

    def test_it_brings_something_for_somebody(self) -> None:
        retriever, items = self.made(), example_items()
        found = [len(as_positions(retriever.retrieve(query, items, SIZE), SIZE)) for query in example_queries()]
        assert any(found), "it brought nothing for any query"

    def test_the_same_question_has_the_same_answer(self) -> None:
        items, (query, *_) = example_items(), example_queries()
        one, other = self.made(), self.made()
        first = np.asarray(one.retrieve(query, items, 9))
        for retriever in (one, other):
            again = np.asarray(retriever.retrieve(query, items, 9))
            assert np.array_equal(first, again), f"{first.tolist()} became {again.tolist()}"

    def test_who_asked_before_changes_no_answer(self) -> None:
        items, queries, used = example_items(), example_queries(), self.made()
        for query in [*queries, *queries, *reversed(queries)]:
            alone = np.asarray(self.made().retrieve(query, items, 9))
            found = np.asarray(used.retrieve(query, items, 9))
            assert np.array_equal(found, alone), f"{query.user_id} has {found.tolist()}, and alone {alone.tolist()}"

    def test_it_goes_on_when_items_come(self) -> None:
        retriever, more = self.made(), example_items(SIZE + 10)
        for query in example_queries():
            as_positions(retriever.retrieve(query, more, 9), SIZE + 10)


class RankerContract(_Contract):
    """What a `Ranker` has to do."""

    def made(self) -> Ranker:
        """The ranker, by what a config would say."""
        return made(self.use, Ranker, example_items(), self.options)  # type: ignore[type-abstract]

    def _asked(
        self, ranker: Ranker, items: Items, positions: np.ndarray, request: np.ndarray, more: int = 0
    ) -> dict[str, np.ndarray]:
        features = example_features(int(request.max(initial=0)) + 1)
        pair = np.random.default_rng(5).random((SIZE + 10, len(PAIR_FEATURES) + more), np.float32)[positions]
        return as_heads(ranker.probabilities(features, items, positions, request, pair), len(positions))

    def test_it_gives_each_candidate_probabilities(self) -> None:
        ranker, items = self.made(), example_items()
        for counts in ([1], [3], [5, 0, 7], [SIZE, SIZE]):
            positions = np.concatenate([np.arange(count) for count in counts]).astype(np.int64)
            self._asked(ranker, items, positions, np.repeat(np.arange(len(counts)), counts))

    def test_data_with_matches_have_more_pair_features(self) -> None:
        ranker, items = self.made(), example_items()
        for more in (1, 3):
            self._asked(ranker, items, np.arange(5), np.zeros(5, np.int64), more)

    def test_a_candidate_has_the_same_in_whatever_company(self) -> None:
        ranker, items = self.made(), example_items()
        positions = np.arange(SIZE)
        together = self._asked(ranker, items, positions, np.zeros(SIZE, np.int64))
        turned = self._asked(ranker, items, positions[::-1].copy(), np.zeros(SIZE, np.int64))
        for name, values in together.items():
            close = np.allclose(values, turned[name][::-1], atol=1e-4)
            assert close, f"{name} of a candidate depends on where it stands among the others"

    def test_a_user_has_the_same_in_whatever_company(self) -> None:
        ranker, items, queries = self.made(), example_items(), example_queries()
        width, places = len(PAIR_FEATURES), np.arange(SIZE)
        pairs = [np.random.default_rng(n).random((SIZE, width), np.float32) for n in range(len(queries))]

        def asked(users: Sequence[int], named: Sequence[int]) -> dict[str, np.ndarray]:
            """Of the requests of `users`, with candidates for those in `named`, which come in the same order."""
            features = features_of([queries[user] for user in users])
            request = np.repeat([users.index(user) for user in named], SIZE).astype(np.int64)
            pair = np.concatenate([pairs[user] for user in named])
            positions = np.tile(places, len(named))
            return as_heads(ranker.probabilities(features, items, positions, request, pair), len(positions))

        alone = [asked([user], [user]) for user in range(len(queries))]
        forward = list(range(len(queries)))
        for users, named in ((forward, forward), (forward[::-1], forward[::-1]), (forward, forward[1:])):
            for name, values in asked(users, named).items():
                for user, part in zip(named, np.split(values, len(named)), strict=True):
                    told = f"{name} of {queries[user].user_id}'s candidates depends on who else asks"
                    assert np.allclose(part, alone[user][name], atol=1e-4), told

    def test_the_same_question_has_the_same_answer(self) -> None:
        items, positions, request = example_items(), np.arange(9), np.zeros(9, np.int64)
        first, again = (self._asked(self.made(), items, positions, request) for _ in range(2))
        assert first.keys() == again.keys(), f"{sorted(first)} became {sorted(again)}"
        assert all(np.allclose(first[name], again[name], atol=1e-6) for name in first), "the numbers are others"

    def test_it_goes_on_when_items_come(self) -> None:
        ranker, more = self.made(), example_items(SIZE + 10)
        self._asked(ranker, more, np.arange(SIZE - 2, SIZE + 10), np.zeros(12, np.int64))
