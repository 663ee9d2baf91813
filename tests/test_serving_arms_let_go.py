"""When the release of an arm goes: not before the last request that was parsed for it, and then all of it."""

import asyncio
import gc
import time
import weakref
from dataclasses import replace

import pytest

from souk.release.pointer import point
from souk.serving.dependency import Unavailable
from souk.serving.line import Line
from souk.serving.memory import settled
from souk.serving.request import Request
from tests.arms_fixtures import arms_of, beside, user_in, write
from tests.serving_fixtures import NOW, STATES, write_workspace

TEXT = """
experiments:
  next: {arms: {control: {share: 0.5}, other: {share: 0.5, release: shop-2}}}
"""


@pytest.fixture
def workspace(tmp_path):
    root = write_workspace(tmp_path / "workspace")
    beside(root, "shop-2")
    beside(root, "shop-3", lambda folder: (folder / "vectors.npy").write_bytes(b"spoiled"))
    return root


def asked(**more):
    user = user_in(TEXT, next="other")
    return Request(user, 4, NOW, "r0", state=replace(STATES[0], user_id=user), **more)


def test_what_was_read_before_another_release_failed_is_not_kept(workspace):
    text = TEXT.replace(
        "{share: 0.5, release: shop-2}", "{share: 0.3, release: shop-2}, bad: {share: 0.2, release: shop-3}"
    )
    arms = arms_of(workspace, text)
    (read,) = arms._retired
    assert arms.refused == 1 and read.bundle.folder.name == "shop-2" and list(arms._releases.beside) == []
    alive = weakref.ref(read)
    del read
    assert not arms.look() and not alive()


def test_a_release_that_no_arm_names_any_more_is_let_go_a_look_later(workspace):
    arms, closed = arms_of(workspace, TEXT), []
    arms.now.beside["shop-2"] = replace(arms.now.beside["shop-2"], close=lambda: closed.append("shop-2"))
    workspace.experiments.unlink()
    assert arms.look() and closed == [] and not arms.look() and closed == ["shop-2"]


def test_what_the_release_of_an_arm_leaves_is_no_garbage_for_good(workspace):
    arms = arms_of(workspace, TEXT)
    arms._releases.let_go = settled
    live = arms.now.beside["shop-2"].live
    live.ring, alive = live, weakref.ref(live)  # as a class of one's own may hold it
    del live
    settled()
    try:
        workspace.experiments.unlink()
        assert arms.look() and not arms.look()
        assert alive() is None
    finally:
        gc.unfreeze()


def test_a_release_that_comes_is_left_out_of_collections_while_the_one_before_is_kept(workspace):
    arms = arms_of(workspace, "")
    arms._releases.kept, arms._releases.let_go = gc.freeze, settled
    try:
        write(workspace, TEXT)
        assert arms.look() and not collected(arms.now.beside["shop-2"])
        beside(workspace, "shop-4")
        point(workspace, "shop-4")
        assert arms._releases.look() and arms._releases._before and not collected(arms._releases.now)
    finally:
        gc.unfreeze()


def collected(served):
    """Whether a collection of garbage looks at the parts of a release."""
    held = {id(thing) for thing in gc.get_objects()}
    return bool({id(served), id(served.live), id(served.live.current.catalogue), id(served.bundle)} & held)


def test_a_request_on_its_way_is_answered_by_the_arm_it_came_for_and_then_that_is_let_go(workspace):
    arms = arms_of(workspace, TEXT)
    request = asked(bound=arms.now, deadline=time.monotonic() + 60)
    tower = arms.now.beside["shop-2"].live.current.guards.query_tower
    workspace.experiments.unlink()
    assert arms.look() and not arms.look() and not arms.look()
    (slate,) = arms.recommend([request])
    assert slate.release == "shop-2" and "query_tower_unavailable" not in slate.degraded
    del request, slate
    assert not arms.look()
    with pytest.raises(Unavailable, match="closed"):
        tower.start(int)


def test_a_request_on_its_way_keeps_its_rules_however_often_the_file_changes(workspace):
    rules = "experiments:\n  mixed: {arms: {plain: {share: 0.5}, wide: {share: 0.5, rerank: {diversity: 0.9}}}}\n"
    arms, user = arms_of(workspace, rules), user_in(rules, mixed="wide")
    request = Request(user, 4, NOW, "r0", state=replace(STATES[0], user_id=user), bound=arms.now)
    (before,) = arms.recommend([request])
    for text in (rules.replace("0.9", "0.1"), "", rules.replace("0.9", "0")):
        write(workspace, text)
        assert arms.look()
        (slate,) = arms.recommend([request])
        assert (slate.arm, slate.items) == (before.arm, before.items)
    now = arms.recommend([replace(request, bound=None)])[0]
    assert [item.item_id for item in now.items] != [item.item_id for item in before.items], "the rules tell them apart"
    del request
    write(workspace, "")
    assert arms.look() and len(arms.now.main.live.current.reranker.variants) == 1, "nor for longer"


def test_an_idle_line_holds_no_release_of_its_last_request(workspace):
    arms = arms_of(workspace, TEXT)
    line = Line(arms.recommend, arms.safe)
    (slate,) = asyncio.run(line.slates([asked(bound=arms.now)]))
    bound, closed = weakref.ref(arms.now), []
    arms.now.beside["shop-2"] = replace(arms.now.beside["shop-2"], close=lambda: closed.append("shop-2"))
    workspace.experiments.unlink()
    assert arms.look() and slate.release == "shop-2"
    for _ in range(1_000):  # it may still be about to let go
        if not bound():
            break
        time.sleep(0.01)
    assert not bound() and not arms.look() and closed == ["shop-2"]
