"""A release that is read for as long as it is wanted: what is withdrawn meanwhile does not answer."""

import threading
from pathlib import Path

import pytest

from souk.serving import reading
from souk.serving.in_memory import InMemory
from souk.serving.releases import Releases
from tests.arms_fixtures import arms_of, beside, write
from tests.serving_fixtures import write_workspace
from tests.test_serving_releases import Shop


@pytest.fixture
def shop():
    return Shop()


def during(shop, event):
    """Has something happen while a release is read."""
    read = shop.releases._read

    def reads(folder):
        ready = read(folder)
        event()
        return ready

    shop.releases._read = reads


def test_a_release_that_was_rolled_back_while_it_was_read_does_not_answer(shop):
    during(shop, lambda: setattr(shop, "pointed", Path("one")))
    assert not shop.look("two") and shop.now == "one" and shop.closed == ["two"]
    assert (shop.releases.taken, shop.releases.refused) == (0, 0)
    shop.releases._read = shop.ready
    assert shop.look("two") and shop.now == "two", "and does where the pointer comes back to it"


def test_a_release_in_whose_place_another_came_while_it_was_read_does_not_answer(shop):
    during(shop, lambda: setattr(shop, "pointed", Path("three")))
    assert not shop.look("two") and shop.releases.look() and shop.now == "three"
    assert shop.read == ["one", "two", "three"] and shop.closed == ["two"]


def test_a_pointer_that_cannot_be_read_withdraws_nothing(shop):
    def gone():
        raise OSError("gone")

    during(shop, lambda: setattr(shop.releases, "_pointed", gone))
    assert shop.look("two") and shop.now == "two"


def test_a_release_whose_reading_hangs_keeps_the_server_from_no_other(shop, monkeypatch, caplog):
    monkeypatch.setattr(reading, "PATIENCE", 0.05)
    monkeypatch.setattr(reading, "LOOK_SECONDS", 0.01)
    go_on, hangs = threading.Event(), threading.Event()

    def ready(folder):
        if folder.name == "hung":
            hangs.set()
            assert go_on.wait(60)
        return shop.ready(folder)

    memory = InMemory(ready)
    shop.releases = Releases(memory.ready(Path("one")), lambda: shop.pointed, memory.ready, lambda: shop.clock)
    looking = threading.Thread(target=shop.look, args=("hung",))
    looking.start()
    assert hangs.wait(60)
    while "release hung: not read after" not in caplog.text:
        looking.join(0.01)
        assert looking.is_alive(), "it is waited for while it is wanted"
    shop.pointed = Path("three")
    looking.join(60)
    assert not looking.is_alive() and shop.releases.look() and shop.now == "three"
    assert (shop.releases.taken, shop.releases.refused) == (1, 0)
    readers = [thread for thread in threading.enumerate() if thread.name == "reading"]
    go_on.set()
    for thread in readers:
        thread.join(60)
    assert shop.closed == ["hung"], "what it read goes"


def test_an_experiment_that_was_taken_out_while_its_release_was_read_has_no_arm(tmp_path):
    text = "experiments:\n  next: {arms: {control: {share: 0.5}, other: {share: 0.5, release: shop-2}}}\n"
    workspace = write_workspace(tmp_path / "workspace")
    beside(workspace, "shop-2")
    arms = arms_of(workspace, "")
    read = arms._read

    def withdrawn(folder):
        ready = read(folder)
        write(workspace, "")
        return ready

    arms._read = withdrawn
    write(workspace, text)
    assert not arms.look() and not arms.now.plan.experiments and arms.refused == 0
    arms._read = read
    write(workspace, text)
    assert arms.look() and list(arms.now.beside) == ["shop-2"]
