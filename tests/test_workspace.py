"""The workspace: the current release, and one run at a time."""

import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

from souk.errors import SoukError
from souk.release.manifest import read_manifest
from souk.workspace import Workspace


def test_the_current_release_is_what_the_link_names(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    assert workspace.current_release() == ""
    workspace.releases.mkdir()
    workspace.current.symlink_to("shop-0123456789ab")
    assert workspace.current_release() == "shop-0123456789ab"


def test_a_release_is_told_by_its_name_or_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace(tmp_path)
    for folder in (workspace.releases / "shop-1", workspace.releases / "shop-2", tmp_path / "elsewhere" / "shop-1"):
        folder.mkdir(parents=True)
    workspace.current.symlink_to("shop-1")
    monkeypatch.chdir(tmp_path / "elsewhere" / "shop-1")
    assert workspace.served_folder() == workspace.releases / "shop-1"
    assert workspace.served_folder("shop-2") == workspace.releases / "shop-2"
    assert workspace.served_folder("../shop-1") == tmp_path / "elsewhere" / "shop-1"
    for wrong in ("shop-3", "../shop-2", "current"):
        with pytest.raises(SoukError, match="Expected a release"):
            workspace.served_folder(wrong)


def test_a_pointer_to_nothing_is_told_as_one(tmp_path: Path) -> None:
    """It was told as no release at all, with the advice to make one by a run of hours."""
    workspace = Workspace(tmp_path)
    (workspace.releases / "shop-1").mkdir(parents=True)
    workspace.current.symlink_to("gone")
    with pytest.raises(SoukError, match=r"Received: a link to gone, which is not there\. .*`souk rollback NAME`"):
        workspace.served_folder()
    (workspace.releases / "shop-1").rmdir()
    with pytest.raises(SoukError, match=r"Received: a link to gone, which is not there\. Make one: `souk run"):
        workspace.served_folder()
    (workspace.releases / "shop-1").mkdir()
    workspace.current.unlink()
    workspace.current.write_bytes(b"\xff\0")
    with pytest.raises(SoukError, match=r"Received: something that is no link to a folder\. .*`souk rollback NAME`"):
        workspace.served_folder()


@pytest.mark.parametrize("text", ["{}", "[]", '{"x":'])
def test_a_manifest_of_another_form_is_told_in_words(tmp_path: Path, text: str) -> None:
    (tmp_path / "release.json").write_text(text, encoding="utf-8")
    with pytest.raises(SoukError) as found:
        read_manifest(tmp_path)
    assert "JSON" in str(found.value) and "Error" not in str(found.value)


def test_a_second_run_is_refused_and_named(tmp_path: Path) -> None:
    with Workspace(tmp_path).locked():
        run = subprocess.run(
            [
                sys.executable,
                "-c",
                f"from pathlib import Path; from souk.workspace import Workspace\n"
                f"with Workspace(Path({str(tmp_path)!r})).locked(): pass",
            ],
            capture_output=True,
            text=True,
        )
    assert run.returncode == 1
    assert "SoukError: Expected one run at a time" in run.stderr
    with Workspace(tmp_path).locked():
        pass


def test_a_run_waits_for_the_last_step_of_a_killed_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace(tmp_path)
    with workspace.locked() as path:
        pass
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    path.write_text(f"{dead.pid}\n")
    with path.open() as step:
        fcntl.flock(step, fcntl.LOCK_SH)
        monkeypatch.setattr("souk.workspace.ENDING_SECONDS", 0.0)
        with pytest.raises(SoukError, match="one run at a time"), workspace.locked():
            pass
    with workspace.locked():
        pass


def test_steps_share_the_lock(tmp_path: Path) -> None:
    with Workspace(tmp_path).locked() as path, path.open() as step:
        fcntl.flock(step, fcntl.LOCK_SH | fcntl.LOCK_NB)


def test_a_workspace_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    workspace = Workspace(tmp_path / "file")
    with pytest.raises(SoukError, match="a workspace folder to write to"), workspace.locked():
        pass
