"""Baselines whose right scores are counted by hand."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from souk.counts import ItemCounts
from souk.evaluation.baselines import (
    BASELINES,
    CoVisitation,
    Fresh,
    ItemKnn,
    PersonalFrequency,
    Popularity,
    SegmentPopularity,
    Trending,
    baselines,
)
from souk.evaluation.queries import rolling_queries
from souk.features.segments import write_popular
from souk.features.windows import Windows
from souk.items import ItemTable
from souk.sources.co_visitation import decay
from souk.sources.freshness import Freshness
from souk.sources.popularity import Segments
from souk.sources.rows import SparseRows
from tests.evaluation_fixtures import DAY, EVENTS, START, make_spec, reader, spec_of
from tests.marketplace import CONFIG

FRESH = Freshness(1.0, 300.0)
PLAIN = make_spec({**CONFIG, "columns": {}})


@pytest.fixture
def read(tmp_path):
    return reader(tmp_path)


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


def of_histories(catalogue, histories, count):
    return replace(
        catalogue,
        ids=tuple(map(str, range(count))),
        engaged_users={str(user): history for user, history in enumerate(histories)},
        popularity=np.bincount(np.concatenate(histories), minlength=count),
    )


@pytest.mark.parametrize("apart", [1, 200])  # of many items what is together is sorted, not counted
def test_item_knn_equals_plain_reference(read, apart):
    rng = np.random.default_rng(0)
    histories = [apart * rng.integers(0, 12, rng.integers(1, 9)) for _ in range(40)]
    spec = spec_of("always")
    window, catalogue = read(spec)
    query = rolling_queries(window, catalogue, spec, most=1)[0]
    catalogue = of_histories(catalogue, histories, 12 * apart)
    query = replace(query, history=histories[3])
    scores = ItemKnn(catalogue, shrinkage=3.0).score([query])[0]
    expected = plain_knn([set(own.tolist()) for own in histories], histories[3].tolist(), 12 * apart, 3.0)
    assert scores == pytest.approx(expected, abs=2e-6)


def test_item_knn_keeps_the_nearest_and_of_equal_ones_the_first(read):
    """0 was taken with 1 by two users, and with 2, 3 and 4 by one each."""
    spec = spec_of("always")
    window, catalogue = read(spec)
    query = replace(rolling_queries(window, catalogue, spec, most=1)[0], history=np.array([0]))
    histories = [np.array(own) for own in ([0, 4], [0, 1], [0, 1], [0, 3], [0, 2])]
    scores = ItemKnn(of_histories(catalogue, histories, 5), shrinkage=0.0, neighbours=2).score([query])[0]
    assert scores == pytest.approx([0, 2 / 10**0.5, 1 / 5**0.5, 0, 0], abs=2e-6)


def test_item_knn_knows_the_last_items_of_a_long_history(read):
    """Whoever had 4 had 5, and whoever had 0 had 1 and 2: of 0, 5, 4 and 4 again the last two distinct ones count.

    So they do of who is learned from: who had 0, then 1 and 2, tells nothing of 0."""
    spec = spec_of("always")
    window, catalogue = read(spec)
    query = replace(rolling_queries(window, catalogue, spec, most=1)[0], history=np.array([0, 5, 4, 4]))
    others = [np.array(own) for own in ([4, 5], [1, 0, 0], [2, 0])]
    scores = ItemKnn(of_histories(catalogue, others, 6), shrinkage=0.0, longest=2).score([query])[0]
    assert scores == pytest.approx([0, 0, 0, 0, 1, 1], abs=2e-6)
    short = ItemKnn(of_histories(catalogue, [np.array([0, 1, 2, 1])], 3), shrinkage=0.0, longest=2)
    assert short.score([replace(query, history=np.array([0, 1, 2]))])[0] == pytest.approx([0, 1, 1], abs=2e-6)


def test_item_knn_counts_over_the_whole_catalogue_once_and_not_for_each_item(read, monkeypatch):
    """Sixty users of 200,000 items: what it costs is theirs, not the square of the catalogue."""
    _, catalogue = read(spec_of("always"))
    large = of_histories(catalogue, list(np.random.default_rng(0).integers(0, 2000, (60, 5))), 200_000)
    lengths, real = [], np.bincount

    def counting(values, weights=None, minlength=0):
        lengths.append(minlength)
        return real(values, weights, minlength)

    monkeypatch.setattr(np, "bincount", counting)
    ItemKnn(large)
    assert sum(lengths) < 3 * 200_000


def test_popularity_counts_engagement_before_the_window(read):
    spec = spec_of("always")
    window, catalogue = read(spec)
    queries = rolling_queries(window, catalogue, spec, most=1)
    assert Popularity(catalogue).score(queries)[0].tolist() == [1, 2, 1, 0, 0, 0]


def rules_of(catalogue, weights):
    """Rules by hand: {(item, follower): weight}."""
    pairs = sorted((catalogue.position[a], catalogue.position[b], w) for (a, b), w in weights.items())
    return SparseRows.strongest(*(np.array(column) for column in zip(*pairs, strict=True)), len(catalogue.ids), 9)


def test_rules_vote_by_how_many_moments_ago_their_item_was(read):
    """ann: a (click and purchase at once), b; then c and d at once, d again; popularity orders what has no votes."""
    spec = spec_of("always")
    window, catalogue = read(spec)
    rules = rules_of(catalogue, {("a", "c"): 4.0, ("b", "new"): 1.0, ("d", "new"): 2.0})
    first, second, cold = CoVisitation(catalogue, rules).score(rolling_queries(window, catalogue, spec, most=20))
    near, far, farther, farthest = decay(np.arange(4))
    place = catalogue.position
    assert first[[place["c"], place["new"]]] == pytest.approx([2 * 4 * far, near], abs=1e-5)
    assert second[[place["c"], place["new"]]] == pytest.approx(
        [2 * 4 * farthest, farther + 2 * near + 2 * far], abs=1e-5
    )
    assert np.argsort(-cold, kind="stable")[:3].tolist() == [place["b"], place["a"], place["c"]]


def test_what_was_taken_most_often_comes_first_and_then_what_is_popular(read):
    spec = spec_of("always")
    more = [("ann", item, "click", START - 2 * DAY + n) for n, item in enumerate("daa")]
    more += [("bob", "c", "click", START - DAY + n) for n in range(9)]  # what others take does not outweigh it
    window, catalogue = read(spec, [*EVENTS, *more])
    first, *_, cold = PersonalFrequency(catalogue).score(rolling_queries(window, catalogue, spec, most=20))
    assert [catalogue.ids[i] for i in np.argsort(-first, kind="stable")[:4]] == ["a", "b", "d", "c"]
    assert [catalogue.ids[i] for i in np.argsort(-cold, kind="stable")[:3]] == ["c", "a", "b"]


def items_of(catalogue, ages, found=FRESH):
    """The items, some of them created so many days before the window."""
    created = [int(START - ages[item] * DAY) if item in ages else None for item in catalogue.ids]
    table = pa.table({"item_id": list(catalogue.ids), "created_at": pa.array(created, pa.int64())})
    zeros = dict.fromkeys(("events", "events_30d", "satisfied_rate"), np.zeros(len(created)))
    counted = pa.table({"item_id": list(catalogue.ids), **zeros})
    return replace(ItemTable.of(table, counted, np.zeros((len(created), 0)), PLAIN), freshness=found)


def test_the_newest_come_first_and_then_what_is_popular(read):
    spec = spec_of("always")
    window, catalogue = read(spec)
    fresh = Fresh(catalogue, items_of(catalogue, {"d": 3, "c": 2, "a": 40, "new": -400}))
    *_, cold = fresh.score(rolling_queries(window, catalogue, spec, most=20))
    assert [catalogue.ids[i] for i in np.argsort(-cold, kind="stable")[:4]] == ["c", "d", "b", "a"]


def test_what_everybody_takes_now_comes_first_and_then_what_is_popular(read):
    """An engagement is worth half after a day; what is taken at the query's own time is not known yet."""
    spec = spec_of("always")
    window, catalogue = read(spec)
    place = catalogue.position
    counts = ItemCounts(np.zeros(len(place)), np.full(len(place), -np.inf), START, DAY)
    queries = rolling_queries(window, catalogue, spec, most=20)
    query = replace(queries[0], timestamp=START + 2 * DAY)
    taken = {"c": [START + 2 * DAY - 1], "d": [START, START, START], "new": [START + 2 * DAY] * 9}
    rows = [(place[item], time) for item, times in taken.items() for time in times]
    model = Trending(catalogue, counts.followed(*map(np.array, zip(*rows, strict=True))))
    (scores,) = model.score([query])
    assert scores[[place["c"], place["d"], place["new"]]] == pytest.approx([1, 0.75, 0], abs=1e-5)
    early = replace(query, timestamp=START)
    assert not model.score([early])[0][place["new"]] > 1e-5, "the frozen protocol knows nothing of the window"
    assert [catalogue.ids[i] for i in np.argsort(-scores, kind="stable")[:4]] == ["c", "d", "b", "a"]


def segments_of(catalogue, shares):
    """Popularity by hand: {segment: {item: share}}, "" for everyone."""
    parts = [[(catalogue.position[item], share) for item, share in sorted(own.items())] for own in shares.values()]
    rows = [SparseRows.strongest(np.zeros(len(p), int), *map(np.array, zip(*p, strict=True)), 1, 9) for p in parts]
    return Segments({name: row for row, name in enumerate(shares)}, SparseRows.joined(rows))


def test_what_is_popular_with_the_users_segments_comes_first_and_then_what_is_popular(read):
    """ann is of the north and uses a phone; eve's region has no segment, so hers is everyone."""
    columns = {"users": {"region": "categorical", "phone": "categorical"}}
    spec = make_spec({**CONFIG, "columns": columns})
    users = [{"user_id": "ann", "region": "north", "phone": "old"}, {"user_id": "eve", "region": "west", "phone": ""}]
    window, catalogue = read(spec, users=users)
    shares = {"": {"a": 0.6, "c": 0.4}, "user_region=north": {"c": 0.7, "d": 0.3}, "user_phone=old": {"new": 1e-5}}
    model = SegmentPopularity(catalogue, segments_of(catalogue, shares), spec)
    first, *_, cold = model.score(rolling_queries(window, catalogue, spec, most=20))
    place = catalogue.position
    assert first[[place["c"], place["d"], place["new"]]] == pytest.approx([0.35, 0.15, 0.5e-5])
    assert cold[[place["a"], place["c"]]] == pytest.approx([0.6, 0.4])
    assert [catalogue.ids[i] for i in np.argsort(-first, kind="stable")[:5]] == ["c", "d", "new", "b", "a"]
    assert [catalogue.ids[i] for i in np.argsort(-cold, kind="stable")[:3]] == ["a", "c", "b"]


def test_segments_are_those_of_before_the_window(tmp_path):
    """Of `build_features`: in the window everybody takes what nobody took before."""
    users = {f"u{n}": ("north", "south")[n % 2] for n in range(20)}
    spec = make_spec({**CONFIG, "columns": {"users": {"region": "categorical"}}})
    events = [(u, "ab"[town == "south"], START - 6 * DAY - n) for u, town in users.items() for n in range(30)]
    events += [(user, "c", START + n) for user in users for n in range(50)]
    table = dict(zip(("user_id", "item_id", "timestamp"), map(list, zip(*events, strict=True)), strict=True))
    pq.write_table(pa.table(table), tmp_path / "examples.parquet")
    pq.write_table(pa.table({"item_id": ["a", "b", "c"], "available": [True] * 3}), tmp_path / "items.parquet")
    states = {"user_id": list(users), "profile_region": list(users.values())}
    pq.write_table(pa.table(states), tmp_path / "user_state.parquet")
    windows = Windows(START - 5 * DAY, START, START + DAY)
    assert list(write_popular(tmp_path, spec, windows, 7 * DAY)) == ["user_region"]
    found = Segments.load(tmp_path / "segment_popular" / "test_start.npz", 3)
    assert found.popular(found.of({"user_region": "north"}))[0].tolist() == [0, 1]
    north, south = (found.popular(found.of({"user_region": town}))[1] for town in ("north", "south"))
    assert north[0] > north[1] and south[1] > south[0]


BOUGHT = {"rule": "never", "events": ["purchase"]}


@pytest.mark.parametrize(("repeat", "frequency"), [("always", True), ("never", False), (BOUGHT, True)])
@pytest.mark.parametrize("share", [0.05, 0.1, 1.0])
def test_what_the_data_has_no_answer_for_is_no_baseline(read, repeat, frequency, share):
    """Frequency where items come back, newness where a tenth of what is taken is new."""
    spec = spec_of(repeat)
    _, catalogue = read(spec)
    items = items_of(catalogue, {}, Freshness(share))
    names = [model.name for model in baselines(catalogue, spec, items)]
    own = [*["personal_frequency"] * frequency, *["fresh", "trending"] * (share >= 0.1)]
    assert names == ["co_visitation", *own, "item_knn", "popularity"]
    moving = replace(items, counts=ItemCounts(np.zeros(0), np.zeros(0), 0, 7.0 * DAY))
    assert [model.name for model in baselines(catalogue, spec, moving)][-2:] == ["segment_popularity", "popularity"]
    some = replace(items, segments=segments_of(catalogue, {"": {"a": 1.0}, "user_region=north": {"a": 1.0}}))
    names = [model.name for model in baselines(catalogue, spec, some)]
    assert names == ["co_visitation", *own, "item_knn", "segment_popularity", "popularity"]
    assert set(names) <= set(BASELINES)
