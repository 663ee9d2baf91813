"""A release in memory is there once, whoever is answered by it, and goes with the last of them."""

import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from souk.serving import served
from souk.serving.beside import Beside
from souk.serving.in_memory import InMemory
from souk.serving.releases import Ready, Served
from tests.arms_fixtures import reader_of
from tests.serving_fixtures import write_workspace


class Shop:
    """Releases by folder, and what was done to them."""

    def __init__(self):
        self.read, self.closed = [], []
        self.memory = InMemory(self.ready)

    def ready(self, folder):
        self.read.append(folder.name)
        if folder.name == "broken":
            raise OSError("a disk")
        bundle = SimpleNamespace(folder=folder)
        close = lambda: self.closed.append(folder.name)  # noqa: E731
        return Ready(lambda before=None: Served(bundle, object(), None, None, close), close)


@pytest.fixture
def shop():
    return Shop()


def test_it_is_read_once_and_goes_with_the_last_who_closes_it(shop):
    one, two, other = (shop.memory.ready(Path(name)) for name in ("a", "a", "b"))
    first, second, again = one.serve(), two.serve(), one.serve()
    assert shop.read == ["a", "b"] and first.bundle is second.bundle
    assert len({first.live, second.live, again.live}) == 3, "each takes items of its own"
    first.close()
    again.close()
    one.close()
    assert shop.closed == [], "one user, who closes as often as it likes"
    second.close()
    assert shop.closed == ["a"]
    shop.memory.ready(Path("a"))
    other.close()
    assert shop.read == ["a", "b", "a"] and shop.closed == ["a", "b"], "one that is gone is read again"


def test_what_cannot_be_read_is_not_held(shop):
    for _ in range(2):
        with pytest.raises(OSError, match="a disk"):
            shop.memory.ready(Path("broken"))
    assert shop.read == ["broken"] * 2


def test_threads_share_one_reading(shop):
    inside, go, found = threading.Event(), threading.Event(), []
    ready = shop.ready

    def slow(folder):
        inside.set()
        assert go.wait(60)
        return ready(folder)

    shop.memory = InMemory(slow)
    threads = [threading.Thread(target=lambda: found.append(shop.memory.ready(Path("a")))) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert inside.wait(60)
    go.set()
    for thread in threads:
        thread.join(60)
    assert shop.read == ["a"] and len(found) == 3
    for number, one in enumerate(found):
        assert shop.closed == [], number
        one.close()
    assert shop.closed == ["a"]


def test_one_that_cannot_be_measured_is_let_go(tmp_path, monkeypatch):
    workspace, run = write_workspace(tmp_path / "workspace"), Beside()
    reader = replace(reader_of(workspace), beside=run)

    def gone(*given):
        raise FileNotFoundError("a model that was deleted meanwhile")

    monkeypatch.setattr(served, "array_bytes", gone)
    with pytest.raises(FileNotFoundError):
        reader.ready(workspace.served_folder())
    assert not +run._held
