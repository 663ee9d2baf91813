"""Parts of the test window whose metrics are counted by hand."""

import numpy as np
import pytest

from souk.evaluation.content import labels
from souk.evaluation.protocol import METRICS, Ranking, rank
from souk.evaluation.queries import rolling_queries
from souk.evaluation.slice_metrics import (
    LEAST_SERVED,
    LEAST_USERS,
    measure_slices,
    segment_gaps,
    sign_test,
    user_losses,
    worst,
)
from souk.evaluation.slices import FAMILIARITY, Targets, slices_of
from souk.schema import Kind
from tests.evaluation_fixtures import DAY, START, Fixed, content_of, make_spec, reader, spec_of
from tests.marketplace import CONFIG


@pytest.fixture
def read(tmp_path):
    return reader(tmp_path)


def measured(queries, catalogue, spec, *models, content=None):
    targets = Targets.of(queries)
    parts = slices_of(targets, catalogue, content or content_of(catalogue), spec)
    rankings = [rank(model, queries, catalogue) for model in models]
    return measure_slices(parts, targets, rankings, METRICS, "ndcg@10", samples=100)


def mean(part, metric, model="fixed"):
    return part["models"][model][metric]["mean"]


def test_known_and_new_by_hand(read):
    spec = spec_of("always")
    window, catalogue = read(spec)
    queries = rolling_queries(window, catalogue, spec, most=20)
    found = measured(queries, catalogue, spec, Fixed(catalogue, {"new": 1.0, "d": 0.5}))
    assert (found["cold users"]["queries"], found["cold users"]["users"]) == (1, 1)
    assert mean(found["cold users"], "mrr") == 1.0
    assert found["new items"]["queries"] == 2  # eve's, and d of ann's first
    assert mean(found["new items"], "mrr") == pytest.approx((1 / 2 + 1) / 2)
    assert found["known users and items"]["queries"] == 2


def test_what_is_new_to_the_user_and_what_is_not(read):
    spec = spec_of("always")
    window, catalogue = read(spec)
    queries = rolling_queries(window, catalogue, spec, most=20)
    found = measured(queries, catalogue, spec, Fixed(catalogue, {"a": 9, "b": 8, "c": 7, "d": 6, "new": 5}))
    new = found["new to the user"]
    assert (new["queries"], new["users"]) == (2, 2)
    assert mean(new, "ndcg@10") == pytest.approx((1 + 1 / np.log2(6)) / 2)
    assert mean(new, "mrr") == pytest.approx((1 + 1 / 5) / 2)
    assert mean(found["engaged with before"], "mrr") == pytest.approx(1 / 2)


def test_where_nobody_comes_back_there_is_no_such_slice(read):
    spec = spec_of("never")
    window, catalogue = read(spec)
    queries = rolling_queries(window, catalogue, spec, most=20)
    assert "new to the user" not in measured(queries, catalogue, spec, Fixed(catalogue, {}))


def test_activity_is_told_by_the_events_before_the_query(read):
    spec = spec_of("always")
    window, catalogue = read(spec)
    queries = rolling_queries(window, catalogue, spec, most=20)  # 3, 6 and 0 events
    found = measured(queries, catalogue, spec, Fixed(catalogue, {}))
    activity = {name: part["queries"] for name, part in found.items() if part["family"] == "user activity"}
    assert activity == {"events so far: 0": 1, "events so far: 3": 1, "events so far: 6 to 20": 1}


def test_popularity_tenths_hold_the_same_number_of_available_items(read):
    """i00 has 20 engagements before the window, i01 has 19, ...: each tenth holds two items, and each item is asked."""
    items = {f"i{n:02d}": True for n in range(20)} | {"gone": False, "over": True}
    spec = spec_of("always")
    before = [(f"u{k}", f"i{n:02d}", "click", START - DAY) for n in range(20) for k in range(20 - n)]
    asked = [(f"u{n}", f"i{n:02d}", "click", START + n) for n in range(20)]
    before += [("u0", item, "click", START - DAY) for item in ("gone", "over", "over", "over")]
    window, catalogue = read(spec, [*before, *asked], items, until={"over": START - 1})
    queries = rolling_queries(window, catalogue, spec, most=20)
    found = measured(queries, catalogue, spec, Fixed(catalogue, {"i00": 2.0, "i01": 1.0}))
    tenths = [part for part in found.values() if part["family"] == "item popularity"]
    assert [part["queries"] for part in tenths] == [2] * 10
    assert mean(found["item popularity: tenth 1 (most popular)"], "mrr") == pytest.approx((1 + 1 / 2) / 2)
    assert mean(found["item popularity: tenth 10 (least popular)"], "mrr") == pytest.approx((1 / 19 + 1 / 20) / 2)


def test_declared_columns_of_users_and_items(read):
    columns = {"users": {"gender": "categorical", "age": "numeric"}, "items": {"brand": "categorical"}}
    spec = make_spec({**CONFIG, "repeat": "always", "columns": columns})
    users = [
        {"user_id": "ann", "gender": "f", "age": 30.0},
        {"user_id": "bob", "gender": "m", "age": 20.0},
        {"user_id": "eve", "gender": "m", "age": None},
    ]
    window, catalogue = read(spec, users=users)
    queries = rolling_queries(window, catalogue, spec, most=20)
    brands = [("acme",), ("acme",), ("best",), ("best",), ("best",), ("unknown",)]
    content = content_of(catalogue, columns={"brand": brands})
    found = measured(queries, catalogue, spec, Fixed(catalogue, {"new": 1.0}), content=content)
    assert {name: part["queries"] for name, part in found.items() if part["family"] == "user gender"} == {
        "user gender: f": 2, "user gender: m": 1,
    }  # fmt: skip
    assert mean(found["user gender: m"], "mrr") == 1.0
    assert {name: part["queries"] for name, part in found.items() if part["family"] == "user age"} == {
        "user age: 30": 2, "user age: unknown": 1,
    }  # fmt: skip
    brands = {name: part for name, part in found.items() if part["family"] == "item brand"}
    assert {name: (part["queries"], part["side"]) for name, part in brands.items()} == {
        "item brand: best": (1, "item"), "item brand: acme": (1, "item"), "item brand: unknown": (1, "item"),
    }  # fmt: skip


def test_the_parity_of_a_column_called_activity_is_that_of_its_values(read):
    """Sixty users who are new and sixty who are not, of either sport: only the latter take what stands first."""
    spec = make_spec({**CONFIG, "repeat": "always", "columns": {"users": {"activity": "categorical"}}})
    names = [f"u{n:03d}" for n in range(120)]
    events = [(user, "a", "click", START - DAY) for user in names[60:]]
    events += [(user, "b" if n < 60 else "a", "click", START) for n, user in enumerate(names)]
    users = [{"user_id": user, "activity": ("runs", "swims")[n % 2]} for n, user in enumerate(names)]
    window, catalogue = read(spec, events, users=users)
    queries = rolling_queries(window, catalogue, spec, most=20)
    found = measured(queries, catalogue, spec, Fixed(catalogue, {"a": 1.0}))
    assert mean(found["events so far: 1"], "ndcg@10") > mean(found["events so far: 0"], "ndcg@10")
    gap = segment_gaps(found, spec, "fixed", "ndcg@10")["activity"]
    assert {gap["highest"], gap["lowest"]} == {"user activity: runs", "user activity: swims"} and gap["gap"] == 0


def test_the_parity_of_towns_is_over_the_mean_of_their_users():
    """Everyone of a town fares alike, so all that is uncertain is what users of both differ by: .0075 is its square."""
    spec = make_spec({**CONFIG, "columns": {"users": {"town": "categorical"}}})
    towns = {"user town: north": (60, 0.5), "user town: south": (180, 0.3), "user town: tiny": (LEAST_USERS - 1, 0.0)}
    found = {
        name: {"side": "user", "column": "town", "users": users, "models": {"slate": {"ndcg@10": point}}}
        for name, (users, value) in towns.items()
        for point in [dict.fromkeys(("mean", "low", "high"), value)]
    }
    gap = segment_gaps(found, spec, "slate", "ndcg@10")["town"]
    assert (gap["highest"], gap["lowest"]) == ("user town: north", "user town: south")
    error = 1.959964 * (0.0075 / 60 + 0.0075 / 180) ** 0.5
    bounds = [gap[name] * 0.35 for name in ("low", "gap", "high")]
    assert bounds == pytest.approx([0.2 - error, 0.2, 0.2 + error], abs=1e-6)


@pytest.mark.parametrize(("value", "rest"), [("other", "all others"), ("all others", "(all others)")])
def test_rare_values_are_one_slice_and_a_value_of_its_name_stays_itself(read, value, rest):
    spec = make_spec({**CONFIG, "columns": {"users": {"town": "categorical"}}})
    events = [("base", "a", "click", START - DAY)]
    events += [(f"u{n:02d}", "b", "click", START + n) for n in range(16)]
    towns = [value, value, *(f"t{n}" for n in range(14))]
    users = [{"user_id": "base", "town": "t0"}]
    users += [{"user_id": f"u{n:02d}", "town": town} for n, town in enumerate(towns)]
    window, catalogue = read(spec, events, users=users)
    queries = rolling_queries(window, catalogue, spec, most=20)
    found = measured(queries, catalogue, spec, Fixed(catalogue, {}))
    sizes = {name: part["users"] for name, part in found.items() if part["family"] == "user town"}
    assert len(sizes) == 13
    assert sizes[f"user town: {value}"] == 2
    assert sizes[f"user town: {rest}"] == 3


def test_labels_of_each_kind():
    assert labels(["x", None, ""], Kind.CATEGORICAL) == [("x",), ("unknown",), ("unknown",)]
    assert labels([["a", "b"], []], Kind.LIST) == [("a", "b"), ("unknown",)]
    assert labels([["home", "home/bed"], "food/tea", None], Kind.PATH) == [("home",), ("food",), ("unknown",)]
    numbers = labels([*range(8), None], Kind.NUMERIC)
    assert numbers == [
        (t,) for t in ("0 to 1", "0 to 1", "2 to 3", "2 to 3", "4 to 5", "4 to 5", "6 to 7", "6 to 7")
    ] + [("unknown",)]
    assert labels([5.0, 5.0], Kind.NUMERIC) == [("5",), ("5",)]
    assert labels([None], Kind.NUMERIC) == [("unknown",)]


def planted(read, per_town=60):
    """Users of two towns; one model answers those of the north only, the other all of them half way."""
    spec = make_spec({**CONFIG, "columns": {"users": {"town": "categorical"}}})
    names = [f"u{n:03d}" for n in range(2 * per_town)]
    town = {name: ("north", "south")[n % 2] for n, name in enumerate(names)}
    events = [(name, "a", "click", START - DAY) for name in names] + [(name, "b", "click", START + 5) for name in names]
    window, catalogue = read(spec, events, users=[{"user_id": n, "town": t} for n, t in town.items()])
    queries = rolling_queries(window, catalogue, spec, most=20)
    ours = [np.array([1.0 if town[q.user_id] == "north" else np.inf]) for q in queries]
    theirs = [np.array([2.0])] * len(queries)
    shown = np.zeros((len(queries), 10), np.int64)
    rankings = [Ranking("slate", ours, ours, shown), Ranking("popularity", theirs, theirs, shown)]
    targets = Targets.of(queries)
    parts = slices_of(targets, catalogue, content_of(catalogue), spec)
    return measure_slices(parts, targets, rankings, ("ndcg@10",), "ndcg@10", samples=100)


def test_better_on_the_whole_and_worse_for_a_part_is_seen(read):
    found = planted(read)
    north, south = found["user town: north"], found["user town: south"]
    assert mean(north, "ndcg@10", "slate") == 1.0
    assert north["differences"]["popularity"]["low"] > 0
    assert south["differences"]["popularity"]["high"] < 0
    assert south["differences"]["popularity"]["mean"] == pytest.approx(-1 / np.log2(3))
    assert [part["signs"]["popularity"]["gain"] for part in (north, south)] == [north["users"], 0]
    assert [part["signs"]["popularity"]["lose"] for part in (north, south)] == [0, south["users"]]


def test_the_worst_slice_is_named_with_its_gap(read):
    found = worst(planted(read), "slate", "ndcg@10", whole=0.5)
    assert found["user"]["name"] == "user town: south"
    assert found["user"]["gap"] == -0.5
    assert (found["least_users"], found["user"]["users"]) == (LEAST_USERS, 60)


@pytest.mark.parametrize(
    ("ours", "theirs", "behind"),
    [
        (range(0), range(29), True),  # nobody of those that the champion serves
        (range(21), range(29), True),  # eight lose: by chance .004
        (range(23), range(29), False),  # six lose: by chance .016
        (range(40, 58), range(11), False),  # more gain than lose
        (range(LEAST_SERVED - 7), range(LEAST_SERVED), True),  # the bound is enough
    ],
)
def test_a_slice_with_few_served_users_is_behind_where_a_sign_test_says_so(read, ours, theirs, behind):
    """All 100 users are of one slice; the models serve some of them, in the first place."""
    names = [f"u{n:03d}" for n in range(100)]
    events = [(name, "a", "click", START - DAY) for name in names] + [(name, "b", "click", START + 5) for name in names]
    spec = make_spec(CONFIG)
    window, catalogue = read(spec, events)
    queries = rolling_queries(window, catalogue, spec, most=20)
    shown, targets = np.zeros((len(queries), 10), np.int64), Targets.of(queries)
    ranks = [[np.array([1.0 if n in served else np.inf]) for n in range(len(queries))] for served in (ours, theirs)]
    slate, champion = (Ranking(name, own, own, shown) for name, own in zip(("slate", "champion"), ranks, strict=True))
    parts = slices_of(targets, catalogue, content_of(catalogue), spec)
    found = user_losses(parts, targets, slate, champion, "ndcg@10", samples=50)
    assert found and {part["high"] < 0 for part in found.values()} == {behind}
    assert {part["lose"] for part in found.values()} == {len(set(theirs) - set(ours))}


def losses(read, towns, per_town, lose):
    """Of the first town the champion alone serves so many users; of each other one both serve one user."""
    spec = make_spec({**CONFIG, "columns": {"users": {"town": "categorical"}}})
    names = [f"u{n:03d}" for n in range(towns * per_town)]
    events = [(name, "a", "click", START - DAY) for name in names] + [(name, "b", "click", START + 5) for name in names]
    users = [{"user_id": name, "town": f"t{n // per_town}"} for n, name in enumerate(names)]
    window, catalogue = read(spec, events, users=users)
    queries = rolling_queries(window, catalogue, spec, most=20)
    shown, targets = np.zeros((len(queries), 10), np.int64), Targets.of(queries)
    numbers = [int(query.user_id[1:]) for query in queries]
    both = [n >= per_town and n % per_town == 0 for n in numbers]
    theirs = [np.array([1.0 if n < lose or served else np.inf]) for n, served in zip(numbers, both, strict=True)]
    ours = [np.array([1.0 if served else np.inf]) for served in both]
    slate, champion = Ranking("slate", ours, ours, shown), Ranking("champion", theirs, theirs, shown)
    parts = slices_of(targets, catalogue, content_of(catalogue), spec)
    return user_losses(parts, targets, slate, champion, "ndcg@10", samples=50)


@pytest.mark.parametrize(("towns", "slices", "behind"), [(1, 1, True), (10, 11, False)])
def test_the_level_of_the_sign_test_is_shared_by_all_slices(read, towns, slices, behind):
    """Seven lose and none gains, by chance .008: less than .01, and more than an eleventh of it."""
    found = losses(read, towns, per_town=60, lose=7)
    losing = [part for part in found.values() if part["lose"]]
    assert len(found) == slices and max(part["served"] for part in losing) < LEAST_SERVED
    assert {part["high"] < 0 for part in losing} == {behind}


@pytest.mark.parametrize(("users", "found"), [(LEAST_USERS, True), (LEAST_USERS - 1, False)])
def test_a_slice_of_the_least_users_counts(read, users, found):
    assert bool(losses(read, 1, users, lose=7)) is found


def test_the_sign_test_is_exact():
    assert sign_test(0, 5) == 1 / 32
    assert sign_test(1, 2) == 1 / 2
    assert sign_test(0, 0) == 1


def test_what_is_new_to_the_user_is_another_question_and_never_the_worst(read):
    names = [f"u{n:03d}" for n in range(LEAST_USERS)]
    events = [(name, item, "click", START + time) for name in names for item, time in (("a", -DAY), ("a", 5), ("b", 9))]
    spec = spec_of("always")
    window, catalogue = read(spec, events)
    queries = rolling_queries(window, catalogue, spec, most=20)
    found = measured(queries, catalogue, spec, Fixed(catalogue, {"a": 9.0, "c": 8.0, "b": 7.0}))
    assert mean(found["new to the user"], "mrr") == 0.5 and mean(found["engaged with before"], "mrr") == 1.0
    again = {name: part for name, part in found.items() if part["family"] == FAMILIARITY}
    assert len(again) == 2 and worst(again, "fixed", "mrr", whole=0.5) == {"least_users": LEAST_USERS}
    assert "item" in worst(found, "fixed", "mrr", whole=0.5)


def test_slices_of_few_users_are_not_called_the_worst(read):
    assert worst(planted(read, per_town=10), "slate", "ndcg@10", whole=0.5) == {"least_users": LEAST_USERS}
