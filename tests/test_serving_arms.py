"""Experiments in the server: who is answered how, and what a new file or release does to that."""

import shutil
import threading
from dataclasses import replace

import numpy as np
import pytest

from souk.config import Repeat
from souk.config.experiments import Experiments
from souk.errors import SoukError
from souk.experiments import label
from souk.release.pointer import point
from souk.serving.experiments.bound import Bound
from souk.serving.experiments.counts import ArmMetrics
from souk.serving.recommender import Recommender
from souk.serving.request import Request
from souk.serving.retries import FIRST_SECONDS
from souk.serving.served import Reader
from souk.serving.signatures import QueryTower, Ranker
from tests.arms_fixtures import arms_of, beside, user_in, write
from tests.serving_fixtures import IDS, NOW, PRICES, STATES, write_workspace

ANN = STATES[0]
TEXT = """
holdout: 0.2
experiments:
  weight: {arms: {control: {share: 0.5}, squared: {share: 0.5, weights: {engaged: 2}}}}
  mixed: {traffic: 0.5, arms: {control: {share: 0.5}, wide: {share: 0.5, rerank: {diversity: 0.9}}}}
  next: {arms: {control: {share: 0.5}, other: {share: 0.5, release: shop-2}}}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = write_workspace(tmp_path_factory.mktemp("arms") / "workspace")
    beside(root, "shop-2")
    beside(root, "shop-3", lambda folder: (folder / "vectors.npy").write_bytes(b"spoiled"))
    return root


@pytest.fixture
def workspace(made, tmp_path):
    folder = tmp_path / "workspace"
    shutil.copytree(made.root, folder, symlinks=True)
    return type(made)(folder)


def ask(user, number=0, k=4):
    return Request(user, k, NOW, f"r{number}", state=replace(ANN, user_id=user))


def of(**arms):
    return user_in(TEXT, **{"weight": "control", "mixed": "", "next": "control", **arms})


def shown(slate):
    return [item.item_id for item in slate.items]


def test_each_arm_changes_what_it_says_and_the_answer_says_which(workspace):
    arms = arms_of(workspace, TEXT)
    plain = arms.now.main.live.current
    users = {name: of(**{name: arm}) for name, arm in (("weight", "squared"), ("mixed", "wide"), ("next", "other"))}
    users["control"] = of()
    slates = dict(zip(users, arms.recommend([ask(user) for user in users.values()]), strict=True))
    (expected,) = plain.recommend([ask(users["control"])])
    assert shown(slates["control"]) == shown(expected) and slates["control"].arm == "next=control,weight=control"
    squared = slates["weight"]
    assert squared.arm == "next=control,weight=squared"
    assert [i.score for i in squared.items] == pytest.approx(
        [(PRICES[i.item_id] / 100) ** 2 / 2 for i in squared.items]
    )
    wide = slates["mixed"]
    assert wide.arm == "mixed=wide,next=control,weight=control" and shown(wide) != shown(expected)
    groups = [len({item[:2] for item in shown(slate)}) for slate in (wide, expected)]
    assert groups[0] > groups[1], "a diverse slate has items of more groups"
    assert slates["next"].release == "shop-2" and slates["next"].arm == "next=other,weight=control"
    assert {slates[name].release for name in ("weight", "mixed", "control")} == {workspace.current_release()}


def test_an_arm_combines_with_those_of_other_experiments(workspace):
    arms = arms_of(workspace, TEXT)
    user = user_in(TEXT, weight="squared", mixed="wide", next="other")
    (slate,) = arms.recommend([ask(user)])
    assert (slate.release, slate.arm) == ("shop-2", "mixed=wide,next=other,weight=squared")
    assert [i.score for i in slate.items] == pytest.approx([(PRICES[i.item_id] / 100) ** 2 / 2 for i in slate.items])


def test_an_arm_may_tell_other_acts_apart_and_have_no_other_states(workspace):
    arms = arms_of(workspace, TEXT)
    main, plan, spec = arms.now.main, arms.now.plan, arms.now.main.bundle.spec
    apart, sold = replace(spec, acts=("click", "cart")), replace(spec, repeat=Repeat(rule="always", sold_once=True))
    fits, differs = (replace(main, bundle=replace(main.bundle, spec=each)) for each in (apart, sold))
    arms._fit(plan, main, fits)
    with pytest.raises(SoukError, match=f"{sold.hash} in shop"):
        arms._fit(plan, main, differs)


def test_the_held_out_get_the_release_and_are_told_apart(workspace):
    arms = arms_of(workspace, TEXT + "exploration: {slots: 5}\n")
    held = next(u for n in range(1000) if arms.now.treated(ask(u := f"u{n}"))[1].treatment.arm == "holdout")
    (slate,) = arms.recommend([ask(held)])
    (expected,) = arms.now.main.live.current.recommend([ask(held)])
    assert slate.arm == "holdout" and shown(slate) == shown(expected) and {i.propensity for i in slate.items} == {1.0}


def test_requests_of_a_batch_in_different_arms_of_one_release_are_answered_by_one_call_of_each_model(
    workspace, monkeypatch
):
    arms, calls = arms_of(workspace, TEXT), []
    for kind, name in ((QueryTower, "vectors"), (Ranker, "probabilities")):
        real = getattr(kind, name)
        monkeypatch.setattr(kind, name, lambda self, *a, name=name, real=real: calls.append(name) or real(self, *a))
    same = [ask(of(weight="squared")), ask(of()), ask(of(mixed="wide"))]
    assert len({slate.arm for slate in arms.recommend(same)}) == 3 and sorted(calls) == ["probabilities", "vectors"]
    calls.clear()
    mixed = [same[0], ask(of(next="other")), same[1], ask(of(next="other", weight="squared"))]
    releases = [slate.release for slate in arms.recommend(mixed)]
    assert len(calls) == 4 and [r == "shop-2" for r in releases] == [False, True, False, True], "in their order"


def test_the_answer_without_the_models_says_the_arm_too(workspace, monkeypatch):
    arms = arms_of(workspace, TEXT)
    monkeypatch.setattr(Recommender, "rank", lambda self, requests: 1 / 0)
    slates = arms.safe([ask(of(next="other")), ask(of())])
    assert [(s.release == "shop-2", s.arm) for s in slates] == [
        (True, "next=other,weight=control"),
        (False, "next=control,weight=control"),
    ]


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("experiments: {weight: {arms: {}}}", "2 or more entries"),
        (TEXT.replace("engaged: 2", "engagd: 2"), "Did you mean 'engaged'"),
        (TEXT.replace("shop-2", "shop-3"), "changed vectors.npy"),
        (TEXT.replace("shop-2", "shop-9"), "souk release list"),
        (TEXT.replace("diversity: 0.9", "caps: {title: 1}"), "rerank.caps"),
    ],
)
def test_a_file_that_is_no_good_is_refused_once_and_the_experiments_before_go_on(workspace, caplog, bad, why):
    arms = arms_of(workspace, TEXT)
    requests = [ask(f"u{n}") for n in range(40)]
    before = [(s.arm, s.release, shown(s)) for s in arms.recommend(requests)]
    write(workspace, bad)
    assert not arms.look() and not arms.look() and (arms.taken, arms.refused) == (1, 1)
    assert why in caplog.text and "those before go on" in caplog.text
    assert [(s.arm, s.release, shown(s)) for s in arms.recommend(requests)] == before
    write(workspace, "")
    assert arms.look() and {s.arm for s in arms.recommend(requests)} == {""}
    assert list(arms._releases.beside) == []


def test_another_release_takes_the_experiments_over_and_one_that_they_do_not_fit_lets_them_rest(workspace, caplog):
    arms = arms_of(workspace, TEXT)
    user = of(mixed="wide")

    beside(workspace, "shop-4")
    point(workspace, "shop-4")
    assert arms._releases.look()
    (slate,) = arms.recommend([ask(user)])
    assert (slate.release, slate.arm) == ("shop-4", "mixed=wide,next=control,weight=control")
    objectives = arms._releases.now.bundle.settings.objectives
    weight = objectives.pop("engaged")
    arms.follow_release(arms._releases.now)
    (slate,) = arms.recommend([ask(user)])
    assert slate.arm == "" and "experiments rest while shop-4 answers" in caplog.text
    point(workspace, "shop-2")
    assert arms._releases.look()
    (slate,) = arms.recommend([ask(of(next="other"))])
    assert (slate.release, slate.arm) == ("shop-2", "weight=control"), "shop-2 is not compared with itself"
    assert not arms.now.beside and arms.resting == ["next"] and "is the current one: next" in caplog.text
    (rests,) = [family for family in ArmMetrics(arms).collect() if family.name == "souk_experiment_rests"]
    assert [(sample.labels["experiment"], sample.value) for sample in rests.samples] == [("next", 1.0)]
    objectives["engaged"] = weight
    point(workspace, "shop-4")
    assert arms._releases.look()
    (slate,) = arms.recommend([ask(of(next="other"))])
    assert (slate.release, slate.arm) == ("shop-2", "next=other,weight=control") and arms.resting == []


def test_the_pointer_moves_between_two_arms_and_nothing_is_read_again(workspace, monkeypatch):
    """Each is the main one and an arm in turn, out of one memory; no copy of it is left behind that takes no items."""
    first, read, ready = workspace.current_release(), [], Reader.ready
    monkeypatch.setattr(Reader, "ready", lambda self, folder: read.append(folder.name) or ready(self, folder))
    text = (
        f"experiments: {{e: {{arms: {{old: {{share: 0.5, release: {first}}}, new: {{share: 0.5, release: shop-2}}}}}}}}"
    )
    arms = arms_of(workspace, text)
    users = [user_in(text, e="old"), user_in(text, e="new")]
    for number, name in enumerate(("shop-2", first, "shop-2")):
        point(workspace, name)
        assert arms._releases.look() and arms.now.main.bundle.folder.name == name
        gone = {"item_id": shown(arms.recommend([ask(users[0])])[0])[0], "available": False}
        assert arms._releases.upsert([gone]).accepted == 1
        slates = arms.recommend([ask(user, number) for user in users])
        assert [slate.release for slate in slates] == [first, "shop-2"]
        assert not any(gone["item_id"] in shown(slate) for slate in slates)
    assert read == [first, "shop-2"]


def test_an_experiment_rests_until_a_look_has_read_a_release_for_it_and_the_others_go_on(workspace, monkeypatch):
    made, answering, ready = [], [], Reader.ready

    def slow(reader, folder):
        answering.extend((folder.name, a.now.main.bundle.folder.name, a.resting) for a in made)
        return ready(reader, folder)

    monkeypatch.setattr(Reader, "ready", slow)
    made.append(arms := arms_of(workspace, TEXT))
    arms._move(Bound(Experiments(), arms.now.main))  # as after a release that they did not fit
    arms._let_go()
    beside(workspace, "shop-4")
    point(workspace, "shop-4")
    assert arms._releases.look() and [name for name, *_ in answering] == ["shop-4"], "no release waits for an arm's"
    (slate,) = arms.recommend([ask(of(next="other"))])
    assert (slate.release, slate.arm) == ("shop-4", "weight=control")
    assert arms.look() and answering[1:] == [("shop-2", "shop-4", ["next"])] and arms.resting == []
    assert (arms.taken, arms.refused) == (2, 0)


def test_a_rollback_waits_for_no_reading_of_an_arm(workspace, monkeypatch):
    first, ready, reads, go_on = workspace.current_release(), Reader.ready, threading.Event(), threading.Event()

    def slow(reader, folder):
        if folder.name == "shop-2":
            reads.set()
            assert go_on.wait(60)
        return ready(reader, folder)

    monkeypatch.setattr(Reader, "ready", slow)
    arms = arms_of(workspace, "experiments: {}")
    beside(workspace, "shop-4")
    point(workspace, "shop-4")
    assert arms._releases.look()
    write(workspace, TEXT)
    looking = threading.Thread(target=arms.look)
    looking.start()
    assert reads.wait(60)
    point(workspace, first)
    try:
        assert arms._releases.look() and arms.now.main.bundle.folder.name == first
    finally:
        go_on.set()
        looking.join(60)
    assert len(arms.now.plan.experiments) == 3 and arms.now.main.bundle.folder.name == first
    assert arms.recommend([ask(of(next="other"))])[0].release == "shop-2"


def test_what_was_refused_is_tried_again_with_the_next_release(workspace):
    """An arm may name a release before it is there."""
    arms = arms_of(workspace, TEXT.replace("shop-2", "shop-5"))
    assert arms.refused == 1 and not arms.now.plan.experiments
    beside(workspace, "shop-5")
    assert not arms.look() and arms.refused == 1
    beside(workspace, "shop-4")
    point(workspace, "shop-4")
    assert arms._releases.look() and arms.look() and len(arms.now.plan.experiments) == 3


def test_what_may_pass_is_tried_again(workspace, monkeypatch):
    seconds, ready, broken = [0.0], Reader.ready, [OSError("volume"), MemoryError()]

    def read(reader, folder):
        if folder.name == "shop-2" and broken:
            raise broken.pop()
        return ready(reader, folder)

    monkeypatch.setattr(Reader, "ready", read)
    arms = arms_of(workspace, TEXT, lambda: seconds[0])
    assert not arms.look() and arms.refused == 1
    seconds[0] = FIRST_SECONDS
    assert not arms.look() and arms.refused == 2
    seconds[0] = 3 * FIRST_SECONDS
    assert arms.look() and not arms.look() and arms.now.plan.experiments and (arms.taken, arms.refused) == (1, 2)


def test_items_that_come_are_in_every_arm(workspace):
    arms = arms_of(workspace, TEXT)
    new = {"item_id": "new", "category": "all/g1", "price": 99.5, "title": "Gilded boots"}
    assert arms._releases.upsert([new, {"item_id": "nobody", "available": False}]).accepted == 1
    requests = [ask(of(next="other")), ask(of(mixed="wide")), ask(of())]
    for server in (arms, arms_of(workspace, TEXT)):  # and after a start
        assert [shown(slate)[0] for slate in server.recommend(requests)] == ["new"] * 3


def test_by_request_everyone_is_assigned_and_not_for_long(workspace):
    text = "experiments: {e: {unit: request, arms: {a: {share: 0.5}, b: {share: 0.5, weights: {engaged: 2}}}}}"
    arms = arms_of(workspace, text)
    slates = arms.recommend([ask("ann", n) for n in range(16)])
    assert {slate.arm for slate in slates} == {label({"e": "a"}), label({"e": "b"})}
    assert np.isin(shown(slates[0]), IDS).all()
