"""What fails in an arm's release fails there alone, and ends with it."""

import threading
import time
from dataclasses import replace

import pytest

from souk.serving.dependency import FAILURES
from souk.serving.metrics import breakers
from souk.serving.request import Request
from tests.arms_fixtures import arms_of, beside, user_in
from tests.serving_fixtures import NOW, STATES, write_workspace

TEXT = "experiments: {next: {arms: {control: {share: 0.5}, other: {share: 0.5, release: shop-2}}}}"


@pytest.fixture
def workspace(tmp_path):
    root = write_workspace(tmp_path / "workspace")
    beside(root, "shop-2")
    return root


def asked(arms, arm):
    user = user_in(TEXT, next=arm)
    state = replace(STATES[0], user_id=user)
    (slate,) = arms.recommend([Request(user, 4, NOW, state=state, deadline=time.monotonic() + 60)])
    return slate


class Broken:
    def probabilities(self, *given):
        raise ArithmeticError("broken")


def test_a_ranker_that_fails_in_one_arm_is_left_alone_there_alone(workspace):
    arms = arms_of(workspace, TEXT)
    arms.now.beside["shop-2"].live.current.ranker = Broken()

    for _ in range(FAILURES + 1):
        assert asked(arms, "other").degraded == ("ranker_unavailable",)
    assert asked(arms, "control").degraded == ()
    family = breakers({"": arms.now.main, "shop-2": arms.now.beside["shop-2"]})
    opened = [sample.labels for sample in family.samples if sample.labels["state"] == "open" and sample.value]
    assert opened == [{"dependency": "ranker", "release": "shop-2", "state": "open"}]
    assert [s.labels["release"] for s in family.samples if s.labels["dependency"] == "features"] == [""] * 3, "shared"


class Hanging:
    """Answers when the test is over."""

    def __init__(self):
        self.over = threading.Event()

    def probabilities(self, *given):
        self.over.wait(60)
        return {}


class Timed:
    """A ranker that notes when it was asked."""

    def __init__(self, ranker):
        self.ranker, self.asked = ranker, []

    def probabilities(self, *given):
        self.asked.append(time.monotonic())
        return self.ranker.probabilities(*given)


def test_a_ranker_that_hangs_in_one_arm_leaves_the_requests_of_the_other_their_time(workspace):
    arms = arms_of(workspace, TEXT)
    plain = arms.now.main.live.current
    arms.now.beside["shop-2"].live.current.ranker = hanging = Hanging()
    plain.ranker = timed = Timed(plain.ranker)
    requests = [
        Request(user, 4, NOW, state=replace(STATES[0], user_id=user), deadline=time.monotonic() + 0.8)
        for user in (user_in(TEXT, next="other"), user_in(TEXT, next="control"))
    ]
    began = time.monotonic()
    slates = arms.recommend(requests)
    hanging.over.set()
    assert [slate.degraded for slate in slates] == [("ranker_unavailable",), ()]
    assert timed.asked[0] - began < 0.6, "it was not all spent on the other"


def test_the_threads_of_a_release_end_with_it(workspace):
    arms = arms_of(workspace, TEXT)
    before = set(threading.enumerate())
    asked(arms, "other")
    own = set(threading.enumerate()) - before
    assert {thread.name for thread in own} == {"query_tower-1", "ranker-1"}
    arms.close()
    for thread in own:
        thread.join(60)
    assert not any(thread.is_alive() for thread in own)
