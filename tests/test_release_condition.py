"""In which condition a served release is: what a verdict of before is reused for, and what it is not."""

import fcntl
from pathlib import Path

import pytest

from souk.release.condition import condition, damage, without_states
from souk.release.manifest import write_manifest
from souk.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Two releases, and user states."""
    workspace = Workspace(tmp_path)
    for name in ("films-1", "films-2"):
        (workspace.releases / name / "twin").mkdir(parents=True)
        (workspace.releases / name / "twin" / "bundle.json").write_text("{}")
        write_manifest(workspace.releases / name, name, {}, {})
    workspace.feast.mkdir()
    for file in ("online.db", "registry.db", "publish.lock"):
        (workspace.feast / file).touch()
    return workspace


def test_it_is_the_same_as_long_as_nothing_changes_and_another_of_another_release(workspace: Workspace) -> None:
    first, second = (condition(workspace, name) for name in ("films-1", "films-2"))
    assert first == condition(workspace, "films-1") != second
    assert damage(workspace, "films-1") == without_states(workspace) == condition(workspace, "") == ""


@pytest.mark.parametrize("file", ["twin/bundle.json", "release.json"])
@pytest.mark.parametrize("content", [b"{ }", None])
def test_a_file_that_is_damaged_changes_it_until_it_is_there_again(
    workspace: Workspace, file: str, content: bytes | None
) -> None:
    whole, victim = condition(workspace, "films-1"), workspace.releases / "films-1" / file
    before = victim.read_bytes()
    victim.write_bytes(content) if content else victim.unlink()
    assert condition(workspace, "films-1") != whole
    assert Path(file).name in damage(workspace, "films-1")
    victim.write_bytes(before)
    assert condition(workspace, "films-1") == whole


def test_user_states_that_are_gone_change_it(workspace: Workspace) -> None:
    whole = condition(workspace, "films-1")
    (workspace.feast / "registry.db").rename(workspace.feast / "registry.partial.db")  # of a killed publication
    assert condition(workspace, "films-1") != whole
    assert without_states(workspace) == f"no user states in {workspace.feast}"
    assert damage(workspace, "films-1") == "", "it can be compared with"


def test_a_publication_that_stopped_midway_changes_it_and_one_at_work_does_not(workspace: Workspace) -> None:
    whole = condition(workspace, "films-1")
    (workspace.feast / "publication.begun").write_text("begun 1")
    assert condition(workspace, "films-1") != whole
    assert "stopped midway" in without_states(workspace) and damage(workspace, "films-1") == ""
    with (workspace.feast / "publish.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert condition(workspace, "films-1") == whole


def test_a_release_that_somebody_deleted_has_one(workspace: Workspace) -> None:
    assert condition(workspace, "films-3") not in ("", condition(workspace, "films-1"))
