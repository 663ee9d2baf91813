"""Old releases go; what a rollback, an experiment or a server needs stays."""

import os
import shutil

import pytest

from souk.cli import main
from souk.errors import SoukError
from souk.release.collections import collection_of, say_searched
from souk.release.manifest import NAME
from souk.release.pointer import history, point, release_names, rollback
from souk.release.prune import prune
from souk.workspace import Workspace
from tests.release_fixtures import deployed


@pytest.fixture(scope="module")
def packaged(tmp_path_factory):
    """A workspace with five releases, none current, and their names, the oldest first."""
    work = tmp_path_factory.mktemp("prune")
    workspace = Workspace(work / "souk")
    return workspace, [deployed(workspace, work / str(seed), seed) for seed in range(1, 6)]


@pytest.fixture
def releases(packaged, tmp_path):
    """A copy of it, packaged a minute apart; the first two were current in turn, and the third is."""
    workspace, names = packaged
    own = Workspace(tmp_path / "souk")
    shutil.copytree(workspace.root, own.root, symlinks=True)
    for minute, name in enumerate(names):
        os.utime(own.releases / name / NAME, (60 * minute, 60 * minute))
    for name in names[:3]:
        point(own, name)
    return own, names


def test_the_newest_the_current_and_the_one_before_stay(releases):
    workspace, (first, second, third, fourth, fifth) = releases
    gone = prune(workspace, 1)
    assert set(gone) == {first, fourth} and all(size > 1000 for size in gone.values())
    assert release_names(workspace) == sorted([second, third, fifth])
    assert history(workspace) == [second], "no rollback goes to what is gone"
    assert rollback(workspace) == second
    assert not [*workspace.releases.glob(".deleted.*")]


def test_what_servers_and_experiments_use_and_what_is_named_stays(releases):
    workspace, (first, _, _, fourth, _) = releases
    say_searched(workspace, collection_of(workspace.releases / first))
    assert prune(workspace, 1, [fourth]) == {}
    (workspace.root / "experiments.yaml").write_text(
        f"experiments: {{e: {{arms: {{control: {{share: 0.5}}, challenger: {{share: 0.5, release: {fourth}}}}}}}}}\n"
    )
    assert prune(workspace, 1) == {}
    (workspace.root / "experiments.yaml").write_text("experiments: 7\n")
    with pytest.raises(SoukError):
        prune(workspace, 1)
    assert len(release_names(workspace)) == 5


def test_a_dry_run_tells_and_deletes_nothing(releases, capsys):
    workspace, (first, *_) = releases
    command = ["release", "prune", "--workspace", str(workspace.root), "--keep", "3"]
    assert main([*command, "--dry-run"]) == 0
    assert capsys.readouterr().out.startswith(f"would delete {first}  0.")
    assert len(release_names(workspace)) == 5
    assert main(command) == 0
    assert capsys.readouterr().out.startswith(f"deleted {first}  0.")
    assert main(command) == 0
    assert "Nothing to delete: 4 releases" in capsys.readouterr().out


def test_what_a_killed_one_left_is_cleared(releases):
    workspace, (first, *_) = releases
    os.replace(workspace.releases / first, workspace.releases / f".deleted.{first}")
    assert len(release_names(workspace)) == 4
    assert prune(workspace, 5) == {}
    assert not [*workspace.releases.glob(".deleted.*")]
