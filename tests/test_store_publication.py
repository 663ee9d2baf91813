"""What is Feast's own in the store of user states: damage, a killed publication, the command line."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from souk.errors import SoukError
from souk.publication import SPECS
from souk.store import publish as publishing
from souk.store.definitions import published_specs, published_views, user_state_view, view_name
from souk.store.feast_store import FeastStore
from souk.store.interface import StoreError
from souk.store.publish import publish
from tests.store_fixtures import NOW, SPEC, published_in, state, user_states

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    return published_in(tmp_path_factory.mktemp("published"))


@pytest.mark.parametrize("name", ["registry.db", "online.db"])
@pytest.mark.parametrize("damage", ["missing", "corrupt"])
def test_a_damaged_store_is_one_typed_error_and_heals(tmp_path, name, damage):
    folder, file = tmp_path / "feast", user_states(tmp_path / "user_state.parquet", [state("ann")])
    publish(file, SPEC, folder, NOW)
    store, path = FeastStore(folder, SPEC), folder / name
    good = path.read_bytes()
    path.unlink()
    if damage == "corrupt":
        path.write_bytes(b"not a database" * 500)
    with pytest.raises(StoreError, match="Feast to answer"):
        store.read(["ann"])
    assert isinstance(StoreError("a", "b"), SoukError)
    assert path.exists() == (damage == "corrupt"), "reading must not create a store"
    path.write_bytes(good)
    assert store.read(["ann"])[0].count == 3


def test_a_long_publication_tells_how_far_it_is(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(publishing, "TOGETHER", 2)
    monkeypatch.setattr("souk.progress.WORD_SECONDS", -1.0)
    users = [state(f"user {n}", n) for n in range(5)]
    file = user_states(tmp_path / "user_state.parquet", users)
    assert publish(file, SPEC, tmp_path / "feast", NOW, tell=print) == 5
    told = capsys.readouterr().out.splitlines()
    assert told == [f"{done} of 5 user states in Feast" for done in (2, 4, 5)], "and not what Feast prints"
    found = FeastStore(tmp_path / "feast", SPEC).read([user.user_id for user in users])
    assert [each.count for each in found] == [0, 1, 2, 3, 4]


def test_a_writer_locks_no_reader_out(published):
    store = FeastStore(published, SPEC)
    writer = sqlite3.connect(published / "online.db", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute(f"DELETE FROM souk_{view_name(SPEC)}")
    assert store.read(["ann"])[0] is not None
    writer.execute("ROLLBACK")
    writer.close()


@pytest.mark.slow
def test_a_killed_publication_leaves_the_states_readable(tmp_path):
    folder = tmp_path / "feast"
    old = [state(f"user {n}", 1) for n in range(300)]
    new = [state(f"user {n}", 2) for n in range(300)]
    publish(user_states(tmp_path / "old.parquet", old), SPEC, folder, NOW)
    fresh = user_states(tmp_path / "new.parquet", new)
    code = (
        "import os, sys, threading; from souk.store import publish as module; from souk.spec import read_spec\n"
        "step, count = sys.argv[2], 0\n"
        "def stop(frame, event, argument):\n"
        "    global count\n"
        "    count += event == 'call' and frame.f_code.co_name == step\n"
        "    if count == int(sys.argv[3]): os.write(1, b'here\\n'); sys.stdin.read()\n"
        f"spec = read_spec({str(folder / 'specs' / (SPEC.hash + '.json'))!r})\n"
        "threading.setprofile(stop); sys.setprofile(stop)\n"
        f"module.publish(sys.argv[1], spec, {str(folder)!r}, {NOW + 1})"
    )
    store = FeastStore(folder, SPEC)
    for step, count in (("apply", 1), ("extract_text_and_num", 900), ("apply_materialization", 1)):
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(fresh), step, str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        assert b"here" in process.stdout.readline(), step
        process.send_signal(signal.SIGKILL)
        process.communicate()
        for reader in (store, FeastStore(folder, SPEC)):
            counts = {found.count for found in reader.read([one.user_id for one in old])}
            assert counts == ({2} if step == "apply_materialization" else {1}), step
    publish(fresh, SPEC, folder, NOW + 2)
    assert {found.count for found in store.read([one.user_id for one in new])} == {2}


def test_the_specification_of_another_version_is_none_that_this_one_published(tmp_path):
    folder = published_in(tmp_path)
    older = json.loads(SPEC.to_json())
    del older["build"]["habits"]
    (folder / SPECS / "0123456789ab.json").write_text(json.dumps(older))
    assert [spec.hash for spec in published_specs(folder)] == [SPEC.hash]


@pytest.fixture
def of_before(tmp_path):
    """Two published specifications, of which another version of Souk named the second; and that."""
    folder = published_in(tmp_path)
    other = replace(SPEC, build=SPEC.build.model_copy(update={"history_length": 16}))
    publish(user_states(tmp_path / "other.parquet", [state("ann", 1, other)], other), other, folder, NOW)
    file = folder / SPECS / f"{other.of_states.hash}.json"
    content = json.loads(file.read_text())
    content["build"]["habits"] += 1
    file.write_text(json.dumps(content))
    return folder, other


def test_the_view_of_a_release_of_before_is_what_the_registry_says(of_before):
    """`feast apply` removes the views that it is not given, and their states."""
    folder, other = of_before
    views = {view.name: view for view in published_views(folder)}
    assert [spec.hash for spec in published_specs(folder)] == [SPEC.hash]
    assert set(views) == {view_name(SPEC), view_name(other)}
    fields = [
        [field.name for field in view.schema] for view in (views[view_name(other)], user_state_view(other, folder))
    ]
    assert set(fields[1]) <= set(fields[0])
    (folder / SPECS / f"{other.of_states.hash}.json").unlink()
    assert [view.name for view in published_views(folder)] == [view_name(SPEC)], "what nobody keeps any more"
    (folder / "registry.db").unlink()
    (folder / SPECS / "0123456789ab.json").write_text((folder / SPECS / f"{SPEC.hash}.json").read_text())
    assert [view.name for view in published_views(folder)] == [view_name(SPEC)]
    assert not (folder / "registry.db").exists()


@pytest.mark.slow
def test_apply_keeps_the_states_of_a_release_of_before(of_before):
    folder, other = of_before
    environment = os.environ | {"FEAST_FS_YAML_FILE_PATH": str(folder / "feature_store.yaml"), "PYTHONPATH": str(ROOT)}
    feast = Path(sys.executable).with_name("feast")
    command = [feast, "-c", ROOT / "feature_repo", "apply"]
    subprocess.run(command, env=environment, capture_output=True, check=True)
    assert [FeastStore(folder, spec).read(["ann"])[0].count for spec in (SPEC, other)] == [3, 1]


@pytest.mark.slow
def test_the_feast_command_line_knows_the_same_views(published):
    environment = os.environ | {
        "FEAST_FS_YAML_FILE_PATH": str(published / "feature_store.yaml"),
        "PYTHONPATH": str(ROOT),
    }
    feast = Path(sys.executable).with_name("feast")
    before = sqlite3.connect(published / "online.db").execute(f"SELECT count(*) FROM souk_{view_name(SPEC)}").fetchone()
    for arguments, expected in ((["apply"], "souk"), (["feature-views", "list"], view_name(SPEC))):
        done = subprocess.run(
            [feast, "-c", ROOT / "feature_repo", *arguments], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert expected in done.stdout
    after = sqlite3.connect(published / "online.db").execute(f"SELECT count(*) FROM souk_{view_name(SPEC)}").fetchone()
    assert after == before
    assert FeastStore(published, SPEC).read(["ann"])[0] is not None


def test_the_repository_and_the_step_use_the_same_settings(published):
    ours, default = (
        yaml.safe_load(path.read_text())
        for path in (published / "feature_store.yaml", ROOT / "feature_repo" / "feature_store.yaml")
    )
    assert default["registry"].pop("path") == "../.souk/feast/registry.db"
    assert default["online_store"].pop("path") == "../.souk/feast/online.db"
    assert ours["registry"].pop("path") == str(published / "registry.db")
    assert ours["online_store"].pop("path") == str(published / "online.db")
    assert ours == default
    assert user_state_view(SPEC, published).name == view_name(SPEC)
