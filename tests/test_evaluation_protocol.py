"""Queries, baselines and rankings whose right answers are counted by hand."""

import json
from dataclasses import replace

import numpy as np
import pytest

from souk.evaluation.baselines import ItemKnn, Popularity
from souk.evaluation.protocol import METRICS, rank, slices, summarise
from souk.evaluation.queries import (
    frozen_queries,
    in_spec,
    read_window,
    rolling_queries,
)
from tests.evaluation_fixtures import make_spec, spec_of, write_artifacts
from tests.marketplace import CONFIG

DAY = 86_400_000
START = 100 * DAY
ITEMS = {"a": True, "b": True, "c": True, "d": True, "gone": False, "new": True}
EVENTS = [
    ("ann", "a", "click", START - 9 * DAY),
    ("ann", "a", "purchase", START - 9 * DAY),
    ("ann", "b", "click", START - 8 * DAY),
    ("bob", "b", "click", START - 7 * DAY),
    ("bob", "c", "click", START - 6 * DAY),
    ("ann", "c", "click", START + 1),
    ("ann", "d", "click", START + 1),  # one moment, two targets
    ("ann", "d", "purchase", START + 2),  # no engagement: no query
    ("ann", "b", "click", START + 5),
    ("ann", "gone", "click", START + 6),
    ("eve", "new", "click", START + 7),
    ("dan", "a", "impression", START + 8),
]


@pytest.fixture
def read(tmp_path):
    """Reads EVENTS, or others, under a spec."""

    def of(spec, events=EVENTS, items=ITEMS, window="test"):
        tables, features = write_artifacts(tmp_path / f"{len(list(tmp_path.iterdir()))}", events, items, START)
        return read_window(tables, features, spec, window)[::-1]

    return of


def shown(query, catalogue):
    return query.user_id, query.timestamp - START, [catalogue.ids[target] for target in query.targets]


def test_rolling_queries_by_hand(read):
    spec = spec_of("always")
    window, catalogue = read(spec)
    queries = rolling_queries(window, catalogue, spec, most=20)
    assert [shown(query, catalogue) for query in queries] == [
        ("ann", 1, ["c", "d"]),
        ("ann", 5, ["b"]),
        ("eve", 7, ["new"]),
    ]
    assert [query.state.count for query in queries] == [3, 6, 0]
    assert [[catalogue.ids[i] for i in query.history] for query in queries] == [["a", "b"], ["a", "b", "c", "d"], []]
    assert not any(len(query.excluded) for query in queries)


def test_engaged_items_leave_catalogue_and_targets_when_repeat_is_never(read):
    spec = spec_of("never")
    window, catalogue = read(spec)
    queries = rolling_queries(window, catalogue, spec, most=20)
    assert [shown(query, catalogue) for query in queries] == [("ann", 1, ["c", "d"]), ("eve", 7, ["new"])]
    assert [catalogue.ids[i] for i in queries[0].excluded] == ["a", "b"]
    assert queries[0].state.engaged == {"a": START - 9 * DAY, "b": START - 8 * DAY}


def test_items_come_back_after_days(read):
    spec = spec_of({"rule": "after_days", "days": 8.5})
    window, catalogue = read(spec)
    first = rolling_queries(window, catalogue, spec, most=20)[0]
    assert [catalogue.ids[i] for i in first.excluded] == ["b"]


def test_only_the_first_queries_of_a_user_count(read):
    spec = spec_of("always")
    window, catalogue = read(spec)
    queries = rolling_queries(window, catalogue, spec, most=1)
    assert [(query.user_id, query.timestamp - START) for query in queries] == [("ann", 1), ("eve", 7)]


def test_frozen_queries_know_nothing_of_the_window(read):
    spec = spec_of("never")
    window, catalogue = read(spec)
    queries = frozen_queries(window, catalogue, spec)
    assert [shown(query, catalogue) for query in queries] == [("ann", 0, ["c", "d"]), ("eve", 0, ["new"])]
    assert queries[0].state.count == 3


def test_state_of_a_query_in_another_spec(read):
    """A champion may keep a longer history and other user columns than its challenger."""
    spec = spec_of("always")
    other = make_spec({**CONFIG, "build_features": {"history_length": 4}, "columns": {"users": {"age": "numeric"}}})
    events = [("ann", "abcd"[n % 4], "click", START - 100 + n) for n in range(50)] + [("ann", "a", "click", START)]
    window, catalogue = read(spec, events)
    [query] = rolling_queries(window, catalogue, spec, most=20)
    assert len(query.state.events) == 48
    state = in_spec(query, other)
    assert (len(state.events), state.count) == (6, 50)
    assert state.events == query.state.events[-6:]
    assert list(state.profile) == ["age"]


def test_later_events_change_no_query(read):
    spec = spec_of("always")
    window, catalogue = read(spec)
    later = [*EVENTS, ("ann", "a", "click", START + 6), ("bob", "a", "click", START + 9)]
    window_later, catalogue_later = read(spec, later)
    before = rolling_queries(window, catalogue, spec, most=2)[:2]
    after = rolling_queries(window_later, catalogue_later, spec, most=2)[:2]
    assert [repr(q.state) for q in before] == [repr(q.state) for q in after]  # repr: NaN is not equal to itself
    assert catalogue.popularity.tolist() == catalogue_later.popularity.tolist() == [1, 2, 1, 0, 0, 0]
    assert catalogue.old.tolist() == catalogue_later.old.tolist()


def test_the_validation_window_knows_neither_itself_nor_the_test_window(read):
    """The validation window of the fixtures starts long before the first event."""
    spec = spec_of("always")
    early = [("ann", "d", "click", START // 2 - 5), *EVENTS]
    window, catalogue = read(spec, early, window="validation")
    assert (window.start, window.end) == (START // 2, START)
    queries = rolling_queries(window, catalogue, spec, most=20)
    assert [(q.user_id, [catalogue.ids[t] for t in q.targets]) for q in queries] == [
        ("ann", ["a"]), ("ann", ["b"]), ("bob", ["b"]), ("bob", ["c"]),
    ]  # fmt: skip
    assert [[catalogue.ids[i] for i in q.history] for q in queries] == [["d"], ["d", "a"], [], ["b"]]
    assert {e.item_id for own in window.events.values() for e in own} == set("abcd")
    assert catalogue.popularity.tolist() == [0, 0, 0, 1, 0, 0]
    assert catalogue.old.tolist() == [False, False, False, True, False, False]
    assert {user: times.tolist() for user, times in catalogue.engaged_times.items()} == {"ann": [START // 2 - 5]}
    without_test = [event for event in early if event[3] < START] + [("zoe", "a", "click", START)]
    other, same = read(spec, without_test, window="validation")
    assert repr(rolling_queries(other, same, spec, most=20)) == repr(queries)


class Fixed:
    """Scores by item id."""

    def __init__(self, catalogue, scores, name="fixed"):
        self.name = name
        self._scores = np.array([scores.get(item, 0.0) for item in catalogue.ids])

    def score(self, queries):
        return np.tile(self._scores, (len(queries), 1))


def test_rank_by_hand(read):
    spec = spec_of("never")
    window, catalogue = read(spec)
    queries = rolling_queries(window, catalogue, spec, most=20)
    found = rank(Fixed(catalogue, {"gone": 9, "a": 8, "d": 7, "b": 6, "c": 5}), queries, catalogue)
    assert found.ranks[0].tolist() == [2, 1]  # a and b were engaged, gone is not available
    assert found.ranks[1].tolist() == [5]  # a, d, b, c come before new
    assert [catalogue.ids[i] for i in found.top[0] if i >= 0] == ["d", "c", "new"]
    assert found.top.shape == (2, 10)


def test_users_weigh_the_same(read):
    spec = spec_of("always")
    window, catalogue = read(spec)
    queries = rolling_queries(window, catalogue, spec, most=20)
    ranking = rank(Fixed(catalogue, {"new": 1.0}), queries, catalogue)
    models, table = summarise([ranking], queries, catalogue, METRICS, samples=100)
    by_user = table.set_index("user_id")["mrr"]
    assert by_user.to_dict() == pytest.approx({"ann": (1 / 4 + 1 / 3) / 2, "eve": 1.0})
    assert models["fixed"]["mrr"]["mean"] == pytest.approx(by_user.mean())
    assert models["fixed"]["coverage@10"] == 1.0  # five available items, all within the first ten


def test_slices_by_hand(read):
    spec = spec_of("always")
    window, catalogue = read(spec)
    queries = rolling_queries(window, catalogue, spec, most=20)
    found = slices([rank(Fixed(catalogue, {"new": 1.0, "d": 0.5}), queries, catalogue)], queries, catalogue, METRICS)
    assert (found["cold users"]["queries"], found["cold users"]["users"]) == (1, 1)
    assert found["cold users"]["fixed"]["mrr"] == 1.0
    assert found["new items"]["queries"] == 2  # eve's, and d of ann's first
    assert found["new items"]["fixed"]["mrr"] == pytest.approx((1 / 2 + 1) / 2)
    assert found["known users and items"]["queries"] == 2


def test_what_is_new_to_a_user_is_ranked_among_what_is_new_to_the_user(read):
    spec = spec_of("always")
    window, catalogue = read(spec)
    queries = rolling_queries(window, catalogue, spec, most=20)  # ann: c and d are new; then b again. eve: new
    order = Fixed(catalogue, {"a": 9, "b": 8, "c": 7, "d": 6, "new": 5})
    ranking = rank(order, queries, catalogue)
    assert [found.tolist() for found in ranking.ranks] == [[3, 4], [2], [5]]
    assert [found.tolist() for found in ranking.new_ranks] == [[1, 2], [], [5]]  # a and b are old to ann
    found = slices([ranking], queries, catalogue, METRICS)
    assert found["new to the user"] == {"queries": 2, "users": 2, "fixed": pytest.approx(
        {"hr@10": 1.0, "ndcg@10": (1 + 1 / np.log2(6)) / 2, "mrr": (1 + 1 / 5) / 2, "recall@100": 1.0})}  # fmt: skip
    assert found["engaged with before"]["fixed"]["mrr"] == pytest.approx(1 / 2)


def test_where_nobody_comes_back_there_is_one_report(read):
    spec = spec_of("never")
    window, catalogue = read(spec)
    queries = rolling_queries(window, catalogue, spec, most=20)
    found = slices([rank(Fixed(catalogue, {}), queries, catalogue)], queries, catalogue, METRICS)
    assert "new to the user" not in found


def plain_knn(histories, history, count, shrinkage):
    """Cosine over user vectors, item by item."""
    matrix = np.array([[item in own for item in range(count)] for own in histories], dtype=float)
    scores = []
    for item in range(count):
        total = 0.0
        for other in set(history):
            if other != item:
                both = float((matrix[:, item] * matrix[:, other]).sum())
                total += both / (np.sqrt(matrix[:, item].sum() * matrix[:, other].sum()) + shrinkage)
        scores.append(total)
    return np.array(scores)


def test_item_knn_equals_plain_reference(read):
    rng = np.random.default_rng(0)
    histories = [rng.integers(0, 12, rng.integers(1, 9)) for _ in range(40)]
    spec = spec_of("always")
    window, catalogue = read(spec)
    query = rolling_queries(window, catalogue, spec, most=1)[0]
    catalogue = replace(
        catalogue,
        ids=tuple(map(str, range(12))),
        engaged_users={str(user): history for user, history in enumerate(histories)},
        popularity=np.bincount(np.concatenate(histories), minlength=12),
    )
    query = replace(query, history=histories[3])
    scores = ItemKnn(catalogue, shrinkage=3.0).score([query])[0]
    expected = plain_knn([set(own.tolist()) for own in histories], histories[3].tolist(), 12, 3.0)
    assert scores == pytest.approx(expected, abs=2e-6)


def test_popularity_counts_engagement_before_the_window(read):
    spec = spec_of("always")
    window, catalogue = read(spec)
    queries = rolling_queries(window, catalogue, spec, most=1)
    assert Popularity(catalogue).score(queries)[0].tolist() == [1, 2, 1, 0, 0, 0]


def test_engaging_rows_are_those_of_training(read):
    """A rule on values, read in columns here and event by event there."""
    rows = [
        {"event_id": f"e{n}", "user_id": "ann", "item_id": "a", "event_type": kind, "timestamp": START + n, "value": v}
        for n, (kind, v) in enumerate([("rating", 5.0), ("rating", 2.0), ("rating", None), ("click", 5.0)])
    ]
    config = json.loads(json.dumps({**CONFIG, "repeat": "always"}))
    config["objectives"]["engaged"] = {"events": ["rating"], "min_value": 4}
    spec = make_spec(config)
    window, catalogue = read(spec, [("bob", "b", "click", START - 1), *rows])
    queries = rolling_queries(window, catalogue, spec, most=20)
    assert [query.timestamp - START for query in queries] == [0]
    assert catalogue.popularity.sum() == 0
