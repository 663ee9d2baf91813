"""A ranker of one's own that is wrong about one request, in a batch with others."""

import dataclasses
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from souk.errors import SoukError
from souk.plugs import Ranker, as_heads
from souk.serving.dependency import FAILURES
from souk.serving.explain.gradients import Explainer
from souk.serving.impressions.records import SCHEMA
from souk.serving.request import Request
from tests.serving_fixtures import NOW, STATES, write_shop
from tests.test_plugs import loaded

USERS = [dataclasses.replace(STATES[0], user_id=user) for user in ("ann", "bob", "cat")]


class Picky(Ranker):
    """Gives what the test wants, which is told whose candidates are bob's."""

    answer = None

    def probabilities(self, features, items, positions, request, pair):
        assert len(features["user_id"]) == request.max() + 1 and len(pair) == len(positions)
        return {"engaged": self.answer(positions / 100, np.asarray(features["user_id"])[request] == "bob")}


@pytest.fixture(scope="module")
def recommender(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parent))
        sys.modules["test_plugs_ranker"] = sys.modules[__name__]
        Picky.answer = staticmethod(lambda right, bob: right)
        folder = write_shop(tmp_path_factory.mktemp("picky") / "shop").folder
        yield loaded(folder, ranker={"use": "test_plugs_ranker:Picky", "options": {}})[1]


def asked(recommender):
    deadline = time.monotonic() + 60
    return recommender.recommend([Request(u.user_id, 8, NOW, state=u, deadline=deadline) for u in USERS])


def shown(slates):
    return [[(item.item_id, item.score) for item in slate.items] for slate in slates]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda right, bob: np.where(bob, np.nan, right),
        lambda right, bob: right + 2 * bob,
        lambda right, bob: 1 / 0 if bob.any() else right,
    ],
    ids=["none", "beyond 1", "error"],
)
def test_a_request_that_a_ranker_fails_at_is_a_reason_for_that_request_alone(recommender, wrong):
    Picky.answer = staticmethod(lambda right, bob: right)
    right = asked(recommender)
    assert [slate.degraded for slate in right] == [()] * 3
    Picky.answer = staticmethod(wrong)
    for _ in range(FAILURES + 1):
        slates = asked(recommender)
    assert [slate.degraded for slate in slates] == [(), ("ranker_unavailable",), ()], "nor is it left alone for that"
    assert shown(slates)[::2] == shown(right)[::2] and not slates[1].items[0].scores


def test_one_that_fails_at_all_of_them_is_left_alone(recommender):
    Picky.answer = staticmethod(lambda right, bob: 1 / 0)
    for _ in range(FAILURES):
        assert {slate.degraded for slate in asked(recommender)} == {("ranker_unavailable",)}
    assert recommender.guards.ranker.state == "open"


def test_it_is_not_explained_and_tensorflow_is_not_started_for_that(recommender):
    run = []
    explainer = Explainer(recommender, lambda *asked: run.append(asked))
    with pytest.raises(SoukError, match="a ranker of Souk to explain"):
        explainer.explain(Request("ann", 8, NOW, state=USERS[0]))
    assert not run


@pytest.mark.parametrize("name", [*sorted(set(SCHEMA.names) - {"engaged", "satisfied"}), "user_age", "Kept", "p kept"])
def test_a_name_that_no_objective_of_a_config_may_have_is_refused(name):
    """In the impression log it would stand in the place of that column."""
    heads = {"engaged": np.full(2, 0.5), "satisfied": np.full(2, 0.5), "kept_3": np.full(2, 0.5)}
    assert as_heads(heads, 2).keys() == heads.keys()
    with pytest.raises(ValueError, match=f"names that a config may give objectives, received {name}"):
        as_heads(heads | {name: np.full(2, 0.5)}, 2)
