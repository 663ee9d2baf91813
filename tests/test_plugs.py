"""Classes of one's own: the documentation's example passes the public tests, and a release that names some serves."""

import dataclasses
import json
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from souk.candidates import SHARES
from souk.config import parse_config
from souk.config.plugs import RESERVED
from souk.errors import SoukError
from souk.plugs import Ranker, Retriever, made
from souk.release.bundle import Bundle
from souk.serving import model
from souk.serving.items.live import LiveItems
from souk.serving.items.log import ItemLog
from souk.serving.recommender import Recommender
from souk.serving.request import Request
from souk.testing import SIZE, RankerContract, RetrieverContract, example_items
from tests.serving_fixtures import IDS, NOW, STATES, write_shop

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"
ANN = STATES[0]
PICKS = ["g3-02", "g3-03", "gone", "g3-07"]  # of which one is not there, and one is hidden


@pytest.fixture(autouse=True)
def outside(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


class TestEditors(RetrieverContract):
    use = "own_classes:Editors"
    options: ClassVar = {"ids": ["i3", "gone", "i5", "i3"]}


class TestCheapFirst(RankerContract):
    use = "own_classes:CheapFirst"
    options: ClassVar = {"usual": 20.0}


class Wrong(Retriever):
    """Brings what the test wants."""

    answer = None

    def retrieve(self, query, items, count):
        return self.answer(query) if callable(self.answer) else self.answer


class Impossible(Ranker):
    answer = None

    def probabilities(self, features, items, positions, request, pair):
        return {"engaged": np.full(len(positions), self.answer)}


class Unfinished(Retriever):
    pass


class Exits(Retriever):
    def __init__(self, items):
        sys.exit("no licence")

    def retrieve(self, query, items, count):
        return []


class WrongContract(RetrieverContract):
    use = "test_plugs:Wrong"


@pytest.mark.parametrize(
    "answer",
    [[1, 1], [SIZE], [-1], [[1]], [0.5], ["i1"], [], lambda query: np.random.default_rng().permutation(SIZE)],
)
def test_the_contract_refuses_a_retriever_that_breaks_it(answer):
    sys.modules["test_plugs"] = sys.modules[__name__]
    Wrong.answer = staticmethod(answer) if callable(answer) else answer
    suite, broken = WrongContract(), 0
    for name in dir(suite):
        if name.startswith("test_"):
            try:
                getattr(suite, name)()
            except (AssertionError, ValueError):
                broken += 1
    assert broken


@pytest.mark.parametrize(
    ("use", "words"),
    [
        ("nowhere.at_all:Some", "the module nowhere.at_all of nowhere.at_all:Some. Received: ModuleNotFoundError"),
        ("own_classes:Editor", "a class Editor in own_classes. Received: none"),
        ("own_classes:CheapFirst", "a class derived of souk.plugs.Retriever"),
        ("own_classes:np", "a class derived of souk.plugs.Retriever"),
        ("test_plugs:Unfinished", "no retrieve"),
        ("own_classes:Editors", "made of the options []. Received: TypeError"),
        ("test_plugs:Exits", "made of the options []. Received: SystemExit: no licence"),
    ],
)
def test_a_class_that_cannot_be_made_is_an_error_that_says_why(use, words):
    sys.modules["test_plugs"] = sys.modules[__name__]
    with pytest.raises(SoukError) as raised:
        made(use, Retriever, example_items(), {})
    assert words in str(raised.value)


def test_the_config_names_them_short_and_long():
    base = "name: shop\ndata: {events: {path: e.csv}}\n"
    base += "objectives: {engaged: {events: [click]}, satisfied: {events: [click]}}\n"
    config = parse_config(
        base + "retrievers:\n  a: p.q:C\n  b: {use: 'p:D', share: 0.1, options: {n: 3}}\nranker: p:R\n"
    )
    step = json.loads(config.for_step("package_release"))
    assert step["retrievers"] == {
        "a": {"use": "p.q:C", "share": 0.5, "options": {}},
        "b": {"use": "p:D", "share": 0.1, "options": {"n": 3}},
    }
    assert step["ranker"] == {"use": "p:R", "options": {}} and json.loads(config.for_step("evaluate"))["ranker"]
    assert {*SHARES, "shown_often", "users", "slate"} <= RESERVED
    for wrong, words in (
        ("retrievers: {fresh: 'p:C'}", "a name of its own for the retriever fresh"),
        ("retrievers: {a: 'p.C'}", "a class by its place, as package.module:Class. Received: 'p.C'"),
        ("ranker: {use: 'p:C', share: 1}", "ranker.share"),
    ):
        with pytest.raises(SoukError) as raised:
            parse_config(base + wrong)
        assert words in str(raised.value), raised.value


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_shop(tmp_path_factory.mktemp("plugs") / "shop").folder


def loaded(folder, retrievers=None, ranker=None):
    bundle = Bundle.load(folder)
    settings = dataclasses.replace(bundle.settings, retrievers=retrievers or {}, ranker=ranker)
    bundle = dataclasses.replace(bundle, settings=settings)
    return bundle, Recommender.load(bundle, None, None)


def editors(**more):
    return {"editors": {"use": "own_classes:Editors", "share": 1.0, "options": {"ids": PICKS}}, **more}


def answer(recommender, k=30, **asked):
    (slate,) = recommender.recommend([Request("ann", k, NOW, state=ANN, **asked)])
    return {item.item_id: item for item in slate.items}, slate.degraded


def test_what_a_retriever_brings_is_ranked_among_the_others_and_says_its_name(folder):
    plain, _ = answer(loaded(folder)[1])
    items, degraded = answer(loaded(folder, editors())[1])
    assert degraded == () and {items[i].source.split("+")[-1] for i in PICKS[:2]} == {"editors"}
    assert "g3-07" not in items and all(items[i].scores for i in PICKS[:2])
    assert not any("editors" in item.source for item in plain.values())
    hidden, _ = answer(loaded(folder, editors())[1], exclude=("g3-02",))
    assert "g3-02" not in hidden and "editors" in hidden["g3-03"].source


def test_a_ranker_of_ones_own_orders_and_knows_what_was_upserted(folder, tmp_path):
    bundle, recommender = loaded(folder, ranker={"use": "own_classes:CheapFirst", "options": {"usual": 20.0}})
    items, degraded = answer(recommender, k=8)
    prices = [recommender.plugged.items.numbers["price"][IDS.index(i)] for i in items]
    assert degraded == () and prices == sorted(prices)
    assert next(iter(items.values())).scores == {"engaged": pytest.approx(20 / (20 + prices[0]))}
    live = LiveItems(recommender, bundle, ItemLog(tmp_path / "log"), lambda: NOW - 1000)
    live.upsert([{"item_id": "new", "category": "all/g1", "price": 0.5}])
    items, degraded = answer(live.current, k=8)
    assert next(iter(items)) == "new" and degraded == ()


def test_a_class_cannot_change_what_other_requests_see(folder):
    sys.modules["test_plugs"] = sys.modules[__name__]
    Wrong.answer, seen = [], []
    _, recommender = loaded(folder, editors(mine={"use": "test_plugs:Wrong", "share": 0.5, "options": {}}))
    Wrong.answer = staticmethod(lambda query: seen.append(query) or [])
    answer(recommender)
    items, (query,) = recommender.plugged.items, seen
    arrays = {f.name: getattr(items, f.name) for f in dataclasses.fields(items)} | {
        "having": items.having("category", "all/g1"),
        "price": items.numbers["price"],
        "vector": query.vector,
    }
    arrays = {name: value for name, value in arrays.items() if isinstance(value, np.ndarray)}
    assert len(arrays) == 8
    for array in arrays.values():
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    for mapping in (items.numbers, items.positions, query.profile, query.context):
        with pytest.raises(TypeError):
            mapping["new"] = 0


@pytest.mark.parametrize("wrong", [[1, 1], [999], "nothing", lambda query: 1 / 0])
def test_a_retriever_that_fails_is_a_reason_and_the_others_go_on(folder, wrong):
    sys.modules["test_plugs"] = sys.modules[__name__]
    Wrong.answer = []
    _, recommender = loaded(folder, editors(broken={"use": "test_plugs:Wrong", "share": 0.5, "options": {}}))
    before, fine = answer(recommender)
    Wrong.answer = staticmethod(wrong) if callable(wrong) else wrong
    items, degraded = answer(recommender)
    assert fine == () and degraded == ("broken_unavailable",) and list(items) == list(before)


@pytest.mark.parametrize("wrong", [np.nan, 1.5, -0.1])
def test_a_ranker_that_fails_leaves_the_order_of_the_sources(folder, wrong):
    sys.modules["test_plugs"] = sys.modules[__name__]
    Impossible.answer = 0.5
    _, recommender = loaded(folder, ranker={"use": "test_plugs:Impossible", "options": {}})
    Impossible.answer = wrong
    items, degraded = answer(recommender, k=8)
    assert degraded == ("ranker_unavailable",) and len(items) == 8 and not next(iter(items.values())).scores


def test_a_query_that_a_retriever_fails_at_is_a_reason_for_that_query_alone(folder):
    sys.modules["test_plugs"] = sys.modules[__name__]
    Wrong.answer = []
    _, recommender = loaded(folder, editors(picky={"use": "test_plugs:Wrong", "share": 0.5, "options": {}}))
    Wrong.answer = staticmethod(lambda query: 1 / 0 if query.user_id == "bob" else [5])
    asked = [Request(user, 30, NOW, state=dataclasses.replace(ANN, user_id=user)) for user in ("ann", "bob", "cat")]
    slates = recommender.recommend(asked)
    assert [slate.degraded for slate in slates] == [(), ("picky_unavailable",), ()]
    assert ["picky" in "+".join(i.source for i in slate.items) for slate in slates] == [True, False, True]


def test_a_class_is_never_called_twice_at_once(folder):
    sys.modules["test_plugs"] = sys.modules[__name__]
    Wrong.answer, inside, most, over = [], [], [], threading.Event()
    _, recommender = loaded(folder, editors(slow={"use": "test_plugs:Wrong", "share": 0.5, "options": {}}))

    def counted(query):
        inside.append(query)
        most.append(len(inside))
        over.wait(60)
        inside.pop()
        return []

    Wrong.answer = staticmethod(counted)
    for _ in range(3):  # nobody waits for it, so that the next one would be let in beside it
        assert "slow_unavailable" in answer(recommender, deadline=time.monotonic() + 2)[1]
    beside = threading.Thread(target=answer, args=(recommender,))  # as `souk recommend` has it: in its own thread
    beside.start()
    over.set()
    beside.join(60)
    assert set(most) == {1}


def test_an_explanation_waits_no_longer_for_a_class_that_hangs_than_a_slate(folder, monkeypatch):
    sys.modules["test_plugs"] = sys.modules[__name__]
    Wrong.answer, over = [], threading.Event()
    _, recommender = loaded(folder, editors(slow={"use": "test_plugs:Wrong", "share": 0.5, "options": {}}))
    Wrong.answer = staticmethod(lambda query: [over.wait(20)][:0])  # well, and too late
    monkeypatch.setattr(model.Explainer, "__init__", lambda self, recommender, run: None)
    monkeypatch.setattr(model.Explainer, "explain", lambda self, request, item: recommender.rank([request])[0])
    monkeypatch.setattr(model, "to_json", lambda ranking: ranking.degraded)
    bound = SimpleNamespace(main=SimpleNamespace(live=SimpleNamespace(current=recommender)))
    own = SimpleNamespace(_run=None)
    (degraded,) = model.SoukModel._explain(own, model.Checked([Request("ann", 3, NOW, state=ANN, bound=bound)], None))
    over.set()
    assert "slow_unavailable" in degraded


def test_its_breakers_are_told_and_its_threads_end_with_the_release(folder):
    sys.modules["test_plugs"] = sys.modules[__name__]
    Wrong.answer = []
    _, recommender = loaded(folder, {"mine": {"use": "test_plugs:Wrong", "share": 0.5, "options": {}}})
    before = set(threading.enumerate())
    answer(recommender, deadline=time.monotonic() + 60)
    own = set(threading.enumerate()) - before
    assert [guard.name for guard in recommender.breakers][-1] == "mine" and "mine-1" in {thread.name for thread in own}
    recommender.close()
    for thread in own:
        thread.join(60)
    assert not any(thread.is_alive() for thread in own)


def test_a_retriever_that_hangs_is_not_waited_for(folder):
    sys.modules["test_plugs"] = sys.modules[__name__]
    Wrong.answer, over = [], threading.Event()
    _, recommender = loaded(folder, editors(slow={"use": "test_plugs:Wrong", "share": 0.5, "options": {}}))
    Wrong.answer = staticmethod(lambda query: over.wait(60) and [])
    items, degraded = answer(recommender, deadline=time.monotonic() + 2)
    over.set()
    assert "slow_unavailable" in degraded and items
