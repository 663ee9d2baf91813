"""What the contract of rankers hands to one is what a served one is given; and what both contracts refuse."""

import dataclasses
import sys
from typing import ClassVar

import numpy as np
import pytest

from souk.plugs import Ranker, Retriever
from souk.release.bundle import Bundle
from souk.serving.recommender import Recommender
from souk.serving.request import Request
from souk.testing import RankerContract, RetrieverContract
from tests.serving_fixtures import NOW, STATES, write_shop


class Spy(Ranker):
    """Tells what it is given."""

    given: ClassVar[list] = []

    def probabilities(self, features, items, positions, request, pair):
        self.given.append((features, items))
        known = features["token_count"][request] > 0
        return {"engaged": np.where(known & ~items.having("brand", "acme")[positions], 0.6, 0.4)}


class SpyContract(RankerContract):
    use = "test_plugs_contract:Spy"


def test_a_ranker_of_the_contract_is_given_what_a_served_one_is(tmp_path):
    """The declared columns of either shop aside: names, types and shapes; and a column that no shop declares."""
    sys.modules["test_plugs_contract"] = sys.modules[__name__]
    Spy.given.clear()
    suite = SpyContract()
    for name in dir(suite):
        if name.startswith("test_"):
            getattr(suite, name)()
    contract, _ = Spy.given[-1]
    bundle = Bundle.load(write_shop(tmp_path / "shop").folder)
    named = dataclasses.replace(bundle.settings, ranker={"use": "test_plugs_contract:Spy", "options": {}})
    recommender = Recommender.load(dataclasses.replace(bundle, settings=named), None, None)
    (slate,) = recommender.recommend([Request("ann", 5, NOW, state=STATES[0])])
    (served, items), declared = Spy.given[-1], ("user_", "context_")
    assert slate.degraded == ()

    def kinds(features):
        found = {name: (a.dtype, a.ndim) for name, a in features.items() if not name.startswith(declared)}
        return found | {"user_id": (features["user_id"].dtype, features["user_id"].ndim)}

    assert kinds(contract) == kinds(served) and "query_since_last" in contract
    assert {"user_region", "context_device"} <= contract.keys()
    mask = items.having("brand", "acme")
    assert not mask.any() and len(mask) == len(items.ids) and not mask.flags.writeable


class FirstComer(Retriever):
    """Keeps the list that it made for whoever asked first."""

    kept: tuple[int, ...] = ()

    def retrieve(self, query, items, count):
        self.kept = self.kept or tuple(
            items.positions[e.item_id] for e in query.history if e.item_id in items.positions
        )
        return list(dict.fromkeys(self.kept))[:count]


class FirstRegion(Ranker):
    """Ranks for everybody by the region of the first who asks."""

    def probabilities(self, features, items, positions, request, pair):
        first = features["user_region"][0]
        return {"engaged": np.full(len(positions), 0.6 if first == "north" else 0.4)}


class AmongAll(Ranker):
    """A softmax over all that are asked for together."""

    def probabilities(self, features, items, positions, request, pair):
        likely = np.exp(pair[:, 0])
        return {"engaged": likely / max(likely.sum(), 1)}


@pytest.mark.parametrize(
    ("contract", "wrong", "test"),
    [
        (RetrieverContract, FirstComer, "test_who_asked_before_changes_no_answer"),
        (RankerContract, FirstRegion, "test_a_user_has_the_same_in_whatever_company"),
        (RankerContract, AmongAll, "test_a_user_has_the_same_in_whatever_company"),
    ],
)
def test_what_gives_one_user_the_answer_of_another_breaks_the_contract(contract, wrong, test):
    sys.modules["test_plugs_contract"] = sys.modules[__name__]
    suite, broken = contract(), []
    suite.use = f"test_plugs_contract:{wrong.__name__}"
    for name in dir(suite):
        if name.startswith("test_"):
            try:
                getattr(suite, name)()
            except AssertionError:
                broken.append(name)
    assert broken == [test]
