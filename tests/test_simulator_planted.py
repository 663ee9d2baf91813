"""What is planted in the simulated marketplace is found again, by plain statistics on the files that it wrote."""

import numpy as np
import pytest

from souk.schema import DAY_MS
from souk.simulator.behaviour import odds, patience
from souk.simulator.catalogue import DEPARTMENT_OF, DEPARTMENTS
from souk.simulator.parameters import START, Parameters
from souk.simulator.people import taste
from souk.simulator.score import offered
from tests.simulator_fixtures import Simulated, logistic, make, places_of, within

pytestmark = pytest.mark.slow
P = Parameters()


@pytest.fixture(scope="module")
def random(tmp_path_factory) -> Simulated:
    """About a million events of slates drawn at random: nothing but chance decides who sees what, and where."""
    return make(tmp_path_factory.mktemp("random") / "data", users=6000, items=400, days=90, policy="random")


@pytest.fixture(scope="module")
def explored(tmp_path_factory) -> Simulated:
    """Half popular, half random, with few items, so that each is shown at each position often."""
    return make(
        tmp_path_factory.mktemp("mix") / "data",
        users=8000,
        items=40,
        days=40,
        share=0.5,
        new_items=0,
        withdrawn_items=0,
    )


def covariates(data: Simulated, events: dict[str, np.ndarray]) -> list[np.ndarray]:
    """What the equations take: taste for the item's leaf at that time, price felt, quality, bait."""
    users, items, leaf = events["user"], events["item"], data.truth.world.items.leaf[events["item"]]
    goods, people = data.truth.world.items, data.truth.world.users
    liked = taste(people.tastes[:, users, leaf], (events["timestamp"] - START) / DAY_MS, P.drift_days)
    return [
        liked,
        people.price_sensitivity[users] * goods.relative_price[items],
        goods.quality[items],
        goods.bait[items],
    ]


def first_places(data: Simulated) -> dict[str, np.ndarray]:
    """The impressions at position 0, which everybody looks at."""
    return {name: values[data.shown["position"] == 0] for name, values in data.shown.items()}


def test_position_bias(random):
    """Clicks by position, over those at the first, are the mean over requests of patience^k."""
    curve = random.slates("clicked").mean(axis=0)
    users, mobile = random.slates("user")[:, 0], random.slates("device")[:, 0] == "mobile"
    planted = np.mean(patience(random.truth.world, users, mobile)[:, None] ** np.arange(P.slate_size), axis=0)
    assert planted[5] < 0.45
    error = np.sqrt(curve / len(users))
    assert (np.abs(curve - curve[0] * planted) < 4 * (error + error[0])).all(), (curve / curve[0], planted)
    assert curve[-1] / curve[0] == pytest.approx(planted[-1], rel=0.15)


def test_the_click_equation(random):
    seen = first_places(random)
    found, errors = logistic(covariates(random, seen), seen["clicked"])
    within(found, errors, [P.click_base, 1.0, -1.0, P.click_quality, P.click_bait])


def test_the_purchase_equation(random):
    clicks = random.of("click")
    bought = np.isin(places_of(clicks), places_of(random.of("purchase")))
    found, errors = logistic(covariates(random, clicks), bought)
    within(found, errors, [P.purchase_base, P.purchase_taste, -1.0, P.purchase_quality, P.purchase_bait])


def test_the_return_equation(random):
    bought = random.of("purchase")
    bought = {name: values[bought["timestamp"] < random.truth.end - 3 * DAY_MS] for name, values in bought.items()}
    returned = np.isin(places_of(bought), places_of(random.of("return")))
    _, _, quality, bait = covariates(random, bought)
    found, errors = logistic([quality, bait], returned)
    within(found, errors, [P.return_base, P.return_quality, P.return_bait])


def test_price_sensitivity_without_the_truth(random):
    """Clicks on log price alone: between half and all of the planted slope (unseen tastes dilute it), by income."""
    seen = first_places(random)
    dear = random.truth.world.items.relative_price[seen["item"]]
    slopes = []
    for income in range(3):
        group = random.truth.world.users.income[seen["user"]] == income
        found, errors = logistic([dear[group]], seen["clicked"][group])
        assert errors[1] < 0.05
        slopes.append(found[1])
    assert slopes[0] > slopes[1] > slopes[2], "who earns less minds the price more"
    assert -1.1 * P.price_sensitivity < np.mean(slopes) < -0.5 * P.price_sensitivity


def test_clickbait_is_clicked_then_regretted(random):
    seen, clicks, bait = first_places(random), random.of("click"), random.truth.world.items.bait > 0.5
    ctr = [seen["clicked"][bait[seen["item"]] == is_bait].mean() for is_bait in (True, False)]
    assert ctr[0] > 1.8 * ctr[1]
    dwell = [np.median(clicks["dwell_seconds"][bait[clicks["item"]] == is_bait]) for is_bait in (True, False)]
    assert dwell[0] < 0.5 * dwell[1]
    bought, back = random.of("purchase"), random.of("return")
    rate = [
        (bait[back["item"]] == is_bait).sum() / (bait[bought["item"]] == is_bait).sum() for is_bait in (True, False)
    ]
    assert rate[0] > 3 * rate[1]


def test_ratings_tell_kept_from_returned(random):
    rated, back = random.of("rating"), places_of(random.of("return"))
    returned = np.isin(places_of(rated), back)
    assert returned.sum() > 100
    assert rated["value"][returned].max() <= 2
    assert rated["value"][~returned].min() >= 3


def test_tastes_drift(tmp_path):
    """The covariance of a user's clicks by department in two months falls with the months between, as cos(wh)."""
    data, months = make(tmp_path / "data", users=4000, items=200, days=180, policy="random"), 6
    seen = first_places(data)
    department = DEPARTMENT_OF[data.truth.world.items.leaf[seen["item"]]]
    month = (seen["timestamp"] - START) // (30 * DAY_MS)
    shape = (months, len(data.truth.world.users.ids), len(DEPARTMENTS))
    where = np.ravel_multi_index((month, seen["user"], department), shape)
    shown, clicked = (np.bincount(where, w, np.prod(shape)).reshape(shape) for w in (None, seen["clicked"]))
    excess = clicked - shown * (clicked.sum(axis=1) / shown.sum(axis=1))[:, None]

    def alike(lag):
        """The mean product of excess clicks in months `lag` apart, per impression of both."""
        pairs = [(first, first + lag) for first in range(months - lag)]
        products = sum((excess[one] * excess[two]).sum() for one, two in pairs)
        return products / sum((shown[one] * shown[two]).sum() for one, two in pairs)

    turn = np.pi / 2 / P.drift_days * 30
    for lag in (3, 5):
        assert alike(lag) / alike(1) == pytest.approx(np.cos(lag * turn) / np.cos(turn), abs=0.15), lag


def test_who_was_satisfied_comes_back(random):
    """The hazard of a visit, day by day: readiness of the user and the planted log-odds for each level of trust."""
    truth, clicks = random.truth, random.shown
    came = np.zeros((truth.course.days, len(truth.world.users.ids)), bool)
    came[(clicks["timestamp"] - START) // DAY_MS, clicks["user"]] = True
    day = np.arange(truth.course.days)[:, None]
    there = truth.world.users.created_at[None, :] < START + day * DAY_MS
    assert not came[~there].any()
    readiness = np.broadcast_to(truth.world.users.readiness, came.shape)[there]
    trust = truth.trust[:-1][there].astype(float) - P.trust_start
    found, errors = logistic([readiness, trust], came[there])
    within(found, errors, [0.0, 1.0, P.visit_trust])


def test_a_return_costs_visits_that_a_kept_purchase_earns(random):
    """From the events alone, within the same users: visits in the week after a return, and after a kept purchase."""
    bought, back = random.of("purchase"), places_of(random.of("return"))
    kept = ~np.isin(places_of(bought), back)
    came = np.zeros((len(random.truth.world.users.ids), random.truth.course.days), bool)
    came[random.shown["user"], (random.shown["timestamp"] - START) // DAY_MS] = True
    day = (bought["timestamp"] - START) // DAY_MS
    early = day < random.truth.course.days - 7
    after = np.stack([came[bought["user"][early], day[early] + ahead] for ahead in range(1, 8)]).mean(axis=0)
    gaps = []
    for user in np.unique(bought["user"][early]):
        own = bought["user"][early] == user
        good, bad = after[own & kept[early]], after[own & ~kept[early]]
        if len(good) and len(bad):
            gaps.append(good.mean() - bad.mean())
    assert len(gaps) > 500
    assert np.mean(gaps) > 3 * np.std(gaps) / np.sqrt(len(gaps))


def test_propensities_give_the_value_of_another_policy(explored):
    """Inverse propensity scoring, item by position (Li et al. 2018): unbiased where clicks follow the position-based
    model. The target always shows the ten cheapest items on the first page."""
    world = explored.truth.world
    target = np.argsort(world.items.price)[: P.slate_size]
    home = explored.slates("surface")[:, 0] == "home"
    shown, clicked, propensity, users = (
        explored.slates(name)[home] for name in ("item", "clicked", "propensity", "user")
    )
    match = (shown == target) / propensity
    assert match.mean(axis=0) == pytest.approx(1.0, abs=0.12), "each position is shown as often as is said"
    mobile, times = explored.slates("device")[home][:, 0] == "mobile", explored.slates("timestamp")[home][:, 0]
    looked = patience(world, users[:, 0], mobile)[:, None] ** np.arange(P.slate_size)
    true = (looked * odds(world, users[:, 0], np.tile(target, (len(users), 1)), times).click).sum(axis=1).mean()
    terms = (match * clicked).sum(axis=1)
    error = terms.std() / np.sqrt(len(terms))
    assert error < 0.1 * true
    assert terms.mean() == pytest.approx(true, abs=3.5 * error)
    assert clicked.sum(axis=1).mean() > 1.3 * true, "what was logged is not what the target would get"


def test_propensities_of_a_department_are_of_its_own_items(explored):
    """The popular item of a place, or one of the department's m items at random: (1 - e) + e/m, or e/m."""
    world = explored.truth.world
    sizes = np.bincount(DEPARTMENT_OF[world.items.leaf], minlength=len(DEPARTMENTS))
    browsed = explored.slates("surface")[:, 0] == "category"
    department = DEPARTMENT_OF[world.items.leaf[explored.slates("item")]]
    assert (department[browsed] == department[browsed][:, :1]).all()
    m = np.where(browsed, sizes[department[:, 0]], sizes.sum())[:, None]
    values = explored.slates("propensity")
    assert (np.isclose(values, 0.5 / m) | np.isclose(values, 0.5 + 0.5 / m)).all()


def test_items_are_shown_only_while_they_are_offered(random):
    goods = random.truth.world.items
    times, items = random.shown["timestamp"], random.shown["item"]
    assert (times >= goods.created_at[items]).all()
    assert ((times - START) // DAY_MS < goods.withdrawn_day[items]).all()
    late = goods.created_at > START
    assert late.sum() > 100
    assert late[items].mean() > 0.1
    assert not offered(random.truth, random.truth.end)[goods.withdrawn_day <= 80].any()
