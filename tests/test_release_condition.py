"""In which condition a served release is: what a verdict of before is reused for, and what it is not."""

from pathlib import Path

import pytest

from souk.release.condition import condition, damage
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
    (workspace.feast / "online.db").touch()
    return workspace


def test_it_is_the_same_as_long_as_nothing_changes_and_another_of_another_release(workspace: Workspace) -> None:
    first, second = (condition(workspace, name) for name in ("films-1", "films-2"))
    assert first == condition(workspace, "films-1") != second
    assert damage(workspace, "films-1") == condition(workspace, "") == ""


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
    (workspace.feast / "online.db").unlink()
    assert condition(workspace, "films-1") != whole
    assert damage(workspace, "films-1") == f"no user states in {workspace.feast}"


def test_a_release_that_somebody_deleted_has_one(workspace: Workspace) -> None:
    assert condition(workspace, "films-3") not in ("", condition(workspace, "films-1"))
