"""Folders that nobody has written to for long."""

import os

from souk.folders import untouched


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
