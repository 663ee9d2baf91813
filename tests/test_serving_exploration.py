"""Places that are drawn: what stays, what may be drawn, how often, and what the log of it tells of another policy."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from souk.config.experiments import Exploration, parse_experiments
from souk.evaluation.off_policy import policy_value
from souk.release.bundle import Bundle
from souk.serving.experiments.treatment import Treatment
from souk.serving.exploration import chances_of, explored
from souk.serving.recommender import Recommender
from souk.serving.request import Request
from tests.chi_square import chi_square_p
from tests.rerank_fixtures import logs
from tests.serving_fixtures import HIDDEN, NOW, PRICES, STATES, write_workspace
from tests.serving_process import serving

RULES = st.builds(
    Exploration,
    slots=st.integers(0, 9),
    pool=st.integers(2, 7),
    method=st.sampled_from(["epsilon", "softmax"]),
    epsilon=st.floats(0.01, 1),
    temperature=st.floats(0.1, 5),
)


@given(RULES, st.integers(0, 40), st.integers(1, 20), st.text(max_size=8))
def test_a_slate_is_the_first_places_and_draws_from_lists_that_share_nothing(rules, count, k, request):
    order, scores = np.random.default_rng(count).permutation(count), logs(np.linspace(1, 0, count))
    best, propensities = explored(order, scores, k, rules, request)
    again = explored(order, scores, k, rules, request)
    assert best.tolist() == again[0].tolist() and propensities.tolist() == again[1].tolist()
    size, top = min(k, count), min(max(k - rules.slots, 1), count)
    assert len(best) == len(propensities) == size and len(set(best.tolist())) == size
    assert best[:top].tolist() == order[:top].tolist() and (propensities[:top] == 1).all()
    places, left = size - top, order.tolist()[top : top + (size - top) * rules.pool]
    for place in range(places):
        assert best[top + place] in left[place::places] and 0 < propensities[top + place] <= 1


def test_nothing_is_drawn_unless_it_is_asked_for():
    best, propensities = explored(np.arange(30), np.zeros(30), 10, Exploration(), "r")
    assert best.tolist() == list(range(10)) and (propensities == 1).all()


def test_what_an_item_of_a_list_has():
    scores = logs([0.8, 0.4, 0.2])
    greedy = chances_of(scores, Exploration(slots=1, epsilon=0.3))
    assert greedy.tolist() == pytest.approx([0.8, 0.1, 0.1])
    soft = chances_of(scores, Exploration(slots=1, method="softmax", epsilon=0.3))
    assert soft.tolist() == pytest.approx([0.1 + 0.7 * 4 / 7, 0.1 + 0.7 * 2 / 7, 0.1 + 0.7 * 1 / 7])
    far = chances_of(scores - 1000, Exploration(slots=1, method="softmax", epsilon=0.3))
    assert far.tolist() == pytest.approx(soft.tolist()), "of scores too small for a number"
    sharp = chances_of(scores, Exploration(slots=1, method="softmax", epsilon=0.3, temperature=0.5))
    assert sharp.tolist() == pytest.approx([0.1 + 0.7 * 16 / 21, 0.1 + 0.7 * 4 / 21, 0.1 + 0.7 * 1 / 21])


@pytest.mark.parametrize("method", ["epsilon", "softmax"])
def test_items_are_drawn_as_often_as_they_say_and_the_places_independently(method):
    rules, order = Exploration(slots=2, pool=4, method=method, epsilon=0.5), np.arange(20)
    scores, count = logs(np.linspace(1, 0.1, 20)), 20_000
    drawn = [tuple(explored(order, scores, 6, rules, f"r{n}")[0][4:].tolist()) for n in range(count)]
    pools = [order[4 + place : 12 : 2] for place in range(2)]
    chances = [dict(zip(pool.tolist(), chances_of(scores[pool], rules), strict=True)) for pool in pools]
    for number in range(100):
        best, propensities = explored(order, scores, 6, rules, f"r{number}")
        assert propensities[4:].tolist() == [chances[0][best[4]], chances[1][best[5]]], "of what was drawn"
    found = Counter(drawn)
    cells = [(found[a, b], count * chances[0][a] * chances[1][b]) for a in chances[0] for b in chances[1]]
    assert sum(f for f, _ in cells) == count
    assert chi_square_p(sum((f - e) ** 2 / e for f, e in cells), 15) > 0.001


def test_only_what_may_be_shown_is_drawn(tmp_path_factory):
    workspace = write_workspace(tmp_path_factory.mktemp("draws") / "workspace")
    recommender = Recommender.load(Bundle.load(workspace.served_folder()), None, None)
    rules = parse_experiments("exploration: {slots: 6, pool: 10, epsilon: 1}").exploration
    owned = {event.item_id for event in STATES[0].events}
    for number in range(100):
        request = Request("ann", 8, NOW, f"r{number}", exclude=frozenset({"g1-03"}), state=STATES[0])
        (plain,) = recommender.recommend([request])
        (slate,) = recommender.recommend([replace(request, treatment=Treatment(exploration=rules))])
        shown = [item.item_id for item in slate.items]
        assert len(set(shown)) == 8 and not set(shown) & (HIDDEN | owned | {"g1-03"})
        assert shown[:2] == [item.item_id for item in plain.items[:2]]
        assert [item.position for item in slate.items] == list(range(8))


TEXT = "exploration: {slots: 3, pool: 5, method: softmax, epsilon: 0.5}\n"
K, TOP, PLACES, POOL, CALLS, SIZE = 8, 5, 3, 5, 30, 100


@pytest.mark.slow
def test_the_servers_impression_log_recovers_the_value_of_other_policies(tmp_path):
    workspace = write_workspace(tmp_path / "workspace")
    workspace.experiments.write_text(TEXT)
    rng, told = np.random.default_rng(11), {}
    with serving(workspace.root, tmp_path / "log") as server:
        for _ in range(CALLS):
            users = rng.choice(["ann", "bob", "cho"], SIZE)
            for slate in server.slates(*({"user_id": user, "k": K, "timestamp": NOW} for user in users.tolist())):
                told[slate["request_id"]] = [
                    (item["item_id"], item["source"], float(np.float32(item["propensity"]))) for item in slate["items"]
                ]
        assert server.stop() == 0
    recommender = Recommender.load(Bundle.load(workspace.served_folder()), None, None)
    lists = {}
    for state in STATES:  # what each place could have been, by the order without exploration
        (slate,) = recommender.recommend([Request(state.user_id, TOP + PLACES * POOL, NOW, state=state)])
        ranked = [item.item_id for item in slate.items if item.scores][TOP:]
        lists[state.user_id] = [ranked[place::PLACES][:POOL] for place in range(PLACES)]
    rows = [row for file in workspace.impressions.rglob("*.parquet") for row in pq.read_table(file).to_pylist()]
    assert len(rows) == CALLS * SIZE and all(row["propensities"][:TOP] == [1.0] * TOP for row in rows)
    columns = ("items", "sources", "propensities")
    logged = {row["request_id"]: list(zip(*(row[name] for name in columns), strict=True)) for row in rows}
    assert logged == told, "the answers say what the log does"
    chance = {item: price / 200 for item, price in PRICES.items()}  # of a click: the truth
    shown = [[row["items"][TOP + place] for place in range(PLACES)] for row in rows]
    clicks = rng.random((len(rows), PLACES)) < np.array([[chance[item] for item in line] for line in shown])
    logged = np.array([row["propensities"][TOP:] for row in rows])
    policies = {
        "best": lambda place: np.eye(POOL)[0],
        "uniform": lambda place: np.full(POOL, 1 / POOL),
        "last": lambda place: np.eye(POOL)[-1],
    }
    for name, policy in policies.items():
        wanted = np.zeros_like(logged)
        for row, record in enumerate(rows):
            for place in range(PLACES):
                own = lists[record["user_id"]][place]
                wanted[row, place] = dict(zip(own, policy(place), strict=False)).get(shown[row][place], 0.0)
        true = np.mean(
            [
                sum(
                    np.dot(policy(place), [chance[i] for i in lists[record["user_id"]][place]])
                    for place in range(PLACES)
                )
                for record in rows
            ]
        )
        found = policy_value(clicks, logged, wanted)
        assert not found.doubts
        for each in (found.ips, found.snips):
            error = (each.high - each.value) / 1.96
            assert abs(each.value - true) < 4.5 * error, (name, each, true)
            assert error < 0.06 * PLACES, "an interval that tells something"
    naive = clicks.sum(axis=1).mean()
    last = np.mean([sum(chance[lists[r["user_id"]][p][-1]] for p in range(PLACES)) for r in rows])
    assert abs(naive - last) > 4.5 * clicks.sum(axis=1).std() / np.sqrt(len(rows)), "what was shown is another policy"
