"""What stands where `souk-drift check` is to write is told before anything is read, and stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.drift.shop import check, log


def test_a_report_that_cannot_be_written_is_told_before_anything_is_read(
    release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, state = tmp_path / "impressions", tmp_path / "state"
    log(folder, parts=2)
    assert check(release, folder, "--state", str(state), "--report", str(tmp_path / "none" / "drift.html")) == 2
    assert "none is none. Make it. Name another file by --report." in capsys.readouterr().err
    other = tmp_path / "other"
    other.mkdir()
    (other / "alarm.json").write_text("[7]", "utf-8")
    assert check(release, folder, "--state", str(other)) == 2
    assert "alarm.json, which another made. Name another file by --state" in capsys.readouterr().err
    notes = tmp_path / "notes.html"
    for text, code in (("<html>my thesis</html>", 2), ("", 0)):
        notes.write_text(text, "utf-8")
        assert not state.exists()
        assert check(release, folder, "--state", str(state), "--report", str(notes)) == code
    assert "notes.html, which another made. Name another file by --report" in capsys.readouterr().err
    assert check(release, folder, "--state", str(state), "--report", str(notes)) == 0, "its own is replaced"
