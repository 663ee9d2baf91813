"""Folders that nobody has written to for long, that others delete meanwhile, and that take the place of others."""

import contextlib
import errno
import os
import shutil
import signal
import subprocess
import sys

import pytest

from souk.errors import SoukError
from souk.folders import clear, placed, remove, untouched, whole_file, working
from tests.full_disk import largest_file


def test_a_folder_is_untouched_as_long_as_nothing_in_it_was_written(tmp_path):
    """Of three, one has an old file in an old folder, one a new file, and one is new and empty."""
    assert untouched(tmp_path / "none", 1000) == []
    for name, file, own in (("left", 900, 900), ("going", 1100, 900), ("begun", None, 1100)):
        (tmp_path / name).mkdir()
        if file:
            (tmp_path / name / "fit_1.npz").touch()
            os.utime(tmp_path / name / "fit_1.npz", (file, file))
        os.utime(tmp_path / name, (own, own))
    (tmp_path / ".left.lock").touch()
    os.utime(tmp_path / ".left.lock", (1, 1))
    assert untouched(tmp_path, 1000) == [tmp_path / "left"]


def test_a_folder_from_which_something_vanishes_meanwhile_is_touched(tmp_path):
    """A link to nothing is listed, and cannot be asked for its time: like a file that is gone by then."""
    for name in ("going", "left"):
        (tmp_path / name).mkdir()
    (tmp_path / "going" / "fit_1.npz").symlink_to("nothing")
    for name in ("going", "left"):
        os.utime(tmp_path / name, (900, 900))
    assert untouched(tmp_path, 1000) == [tmp_path / "left"]


def test_two_may_delete_the_same_folder(tmp_path, monkeypatch):
    """The other one deletes a file that this one has just listed."""
    (tmp_path / "old").mkdir()
    for name in ("a", "b"):
        (tmp_path / "old" / name).touch()
    delete, calls = shutil.rmtree, []

    def raced(path):
        calls.append(path)
        if len(calls) == 1:
            (path / "a").unlink()
            raise FileNotFoundError(path / "a")
        delete(path)

    monkeypatch.setattr(shutil, "rmtree", raced)
    remove(tmp_path / "old")
    assert not (tmp_path / "old").exists()
    remove(tmp_path / "old")


def test_what_is_on_its_way_is_gone_at_the_end_and_what_was_left_before_it(tmp_path):
    place = tmp_path / "out" / "check"
    (tmp_path / "out" / ".check.partial").mkdir(parents=True)
    (tmp_path / "out" / ".check.partial" / "left").touch()
    with contextlib.suppress(ZeroDivisionError), working(place) as folder:
        assert not list(folder.iterdir())
        (folder / "half").touch()
        with pytest.raises(SoukError, match=r"one check at a time in .*out\. Received: another"), working(place):
            pass
        assert (folder / "half").exists()
        raise ZeroDivisionError
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".check.lock"]


def filled(place, text):
    """Puts a folder with one file at `place`."""
    with placed(place) as fresh:
        fresh.mkdir()
        (fresh / "a").write_text(text)


@pytest.mark.parametrize("ended", [SystemExit, KeyboardInterrupt])
def test_a_folder_that_made_room_is_put_back_where_nothing_takes_its_place(tmp_path, monkeypatch, ended):
    place, rename = tmp_path / "report", os.replace
    filled(place, "old")

    def interrupted(source, target):
        if not place.exists():
            monkeypatch.undo()
            raise ended
        rename(source, target)

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(ended):
        filled(place, "new")
    assert (place / "a").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".report.lock", "report"]


@pytest.mark.parametrize("name", ["report", "vectors.db"])
@pytest.mark.parametrize("beside", [False, True])
def test_what_a_killed_process_left_of_a_folder_is_put_back_and_the_rest_cleared(tmp_path, name, beside):
    """It is killed between the two renames; the next call there fails before anything of it is whole, or is of
    another place in the same folder."""
    place = tmp_path / name
    filled(place, "old")
    script = f"""
import os, signal
from pathlib import Path
from souk.folders import placed
rename = os.replace
def killed(source, target):
    rename(source, target)
    if not os.path.exists({str(place)!r}):
        os.kill(os.getpid(), signal.SIGKILL)
os.replace = killed
with placed({str(place)!r}) as fresh:
    fresh.mkdir()
    (fresh / "a").write_text("new")
"""
    ended = subprocess.run([sys.executable, "-c", script], timeout=60)
    assert ended.returncode == -signal.SIGKILL and not place.exists()
    if beside:
        clear(tmp_path)
    else:
        with contextlib.suppress(ZeroDivisionError), placed(place) as fresh:
            assert not fresh.exists()
            raise ZeroDivisionError
    assert (place / "a").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([f".{name}.lock", name])
    filled(place, "new")
    assert (place / "a").read_text() == "new"


def test_an_old_folder_whose_place_is_taken_is_cleared(tmp_path):
    place = tmp_path / "report"
    filled(place, "new")
    (tmp_path / ".report.old").mkdir()
    clear(tmp_path)
    assert (place / "a").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".report.lock", "report"]


def test_what_is_being_deleted_never_comes_back(tmp_path, monkeypatch):
    """Killed while it deletes the old content, of which half is gone: a release that is pruned then stays away."""
    place = tmp_path / "report"
    filled(place, "old")

    def killed(folder):
        if folder.is_dir():
            (folder / "a").unlink()
            raise KeyboardInterrupt

    monkeypatch.setattr("souk.folders.remove", killed)
    with pytest.raises(KeyboardInterrupt):
        filled(place, "new")
    monkeypatch.undo()
    assert (place / "a").read_text() == "new"
    shutil.rmtree(place)
    clear(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".report.lock"]


def test_a_file_that_cannot_be_written_is_told_by_its_own_name(tmp_path):
    with pytest.raises(PermissionError) as told, whole_file(tmp_path / "my.yaml") as fresh:
        raise PermissionError(errno.EACCES, "Permission denied", str(fresh))
    assert told.value.filename == str(tmp_path / "my.yaml")


def test_a_copy_that_cannot_be_written_is_told_by_its_own_name(tmp_path):
    (tmp_path / "source").write_bytes(bytes(4096))
    with largest_file(100), pytest.raises(OSError, match="large") as told, whole_file(tmp_path / "copy") as fresh:
        shutil.copyfile(tmp_path / "source", fresh)
    assert told.value.filename == str(tmp_path / "copy") and told.value.filename2 is None
    assert [path.name for path in tmp_path.iterdir()] == ["source"]
