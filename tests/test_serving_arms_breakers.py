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
    ends = False

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

    ends = False

    def __init__(self):
        self.over = threading.Event()

    def probabilities(self, *given):
        self.over.wait(60)
        return {}


def test_a_ranker_that_hangs_in_one_arm_leaves_the_requests_of_the_other_their_time(workspace, monkeypatch):
    """It is waited for until its share of their time is over, and no shorter: each part has the patience for that."""
    monkeypatch.setattr("souk.serving.budget.PATIENCE", 60.0)
    arms = arms_of(workspace, TEXT)
    other = arms.now.beside["shop-2"].live.current
    other.ranker = hanging = Hanging()
    until, recommend = [], other.recommend
    other.recommend = lambda own: until.append((own[0].deadline, time.monotonic())) or recommend(own)
    requests = [
        Request(user, 4, NOW, state=replace(STATES[0], user_id=user), deadline=time.monotonic() + 8)
        for user in (user_in(TEXT, next="other"), user_in(TEXT, next="control"))
    ]
    slates = arms.recommend(requests)
    hanging.over.set()
    assert [slate.degraded for slate in slates] == [("ranker_unavailable",), ()]
    ((deadline, asked_at),) = until
    assert deadline <= (asked_at + requests[0].deadline) / 2, "half of what is left, as they are two"


def test_the_threads_of_a_release_end_with_it(workspace):
    arms = arms_of(workspace, TEXT)
    asked(arms, "control")  # what looks at limits is not a release's
    arms.now.beside["shop-2"].live.current.ranker = Broken()
    before = set(threading.enumerate())
    asked(arms, "other")
    own = set(threading.enumerate()) - before
    assert {thread.name for thread in own} == {"ranker-1"}
    arms.close()
    for thread in own:
        thread.join(60)
    assert not any(thread.is_alive() for thread in own)
