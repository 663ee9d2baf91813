"""The step deploy: idempotent, and killed anywhere it leaves the old release current and whole."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial

import pyarrow.parquet as pq
import pytest
from feast.infra.online_stores.sqlite import SqliteOnlineStore

from souk.config import DatasetConfig, with_value
from souk.errors import SoukError
from souk.index.exact import ExactIndex
from souk.index.milvus import MilvusIndex
from souk.index.recall import recall_at
from souk.release.bundle import Bundle
from souk.release.condition import without_states
from souk.release.in_use import needed
from souk.release.manifest import verify
from souk.release.pointer import history, release_names, rollback
from souk.steps.deploy import deploy
from souk.steps.load_index import load_index
from souk.store.definitions import view_name
from souk.store.feast_store import FeastStore
from souk.workspace import Workspace
from tests.release_fixtures import ITEM_IDS, SPEC, write_release

STAGES = [
    ("souk.steps.deploy.verify", 2),  # the release is there, the copy not yet
    ("souk.folders.os.replace", 1),  # a whole copy, not in its place
    ("souk.steps.deploy._load_collection", 1),
    ("souk.index.lite.shutil.copytree", 2),  # the first copies the release
    ("souk.steps.deploy.open_or_build", 1),
    ("souk.steps.deploy._fill_store", 1),
    ("souk.steps.deploy.promote", 1),
    ("souk.release.pointer._write", 1),
    ("souk.release.pointer._link", 1),
    ("souk.release.pointer.os.symlink", 1),
]
KILL = """
import importlib, json, os, signal, sys
from souk.steps.deploy import deploy
arguments, stages = json.loads(sys.argv[1]), json.loads(sys.argv[2])

def resolve(path):
    parts = path.split(".")
    for end in range(len(parts) - 1, 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:end]))
        except ImportError:
            continue
        for name in parts[end:-1]:
            found = getattr(found, name)
        return found, parts[-1]

for path, call in stages:
    child = os.fork()
    if not child:
        owner, name = resolve(path)
        original, calls = getattr(owner, name), [0]
        def kill(*given, **named):
            calls[0] += 1
            if calls[0] == call:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*given, **named)
        setattr(owner, name, kill)
        deploy(*arguments)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print("killed" if os.WIFSIGNALED(status) else f"ended {status}", path, flush=True)
    sys.stdin.readline()
"""


def config(**load_index_settings):
    values = {"name": "tiny", "data": {"events": {"path": "x"}}, "objectives": SPEC.objectives.model_dump()}
    return DatasetConfig.model_validate({**values, "load_index": load_index_settings})


def built(work, seed):
    """A release and what deploy takes beside it: (release, features, index)."""
    write_release(work / "release", work, seed)
    load_index(config().for_step("load_index"), str(work / "features"), str(work / "towers"), str(work / "index"))
    return [str(work / name) for name in ("release", "features", "index")]


@pytest.fixture(scope="module")
def packaged(tmp_path_factory):
    """Two releases with their features and indexes."""
    return [built(tmp_path_factory.mktemp(f"packaged{seed}"), seed) for seed in (1, 2)]


def run(workspace, release, features, index):
    return deploy(config().for_step("deploy"), str(workspace.root), release, features, index)


def serves(workspace, release):
    """Whether the current release is that one, whole, with its collection and states."""
    name = verify(release)["name"]
    bundle = Bundle.load(workspace.current)
    verify(workspace.releases / name)
    assert workspace.current_release() == bundle.name == name
    collection = bundle.settings.collection
    index = MilvusIndex(str(workspace.milvus / f"{collection}.db"), collection, bundle.indexed).open()
    same = recall_at(index, ExactIndex(bundle.vectors, bundle.indexed), bundle.vectors, 10)
    index.close()
    state = FeastStore(workspace.feast, bundle.spec).read(["u3"])[0]
    return state is not None and state.count == 100 and same == 1


@pytest.mark.slow
def test_deploy_twice_changes_nothing_and_a_second_release_takes_over(packaged, tmp_path):
    workspace = Workspace(tmp_path)
    first, second = packaged
    assert run(workspace, *first) == {"changed": 1.0, "files": len(verify(first[0])["files"]), "states": 12.0}
    assert serves(workspace, first[0])
    folder = os.stat(workspace.current.resolve()).st_ino
    assert run(workspace, *first) == {"changed": 0.0, "files": len(verify(first[0])["files"]), "states": 0.0}
    assert os.stat(workspace.current.resolve()).st_ino == folder
    assert run(workspace, *second)["changed"] == 1
    assert serves(workspace, second[0])
    assert len(release_names(workspace)) == 2
    rollback(workspace)
    assert serves(workspace, first[0])


@pytest.mark.slow
def test_a_release_that_was_rolled_back_is_not_deployed_again(packaged, tmp_path):
    workspace = Workspace(tmp_path / "souk")
    first, second = packaged
    run(workspace, *first)
    run(workspace, *second)
    rollback(workspace)
    assert run(workspace, *second)["changed"] == 0
    assert serves(workspace, first[0])


def test_deploy_mends_what_is_damaged(packaged, tmp_path):
    workspace = Workspace(tmp_path)
    first = packaged[0]
    run(workspace, *first)
    collection = Bundle.load(workspace.current).settings.collection
    (workspace.current / "vectors.npy").write_bytes(b"damaged")
    shutil.rmtree(workspace.milvus / f"{collection}.db" / "collections")
    shutil.rmtree(workspace.feast)
    assert run(workspace, *first)["states"] == 12
    assert serves(workspace, first[0])
    assert needed(workspace, time.time()) == {workspace.current_release()}, "no prune deletes it on its way"


@pytest.mark.parametrize("marks", ["hidden", "engaged"])
def test_marks_that_came_meanwhile_stay(packaged, tmp_path, marks):
    """They make no other state of one, though its count is what it was."""
    workspace, first = Workspace(tmp_path), packaged[0]
    run(workspace, *first)
    store, now = FeastStore(workspace.feast, SPEC), time.time_ns() // 1_000_000
    (state,) = store.read(pq.read_table(f"{first[1]}/user_state.parquet")["user_id"].to_pylist()[:1])
    marked = replace(state, **{marks: {**getattr(state, marks), ITEM_IDS[0]: now}})
    store.write([marked], now)
    assert run(workspace, *first)["states"] == 0
    (kept,) = store.read([state.user_id])
    assert getattr(kept, marks) == getattr(marked, marks) != getattr(state, marks)
    store.write([replace(marked, events=state.events[1:])], now)
    assert run(workspace, *first)["states"] == 12, "another state is none that became of it"


@pytest.mark.parametrize("lost", ["the folder", "the states"])
def test_a_publication_that_is_stopped_midway_is_completed(packaged, tmp_path, monkeypatch, lost):
    """The first users, which are asked, have their states already."""
    workspace, first = Workspace(tmp_path), packaged[0]
    run(workspace, *first)
    if lost == "the folder":
        shutil.rmtree(workspace.feast)
    else:
        with sqlite3.connect(workspace.feast / "online.db") as connection:
            connection.execute(f"DELETE FROM souk_{view_name(SPEC)}")
    users = pq.read_table(f"{first[1]}/user_state.parquet")["user_id"].to_pylist()
    monkeypatch.setattr("souk.steps.deploy.ASKED", 5)
    monkeypatch.setattr("souk.store.publish.TOGETHER", 5)
    calls, write = [], SqliteOnlineStore.online_write_batch

    def stops(*given):
        calls.append(given)
        if len(calls) == 2:
            raise KeyboardInterrupt
        write(*given)

    with monkeypatch.context() as patch:
        patch.setattr(SqliteOnlineStore, "online_write_batch", stops)
        with pytest.raises(KeyboardInterrupt):
            run(workspace, *first)
    assert "stopped midway" in without_states(workspace) or lost == "the folder"
    assert run(workspace, *first)["states"] == len(users) == 12
    assert all(FeastStore(workspace.feast, SPEC).read(users)) and without_states(workspace) == ""
    assert run(workspace, *first)["states"] == 0


def test_user_states_go_to_the_redis_of_the_config(packaged, tmp_path, redis):
    workspace, (release, features, index) = Workspace(tmp_path), packaged[0]
    text = with_value(config().for_step("deploy"), "online_store", "uri", redis.uri)
    run = partial(deploy, text, str(workspace.root), release, features, index)
    assert run()["states"] == 12 and not (workspace.feast / "online.db").exists()
    assert serves(workspace, release), "whoever reads them finds them there"
    assert run()["states"] == 0


def test_a_damaged_release_is_not_deployed(packaged, tmp_path):
    release = shutil.copytree(packaged[0][0], tmp_path / "release")
    (release / "ranker" / "saved_model.pb").write_bytes(b"grapf")
    workspace = Workspace(tmp_path / "souk")
    with pytest.raises(SoukError, match=r"changed ranker/saved_model\.pb"):
        run(workspace, str(release), *packaged[0][1:])
    assert workspace.current_release() == ""


@pytest.mark.slow
def test_collections_of_neither_current_nor_previous_are_deleted(packaged, tmp_path):
    workspace = Workspace(tmp_path)
    first, second = packaged
    run(workspace, *first)
    stale, partial = workspace.milvus / "items_stale.db", workspace.milvus / ".items_gone.partial.db"
    stale.mkdir()
    partial.mkdir()
    (workspace.milvus / ".items_gone.db.lock").touch()
    run(workspace, *second)
    assert not stale.exists()
    assert not partial.exists()
    assert {path.stem for path in workspace.milvus.glob("items_*.db")} == {
        Bundle.load(release).settings.collection for release in (first[0], second[0])
    }


@pytest.mark.slow
def test_killed_anywhere_the_old_release_serves_and_a_rerun_completes(packaged, tmp_path):
    workspace = Workspace(tmp_path)
    first, second = packaged
    run(workspace, *first)
    arguments = [config().for_step("deploy"), str(tmp_path), *second]
    killer = subprocess.Popen(
        [sys.executable, "-c", KILL, json.dumps(arguments), json.dumps(STAGES)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        for path, _ in STAGES:
            while not (line := killer.stdout.readline()).startswith(("killed", "ended")):
                assert line
            assert line == f"killed {path}\n"
            assert serves(workspace, first[0])
            killer.stdin.write("\n")
            killer.stdin.flush()
    finally:
        killer.kill()
        killer.communicate()
    run(workspace, *second)
    assert serves(workspace, second[0])
    assert history(workspace) == [verify(first[0])["name"]]
    assert not list(tmp_path.rglob(".*.partial*"))
