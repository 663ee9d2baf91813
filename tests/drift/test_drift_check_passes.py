"""Passes of `souk-drift check` that end before their time, or find little of their release; and what comes after."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.drift.shop import NOON, RELEASE, as_rows, check, log, monitor, moved, record, some, traffic, write_part
from tests.full_disk import largest_file

WEST = {"user_region": some(0.4, "west")}


def part(folder: Path, number: int) -> Path:
    return next(folder.rglob(f"w-{number:06d}.parquet"))


def files(state: Path) -> list[str]:
    """The part files that are marked as read."""
    connection = sqlite3.connect(state / f"drift-{RELEASE}.db")
    names = [Path(path).stem for (path,) in connection.execute("SELECT path FROM files ORDER BY path")]
    connection.close()
    return names


def test_the_alarm_of_the_files_before_a_damaged_one_is_told_at_once(
    release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, state, report = tmp_path / "i", tmp_path / "s", tmp_path / "r.html"
    log(folder, parts=3, **WEST)
    part(folder, 2).write_bytes(part(folder, 2).read_bytes()[:-50])
    more = ("--state", str(state), "--report", str(report))
    assert check(release, folder, *more) == 3, "what is to mend is told by the next pass again, the alarm is not"
    said = capsys.readouterr()
    assert "2 new files, 800 requests, 2 windows" in said.out and "window 2, 400 requests: alarm" in said.out
    assert "Move the damaged file out of the log" in said.err and report.exists()
    (state / "alarm.json").unlink()
    assert check(release, folder, *more) == 2
    assert "Move the damaged file out of the log" in capsys.readouterr().err and not (state / "alarm.json").exists()


def test_an_alarm_that_a_killed_pass_did_not_tell_is_the_next_one_s(release: Path, tmp_path: Path) -> None:
    killed = monitor(release, tmp_path / "s")
    killed.take(as_rows(traffic(800, 7, **WEST), time=NOON), {})
    killed.state.close()
    (tmp_path / "i").mkdir()
    assert [check(release, tmp_path / "i", "--state", str(tmp_path / "s")) for _ in range(2)] == [3, 0]


@pytest.mark.parametrize(("asked", "code"), [({"k": 5}, 3), ({"k": 5, "filter": {"item_brand": ["x"]}}, 0)])
def test_scores_of_a_part_of_the_catalogue_are_no_drift(
    release: Path, tmp_path: Path, asked: dict[str, Any], code: int
) -> None:
    requests = enumerate(traffic(800, 7, slate_score=moved(-0.05)))
    write_part(tmp_path, "w-000000", [record(r, n) | {"request": json.dumps(asked)} for n, r in requests])
    assert check(release, tmp_path) == code


def test_of_a_file_of_another_release_no_more_is_read_than_that(
    release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log(tmp_path / "i", parts=2, release="shop-ffffffffffff")
    log(tmp_path / "i", first=2)
    read, whole = [], pq.ParquetFile.iter_batches

    def noted(file: pq.ParquetFile, *words: Any, **named: Any) -> Any:
        read.append(file)
        return whole(file, *words, **named)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", noted)
    assert check(release, tmp_path / "i") == 0
    assert "3 new files, 400 requests" in (said := capsys.readouterr().out) and len(read) == 1
    assert "800 records of other releases were passed over" in said


def test_files_that_were_deleted_with_their_day_are_forgotten(release: Path, tmp_path: Path) -> None:
    folder, state = tmp_path / "i", tmp_path / "s"
    log(folder, parts=4, rows=10)
    check(release, folder, "--state", str(state))
    away = [part(folder, number) for number in range(4)]
    kept = [path.read_bytes() for path in away]
    for path in away:
        path.unlink()
    check(release, folder, "--state", str(state))
    assert len(files(state)) == 4, "the folder may be of a volume that is away for a while"
    for path, content in zip(away[2:], kept[2:], strict=True):
        path.write_bytes(content)
    check(release, folder, "--state", str(state))
    assert files(state) == ["w-000002", "w-000003"]


def test_a_pass_beside_another_one_says_so(
    release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("souk.drift.state.WAIT_SECONDS", 0.05)
    log(tmp_path / "i", rows=10)
    monitor(release, tmp_path / "s").state.close()
    other = sqlite3.connect(tmp_path / "s" / f"drift-{RELEASE}.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert check(release, tmp_path / "i", "--state", str(tmp_path / "s")) == 2
    said = capsys.readouterr().err
    assert "wait for its end" in said and "move the file away" not in said
    other.close()
    assert check(release, tmp_path / "i", "--state", str(tmp_path / "s")) == 0


def test_a_disk_that_is_full_in_the_middle_of_a_pass_is_something_to_mend(
    release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ("--state", str(tmp_path / "s"), "--rows", "4000")
    log(tmp_path / "i", rows=100)
    assert check(release, tmp_path / "i", *more) == 0
    log(tmp_path / "i", parts=2, rows=100, first=1)
    capsys.readouterr()
    with largest_file((tmp_path / "s" / f"drift-{RELEASE}.db").stat().st_size):
        assert check(release, tmp_path / "i", *more) == 2
    said = capsys.readouterr()
    assert "Look at the space" in said.err and "0 new files, 0 requests" in said.out
    assert check(release, tmp_path / "i", *more) == 0
    assert "2 new files, 200 requests" in capsys.readouterr().out
