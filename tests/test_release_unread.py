"""Which states go with the releases that read them: none that anybody may read."""

import json
import os
import shutil
import time
from contextlib import closing
from dataclasses import replace

import pytest
from redis import Redis

from souk.cli import main
from souk.publication import SPECS, publishing
from souk.release.in_use import KEPT_SECONDS, say_needed
from souk.release.unread import LATELY_SECONDS, unread_states
from souk.store.feast_store import FeastStore
from souk.store.publish import publish
from souk.workspace import Workspace
from tests.release_fixtures import SPEC, deployed, write_features

OTHER = replace(SPEC, build=SPEC.build.model_copy(update={"history_length": 16}))
ACTS = replace(SPEC, acts=("rating",))
OWN, UNREAD = SPEC.of_states.hash, OTHER.of_states.hash


@pytest.fixture(scope="module")
def packaged(tmp_path_factory):
    work = tmp_path_factory.mktemp("unread")
    workspace = Workspace(work / "souk")
    return workspace, [deployed(workspace, work / str(seed), seed) for seed in (1, 2)]


@pytest.fixture
def releases(packaged, tmp_path):
    """Two releases of one specification, of which old states were published, as of another one."""
    workspace, names = packaged
    own = Workspace(tmp_path / "souk")
    shutil.copytree(workspace.root, own.root, symlinks=True)
    for spec in (SPEC, OTHER):
        file = own.feast / SPECS / f"{spec.of_states.hash}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(spec.to_json())
        old(file)
    return own, names


def old(path):
    when = time.time() - LATELY_SECONDS - 60
    os.utime(path, (when, when))


def test_states_that_no_release_reads_may_go(releases):
    workspace, names = releases
    assert unread_states(workspace) == {UNREAD: ""}
    assert unread_states(workspace, gone=names[:1]) == {UNREAD: ""}
    assert "no release here" in unread_states(workspace, gone=names)[OWN], "as where `souk tune` alone was run"
    shutil.rmtree(workspace.feast)
    assert unread_states(workspace) == {}


@pytest.mark.parametrize("suffix", [".json", ".uri", ".json.partial"])
def test_states_that_were_published_within_a_week_stay(releases, suffix):
    """The release of a run that trains is not there yet."""
    workspace, _ = releases
    (workspace.feast / SPECS / f"{UNREAD}.uri").touch()
    old(workspace.feast / SPECS / f"{UNREAD}.uri")
    assert unread_states(workspace) == {UNREAD: ""}
    (workspace.feast / SPECS / f"{UNREAD}{suffix}").touch()
    assert "within a week" in unread_states(workspace)[UNREAD]


def test_where_a_release_does_not_tell_what_it_reads_all_states_stay(releases):
    workspace, (first, _) = releases
    assert "tell what it reads" in unread_states(workspace, ["a-canary-of-another-workspace"])[UNREAD]
    say_needed(workspace, "one-on-its-way")
    assert "one-on-its-way" in unread_states(workspace)[UNREAD]
    said = time.time() - KEPT_SECONDS - 1
    os.utime(workspace.releases / ".needed" / "one-on-its-way", (said, said))
    assert unread_states(workspace) == {UNREAD: ""}
    spec = workspace.releases / first / "spec.json"
    spec.write_text(spec.read_text() + " ")
    assert first in unread_states(workspace)[UNREAD]
    spec.unlink()
    assert first in unread_states(workspace)[UNREAD]


def test_a_release_reads_by_both_names_of_its_specification(releases, monkeypatch):
    """Of versions before, the one with what states do not depend on."""
    workspace, _ = releases
    (workspace.feast / SPECS / f"{ACTS.hash}.json").write_text(ACTS.to_json())
    old(workspace.feast / SPECS / f"{ACTS.hash}.json")
    assert unread_states(workspace) == {UNREAD: "", ACTS.hash: ""}
    monkeypatch.setattr("souk.release.unread.verify", lambda *arguments, only: {})
    monkeypatch.setattr("souk.release.unread.read_spec", lambda path: ACTS)
    for bundle in workspace.releases.glob("*/bundle.json"):
        bundle.write_text(json.dumps({"spec_hash": ACTS.hash}))
    assert unread_states(workspace) == {UNREAD: ""}


def test_what_another_version_named_stays_while_a_release_of_it_does(releases, monkeypatch):
    workspace, names = releases
    file = workspace.feast / SPECS / "0123456789ab.json"
    file.write_text(OTHER.to_json())
    old(file)
    assert unread_states(workspace) == {"0123456789ab": "", UNREAD: ""}
    monkeypatch.setattr("souk.release.unread.verify", lambda *arguments, only: {})
    bundle = workspace.releases / names[0] / "bundle.json"
    bundle.write_text(json.dumps({"spec_hash": "fedcba987654"}))
    told = unread_states(workspace)
    assert names[0] in told["0123456789ab"] and told[UNREAD] == ""
    bundle.write_text(json.dumps({"spec_hash": "0123456789ab"}))
    assert unread_states(workspace) == {UNREAD: ""}
    file.write_text("{")
    assert unread_states(workspace, gone=names[:1])["0123456789ab"].endswith("cannot be read: JSONDecodeError")


@pytest.fixture(params=["sqlite", "redis"])
def published(request, packaged, tmp_path):
    """Two releases, their states and those of another specification, which are old."""
    workspace, names = packaged
    own, uri = Workspace(tmp_path / "souk"), ""
    shutil.copytree(workspace.root, own.root, symlinks=True)
    if request.param == "redis":
        uri = f"{request.getfixturevalue('redis').uri.rpartition('/')[0]}/6"
        with closing(Redis.from_url(uri)) as client:
            client.flushdb()
    for spec in (SPEC, OTHER):
        features = write_features(tmp_path / spec.hash, spec, users=3)
        publish(features / "user_state.parquet", spec, own.feast, 1_700_000_000_000, uri)
    for path in (own.feast / SPECS).iterdir():
        old(path)
    return own, names


def counts(workspace, spec):
    return [found and found.count for found in FeastStore(workspace.feast, spec).read(["u0", "u2", "nobody"])]


def test_prune_tells_and_deletes_the_states_that_no_release_reads(published, capsys):
    workspace, _ = published
    command = ["release", "prune", "--workspace", str(workspace.root)]
    assert main([*command, "--dry-run"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("Nothing to delete: 2 releases")
    assert told[1].startswith(f"would delete user states of specification {UNREAD}  3 users in ") and len(told) == 2
    assert counts(workspace, OTHER) == [100, 100, None]
    with publishing(workspace.feast):
        assert main(command) == 0
    assert "somebody publishes" in capsys.readouterr().out and counts(workspace, OTHER) == [100, 100, None]
    assert main(command) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith(f"deleted user states of specification {UNREAD}  3 users")
    assert counts(workspace, SPEC) == [100, 100, None] and not [*workspace.feast.rglob(f"*{UNREAD}*")]
    assert main(command) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_where_states_stay_releases_go_all_the_same(published, capsys, monkeypatch):
    workspace, names = published
    command = ["release", "prune", "--workspace", str(workspace.root), "--keep", "1"]
    monkeypatch.setattr("souk.cli.extras._installed", lambda name: not name.startswith("feast"))
    assert main(command) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("deleted ") and told[0].split()[1] in names
    assert told[1].startswith(
        f"left user states of specification {UNREAD}, which no release reads: Expected the packag"
    )
    monkeypatch.undo()
    for path in (workspace.feast / SPECS).glob("*.uri"):
        path.write_text("redis://127.0.0.1:1/0")
        old(path)
    assert main(command) == 0
    assert f"left user states of specification {UNREAD}" in (out := capsys.readouterr().out)
    assert "redis://127.0.0.1:1/0: ConnectionError" in out
