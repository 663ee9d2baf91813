"""A real Milvus server behind a server: killed, frozen, dropped, halved, released, with callers who count."""

import contextlib
import time

import pytest

from souk.index.collections import connect
from souk.index.milvus import build, open_or_build
from souk.release.bundle import Bundle
from souk.serving.dependency import RETRY_SECONDS
from tests.callers import Callers, healed
from tests.milvus_fixtures import milvus
from tests.serving_fixtures import write_workspace
from tests.serving_process import serving

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    with milvus(tmp_path_factory.mktemp("milvus") / "data") as server:
        yield server


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return write_workspace(tmp_path_factory.mktemp("shop") / "workspace")


@pytest.fixture(scope="module")
def server(real, workspace, tmp_path_factory):
    words = ["--timeout-ms", "5000", "--milvus-uri", real.uri]
    with serving(workspace.root, tmp_path_factory.mktemp("log") / "log", *words) as process:
        yield process


@pytest.fixture
def callers(server):
    with Callers(server, 4).asking() as callers:
        healed(callers)
        yield callers
    assert set(callers.statuses) == {200} and {(), ("index_unavailable",)} <= set(callers.degraded)
    assert server.metric('souk_breaker{dependency="index",release="",state="closed"}') == 1
    assert len(callers.slates) == 1, "the same slate, whoever searched for it"


@pytest.fixture
def collection(workspace):
    return Bundle.load(workspace.current).settings.collection


def lost(callers):
    callers.until(lambda: callers.degraded[("index_unavailable",)])
    assert "index_unavailable" in callers.since()


def test_one_that_hangs_and_comes_to(callers, real):
    with real.frozen():
        lost(callers)
    healed(callers)


def test_a_collection_that_is_released_is_loaded_again(callers, real, collection):
    """What another client does, or a server that loads only half of it before its memory is full."""
    with contextlib.closing(connect(real.uri)) as client:
        client.release_collection(collection)
    callers.until(lambda: callers.degraded[("index_unavailable",)])
    healed(callers)


def rebuilt(real, workspace):
    """As a deploy, or a server that starts, does."""
    bundle = Bundle.load(workspace.current)
    open_or_build(real.uri, bundle.settings.collection, bundle.vectors, bundle.available).close()


def test_a_collection_that_is_dropped_is_searched_in_process_until_somebody_builds_it(
    callers, real, workspace, collection
):
    with contextlib.closing(connect(real.uri)) as client:
        client.drop_collection(collection)
    lost(callers)
    rebuilt(real, workspace)
    healed(callers)


def test_one_that_is_killed_and_back_with_what_it_had(callers, real):
    """Nobody builds anything: the next probe has it loaded, once the sessions of the killed one are over."""
    real.kill()
    lost(callers)
    real.start()
    healed(callers)


@pytest.mark.parametrize("left", ["what it had", "nothing"])
def test_one_that_is_away_when_a_server_starts_is_searched_once_it_is_there(
    real, workspace, collection, tmp_path, left
):
    """Also where it has to be built first: it may be as new as the server."""
    if left == "nothing":
        with contextlib.closing(connect(real.uri)) as client:
            client.drop_collection(collection)
    real.kill()
    words = ["--timeout-ms", "5000", "--milvus-uri", real.uri]
    try:
        with serving(workspace.root, tmp_path / "log", *words) as late, Callers(late, 4).asking() as callers:
            lost(callers)
            real.start()
            healed(callers)
            assert late.metric('souk_breaker{dependency="index",release="",state="closed"}') == 1
    finally:
        if not real.running:
            real.start()
    assert len(callers.slates) == 1, "the same slate, whoever searched for it"
    with contextlib.closing(connect(real.uri)) as client:
        assert client.list_aliases(collection)["aliases"], "it is in use, so that no deploy drops it"


def test_half_of_a_collection_is_searched_by_nobody_until_it_is_whole(callers, real, workspace, collection):
    """It has the name, and is loaded: what another client left of it. Half of the slates would be others."""
    bundle = Bundle.load(workspace.current)
    with contextlib.closing(connect(real.uri)) as client:
        client.drop_collection(collection)
    lost(callers)
    build(real.uri, collection, bundle.vectors[::2], bundle.available[::2])
    probed = time.monotonic() + 3 * RETRY_SECONDS
    callers.until(lambda: time.monotonic() > probed)
    rebuilt(real, workspace)
    healed(callers)
