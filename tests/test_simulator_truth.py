"""The closed form of a slate's truth, against lifetimes that are drawn and against sums by hand."""

import json
from dataclasses import replace

import numpy as np
import pytest

from souk.errors import SoukError
from souk.simulator.behaviour import World, moved_trust, odds, patience, respond, visit_probability
from souk.simulator.lifetime import slate_truth
from souk.simulator.parameters import Parameters, Size
from souk.simulator.score import GivenSlates, differences, offered, read_slates, score, simple_slates
from souk.simulator.simulation import new_marketplace
from souk.simulator.truth import Truth, read_truth, write_truth
from tests.simulator_fixtures import make

EVERYTHING = np.ones(60, bool)


@pytest.fixture(scope="module")
def world() -> World:
    """A far shorter lifetime than by default, so that drawn ones can be followed to their end."""
    parameters = Parameters(discount=0.9, visit_base=-0.5, click_base=-1.5)
    return new_marketplace(Size(users=5, items=60, days=5, seed=3), parameters).world


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make(tmp_path_factory.mktemp("truth") / "data", users=150, items=60, days=12)


def drawn(world, user, slate, time, trust, lives, days=90):
    """Mean and error of clicks and kept purchases of a first slate and of the value of `lives` lifetimes."""
    rng, p, price = np.random.default_rng(7), world.parameters, world.items.price[slate]
    levels, value = np.full(lives, trust, np.uint8), np.zeros(lives)
    first = None
    for day in range(days):
        chance = visit_probability(world, np.full(lives, user), levels)
        rows = np.flatnonzero((rng.random(lives) < chance) | (day == 0))
        mobile, change, going = rng.random(len(rows)) < world.users.mobile[user], np.zeros(len(rows), np.int64), rows
        left = np.arange(len(rows))
        for _ in range(p.most_requests):
            users = np.full(len(left), user)
            chances = odds(world, users, np.tile(slate, (len(left), 1)), np.full(len(left), time))
            response = respond(rng, world, chances, patience(world, users, mobile[left]))
            sent_back = response.returned & response.purchased
            worth = p.commission * price * response.kept - p.return_cost * sent_back
            value[going[left]] += p.discount**day * worth.sum(axis=1)
            change[left] += response.kept.sum(axis=1) - response.regretted.sum(axis=1)
            first = first or (response.clicked.sum(axis=1).mean(), response.kept.sum(axis=1).mean())
            left = left[rng.random(len(left)) < p.more_requests]
        levels[rows] = moved_trust(rng, p, levels[rows], change)
    return first, value.mean(), value.std() / np.sqrt(lives)


@pytest.mark.parametrize(("user", "trust", "seed"), [(0, 5, 0), (1, 0, 1), (2, 10, 2)])
def test_the_closed_form_is_the_mean_of_drawn_lifetimes(world, user, trust, seed):
    slate = np.random.default_rng(seed).choice(60, 10, replace=False)
    time = int(world.items.created_at.max())
    found = slate_truth(world, np.array([user]), slate[None], np.array([time]), np.array([trust]), EVERYTHING)
    (clicks, kept), value, error = drawn(world, user, slate, time, trust, 6_000)
    assert found.clicks[0] == pytest.approx(clicks, abs=0.06)
    assert found.satisfaction[0] == pytest.approx(kept, abs=0.05)
    assert found.lifetime_value[0] == pytest.approx(value, abs=4 * error)
    assert error < 0.1 * abs(value)


def test_clicks_and_satisfaction_by_hand(data):
    """Two positions: the second is looked at with the probability of the user's patience, by device."""
    world, time = data.truth.world, data.truth.end
    first, second = np.flatnonzero(offered(data.truth, time))[[3, 8]]
    chance = odds(world, np.array([4]), np.array([[first, second]]), np.array([time]))
    share, steady = world.users.mobile[4], world.users.patience[4]
    looks = share * steady * world.parameters.mobile_patience + (1 - share) * steady
    found = score(data.truth, GivenSlates(np.array([4]), np.array([[first, second]])), time)
    assert found.clicks[0] == pytest.approx(chance.click[0, 0] + looks * chance.click[0, 1])
    assert found.satisfaction[0] == pytest.approx(chance.kept[0, 0] + looks * chance.kept[0, 1])


def with_bait(truth: Truth, item: int, share: float) -> Truth:
    """The same marketplace, but for the clickbait share of one item."""
    bait = truth.world.items.bait.copy()
    bait[item] = share
    return replace(truth, world=replace(truth.world, items=replace(truth.world.items, bait=bait)))


def test_a_bait_raises_clicks_and_lowers_lifetimes(data):
    """The same slate, but that its first item makes a promise that it does not keep."""
    time, users = data.truth.end, np.arange(100)
    pool = np.flatnonzero(offered(data.truth, time))
    given = GivenSlates(users, np.tile(pool[:10], (100, 1)))
    honest, loud = (score(with_bait(data.truth, pool[0], share), given, time) for share in (0.0, 1.0))
    assert (loud.clicks > honest.clicks).all()
    assert loud.lifetime_value.mean() < honest.lifetime_value.mean()


def test_simple_slates_bound_what_is_possible(data):
    users, time = np.arange(150), data.truth.end
    slates = simple_slates(data.truth, users, 10, time)
    values = {name: score(data.truth, given, time) for name, given in slates.items()}
    for name in ("random", "popular", "most satisfaction"):
        assert (values["most clicks"].clicks >= values[name].clicks - 1e-12).all()
    for name in ("random", "popular", "most clicks"):
        assert (values["most satisfaction"].satisfaction >= values[name].satisfaction - 1e-12).all()


def test_what_is_withdrawn_is_worth_nothing(data):
    goods, time = data.truth.world.items, data.truth.end
    gone = np.flatnonzero(goods.withdrawn_day <= data.truth.course.end_day)[:1]
    found = score(data.truth, GivenSlates(np.array([0]), gone[None]), time)
    assert found.clicks[0] == 0
    assert found.satisfaction[0] == 0


def test_what_does_not_exist_yet_is_refused(data):
    late = np.argmax(data.truth.world.items.created_at)
    with pytest.raises(SoukError, match="items that exist at"):
        score(data.truth, GivenSlates(np.array([0]), np.array([[late]])), data.truth.end - 12 * 86_400_000)


def test_truth_survives_its_files(data, tmp_path):
    write_truth(tmp_path / "again", data.truth)
    for path in (data.folder / "truth").iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name
    assert read_truth(tmp_path / "again").world.parameters == data.truth.world.parameters


def test_differences_are_paired(data, tmp_path):
    path = tmp_path / "slates.jsonl"
    ids = data.truth.world.items.ids[offered(data.truth, data.truth.end)]
    path.write_text("".join(json.dumps({"user_id": u, "items": ids[:5].tolist()}) + "\n" for u in ("u0001", "u0000")))
    given = read_slates(path, data.truth)
    values = score(data.truth, given, data.truth.end)
    zero = differences(given, values, given, values)
    assert all(interval.mean == interval.low == interval.high == 0 for interval in zero.values())
    other = GivenSlates(given.users[::-1], given.items)
    with pytest.raises(SoukError, match="same users"):
        differences(given, values, other, values)


def test_popular_items_stand_beside_slates_of_their_length_only(data):
    users, widest = np.arange(3), data.truth.popular.shape[1]
    assert simple_slates(data.truth, users, widest, data.truth.end)["popular"].items.shape == (3, widest)
    assert list(simple_slates(data.truth, users, widest + 1, data.truth.end)) == [
        "random",
        "most clicks",
        "most satisfaction",
    ]
