"""Folders that nobody has written to for long, and that others delete meanwhile."""

import contextlib
import os
import shutil

import pytest

from souk.errors import SoukError
from souk.folders import remove, untouched, working


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
