"""Milvus missing, corrupt, half-built, held, hung, killed: always `IndexUnavailable`; rebuilt where that is safe."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from pymilvus import MilvusClient

from souk.errors import SoukError
from souk.index import lite, milvus
from souk.index.interface import IndexUnavailable
from souk.index.milvus import MilvusIndex, build, open_or_build
from souk.index.place import SEAL
from tests.test_index_contract import ITEMS, catalogue, milvus_server

HOLD = """
import sys, numpy as np
from souk.index.milvus import MilvusIndex
index = MilvusIndex(sys.argv[1], "items_test", np.load(sys.argv[2])).open()
print("open", flush=True)
sys.stdin.read()
"""
BUILD = """
import sys, numpy as np
from souk.index import collections, milvus
collections.INSERT_ROWS = 100
report = lambda text: (print(text, flush=True), sys.stdin.readline())
milvus.build(sys.argv[1], "items_test", np.load(sys.argv[2]), np.ones(300, bool), report)
"""
RESTART = """
import sys
from milvus_lite.adapter.grpc.server import run_server
run_server(*sys.argv[1:3], int(sys.argv[3]))
"""


@pytest.fixture
def built(tmp_path):
    """A sealed folder: (path, vectors, available)."""
    vectors, available = catalogue()
    build(str(tmp_path / "items.db"), "items_test", vectors, available)
    return str(tmp_path / "items.db"), vectors, available


def child(code, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def answers(index, vectors):
    """However long a busy machine takes."""
    return index.search(vectors[:1], 1, available_only=False, timeout=60)[0][0, 0] == 0


def files(path):
    found = (os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names)
    return sorted(file for file in found if os.path.basename(file) != "LOCK")


def flip(file):
    with open(file, "r+b") as stream:
        content = bytearray(stream.read())
        content[len(content) // 2] ^= 1
        stream.seek(0)
        stream.write(content)


def truncate(file):
    os.truncate(file, os.path.getsize(file) // 2)


@pytest.mark.parametrize("damage", [os.remove, truncate, flip])
def test_a_damaged_file_is_refused_and_rebuilt(built, damage):
    path, vectors, available = built
    names = [os.path.relpath(file, path) for file in files(path)]
    assert any(name.endswith(".parquet") for name in names)
    assert any(name.endswith(".idx") for name in names)
    for name in names:
        damage(os.path.join(path, name))
        with pytest.raises(IndexUnavailable):
            MilvusIndex(path, "items_test", available).open()
        with contextlib.closing(open_or_build(path, "items_test", vectors, available)) as index:
            assert answers(index, vectors)


def test_a_missing_folder_and_a_foreign_file(tmp_path):
    vectors, available = catalogue()
    path = tmp_path / "deep" / "items.db"
    with pytest.raises(IndexUnavailable):
        MilvusIndex(str(path), "items_test", available).open()
    path.parent.mkdir()
    path.write_text("not Milvus")
    with pytest.raises(SoukError, match="a file, which stays"):
        open_or_build(str(path), "items_test", vectors, available)
    assert path.read_text() == "not Milvus"
    path.unlink()
    with contextlib.closing(open_or_build(str(path), "items_test", vectors, available)) as index:
        assert answers(index, vectors)
    with pytest.raises(IndexUnavailable, match="items_other"):
        MilvusIndex(str(path), "items_other", available).open()
    with pytest.raises(IndexUnavailable, match="299 rows"):
        MilvusIndex(str(path), "items_test", available[:-1]).open()


@pytest.mark.slow
def test_a_folder_held_by_another_process_is_refused_and_left_alone(built, tmp_path):
    path, vectors, available = built
    np.save(tmp_path / "available.npy", available)
    holder = child(HOLD, path, tmp_path / "available.npy")
    try:
        assert holder.stdout.readline() == "open\n"
        inode = os.stat(path).st_ino
        with pytest.raises(IndexUnavailable, match="another process"):
            open_or_build(path, "items_test", vectors, available)
        assert os.stat(path).st_ino == inode
    finally:
        holder.kill()
        holder.communicate()
    with contextlib.closing(open_or_build(path, "items_test", vectors, available)) as index:
        assert answers(index, vectors)
    assert os.stat(path).st_ino == inode


def test_two_users_in_one_process_share_a_folder(built):
    path, vectors, available = built
    first, second = (MilvusIndex(path, "items_test", available).open() for _ in range(2))
    first.close()
    first.close()
    assert answers(second, vectors)
    assert lite.held_here(path)
    second.close()
    assert not lite.held_here(path)


def test_an_open_folder_that_is_deleted_still_answers(built):
    path, vectors, available = built
    with contextlib.closing(MilvusIndex(path, "items_test", available).open()) as index:
        shutil.rmtree(path)
        assert answers(index, vectors)


@pytest.mark.slow
def test_a_kill_while_building_leaves_what_was_there(built, tmp_path):
    path, vectors, available = built
    np.save(tmp_path / "vectors.npy", vectors)
    inode = os.stat(path).st_ino
    builder = child(BUILD, path, tmp_path / "vectors.npy")
    assert builder.stdout.readline().startswith("100 of 300")
    builder.kill()
    builder.communicate()
    assert os.path.exists(tmp_path / ".items.partial.db")
    with contextlib.closing(MilvusIndex(path, "items_test", available).open()) as index:
        assert answers(index, vectors)
    assert os.stat(path).st_ino == inode
    build(path, "items_test", vectors, available)
    assert not os.path.exists(tmp_path / ".items.partial.db")


@pytest.mark.slow
def test_a_half_built_collection_on_a_server_is_rebuilt(tmp_path):
    vectors, available = catalogue()
    np.save(tmp_path / "vectors.npy", vectors)
    with milvus_server(tmp_path / "server.db") as (uri, _):
        builder = child(BUILD, uri, tmp_path / "vectors.npy")
        assert builder.stdout.readline().startswith("100 of 300")
        builder.kill()
        builder.communicate()
        assert MilvusClient(uri).has_collection("items_test") is False, "it has another name until it is whole"
        with pytest.raises(IndexUnavailable, match="items_test"):
            MilvusIndex(uri, "items_test", available).open()
        with contextlib.closing(open_or_build(uri, "items_test", vectors, available)) as index:
            assert answers(index, vectors)
        MilvusClient(uri).drop_collection("items_test")
        with contextlib.closing(open_or_build(uri, "items_test", vectors, available)) as index:
            assert index.search(vectors[:1], ITEMS, available_only=False)[0].min() >= 0


def test_a_hung_or_killed_server_costs_the_timeout_at_most(tmp_path):
    vectors, available = catalogue()
    with milvus_server(tmp_path / "server.db") as (uri, server):
        index = open_or_build(uri, "items_test", vectors, available)
        server.send_signal(signal.SIGSTOP)
        os.waitpid(server.pid, os.WUNTRACED)  # a busy machine stops it only after a while
        with pytest.raises(IndexUnavailable, match="Deadline"):
            index.search(vectors[:1], 1, timeout=0.2)
        server.send_signal(signal.SIGCONT)
        assert answers(index, vectors)
        server.kill()
        server.wait()
        with pytest.raises(IndexUnavailable):
            index.search(vectors[:1], 1)
        with pytest.raises(IndexUnavailable):
            MilvusIndex(uri, "items_test", available).open()
        index.close()


@pytest.mark.slow
def test_a_restarted_server_is_used_again(tmp_path):
    vectors, available = catalogue()
    port = 0
    with milvus_server(tmp_path / "server.db") as (uri, server):
        index = open_or_build(uri, "items_test", vectors, available)
        port = int(uri.rpartition(":")[2])
        server.kill()
        server.wait()
        with pytest.raises(IndexUnavailable):
            index.search(vectors[:1], 1)
    again = child(RESTART, tmp_path / "server.db", "127.0.0.1", port)
    try:
        assert "listening" in again.stdout.readline()
        end = time.monotonic() + 30
        while time.monotonic() < end:
            with contextlib.suppress(IndexUnavailable):
                assert answers(index, vectors)
                break
            time.sleep(0.1)
        else:
            pytest.fail("the index did not come back")
    finally:
        again.kill()
        again.communicate()
        index.close()


def test_half_of_a_collection_is_no_answer_though_it_has_as_many_as_are_wanted(tmp_path):
    """It came while nobody looked: the rows are counted again before it is searched again."""
    vectors, available = catalogue()
    with milvus_server(tmp_path / "server.db") as (uri, _):
        index = open_or_build(uri, "items_test", vectors, available)
        MilvusClient(uri).drop_collection("items_test")
        with pytest.raises(IndexUnavailable):
            index.search(vectors[:1], 1, timeout=60)
        build(uri, "items_test", vectors[::2], available[::2])
        for _ in range(2):
            with pytest.raises(IndexUnavailable, match=r"300 rows in items_test\. Received: 150"):
                index.search(vectors[:1], 1, timeout=60)
        build(uri, "items_test", vectors, available)
        assert answers(index, vectors)
        index.close()


def test_a_dropped_collection_is_unavailable(built):
    path, vectors, available = built
    with contextlib.closing(MilvusIndex(path, "items_test", available).open()) as index:
        index._client.drop_collection("items_test")
        with pytest.raises(IndexUnavailable, match="does not exist"):
            index.search(vectors[:1], 1)


def test_the_seal_names_the_changed_file(built):
    path, _, available = built
    victim = next(file for file in files(path) if file.endswith(".idx"))
    flip(victim)
    with pytest.raises(IndexUnavailable, match=os.path.basename(victim)):
        MilvusIndex(path, "items_test", available).open()
    assert json.loads(Path(path, SEAL).read_text())["rows"] == ITEMS


@pytest.mark.slow
def test_large_catalogues_get_hnsw_on_a_server_only(tmp_path, monkeypatch):
    monkeypatch.setattr(milvus, "FLAT_ROWS", 100)
    vectors, available = catalogue()
    build(str(tmp_path / "items.db"), "items_test", vectors, available)
    assert any(file.endswith(".flat.idx") for file in files(tmp_path / "items.db"))
    with milvus_server(tmp_path / "server.db") as (uri, _):
        build(uri, "items_test", vectors, available)
        index = open_or_build(uri, "items_test", vectors, available)
        with contextlib.closing(index):
            assert answers(index, vectors)
            assert index._client.describe_index("items_test", "vector")["index_type"] == "HNSW"


def test_a_call_that_fails_is_told_by_its_error_alone():
    """pymilvus logs a traceback for each, one a second of a server that is down; its import sets its level."""
    code = (
        "import logging, souk.index.milvus; print(logging.getLogger('pymilvus.decorators').isEnabledFor(logging.ERROR))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "False\n"
