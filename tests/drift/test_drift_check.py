"""`souk-drift check` on an impression log, as a program: exit codes, each record once, and what it refuses."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from souk.drift.cli import main
from souk.monitored import REFERENCE
from souk.release.manifest import write_manifest
from tests.drift.shop import RELEASE, SPEC, check, log, record, some, traffic, write_part, write_release

WEST = {"user_region": some(0.4, "west")}


def test_quiet_then_alarm_and_each_file_once(release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, state = tmp_path / "impressions", tmp_path / "state"
    report = tmp_path / "drift.html"
    more = ("--state", str(state), "--report", str(report))
    log(folder, parts=2)
    assert check(release, folder, *more) == 0
    said = capsys.readouterr().out
    assert "2 new files, 800 requests, 2 windows" in said and "window 2, 400 requests: quiet" in said
    assert check(release, folder, *more) == 0
    assert "0 new files, 0 requests, 0 windows" in capsys.readouterr().out
    log(folder, parts=2, first=2, **WEST)
    (folder / "2023-11-14" / "22" / ".w-000009.part").write_text("unfinished")
    assert check(release, folder, *more) == 3
    said = capsys.readouterr().out
    assert "window 3, 400 requests: drift: user_region" in said and "window 4, 400 requests: alarm: user_region" in said
    assert json.loads((state / "alarm.json").read_text())["features"][0]["feature"] == "user_region"
    text = report.read_text()
    assert "Alarm: user_region" in text and text.index("1. user_region") < text.index("All features")
    assert "west: " in text and text.count("<svg") >= 1
    assert not [tag for tag in ("<script", "<link", "<img", "src=") if tag in text], "one file, nothing fetched"


def test_going_back_to_a_release_tells_its_alarm_no_second_time(
    release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, state = tmp_path / "i", ("--state", str(tmp_path / "s"))
    other = write_release(tmp_path / "other", traffic(500, 77), "shop-other")
    log(folder, parts=2, **WEST)
    assert check(release, folder, *state) == 3
    (tmp_path / "s" / "alarm.json").unlink()
    log(folder, first=2, release="shop-other")
    assert check(other, folder, *state) == 0
    capsys.readouterr()
    log(folder, first=3, **WEST)
    assert check(release, folder, *state) == 3, "the drift goes on"
    said = capsys.readouterr().out
    assert "2 new files, 400 requests, 1 windows" in said and "window 3, 400 requests: alarm: user_region" in said
    assert not (tmp_path / "s" / "alarm.json").exists(), "and was told before"


def test_a_call_without_a_state_is_refused_for_each_pass_would_make_it_again(
    release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log(tmp_path / "i", parts=2, **WEST)
    assert check(release, tmp_path / "i", "--on-alarm", "http://127.0.0.1:9/") == 2
    assert "Expected --state with --on-alarm" in capsys.readouterr().err


def test_without_a_state_every_check_begins_anew(release: Path, tmp_path: Path) -> None:
    log(tmp_path / "i", parts=2, **WEST)
    assert check(release, tmp_path / "i") == 3
    assert check(release, tmp_path / "i") == 3


def test_a_late_file_of_an_earlier_hour_is_read_too(release: Path, tmp_path: Path) -> None:
    state = ("--state", str(tmp_path / "s"))
    log(tmp_path / "i", first=5)
    check(release, tmp_path / "i", *state)
    log(tmp_path / "i", first=1)
    main(["check", "--release", str(release), "--impressions", str(tmp_path / "i"), *state])
    connection = pytest.importorskip("sqlite3").connect(tmp_path / "s" / f"drift-{RELEASE}.db")
    assert connection.execute("SELECT COUNT(*) FROM files").fetchone() == (2,)


def test_records_of_another_release_are_passed_over_and_counted(
    release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log(tmp_path / "i", release="shop-ffffffffffff", **WEST)
    log(tmp_path / "i", first=1)
    assert check(release, tmp_path / "i") == 0
    said = capsys.readouterr().out
    assert "400 requests" in said and "400 records of other releases were passed over" in said


@pytest.mark.parametrize(("arm", "code"), [("weights=heavier", 0), ("holdout", 3), (None, 3), ("no column", 3)])
def test_scores_of_an_experiment_s_arm_are_not_compared(
    release: Path, tmp_path: Path, arm: str | None, code: int
) -> None:
    requests = [r | {"slate_score": r["slate_score"] ** 2} if n % 2 else r for n, r in enumerate(traffic(800, 5))]
    records = [record(r, n) | {"arm": arm if n % 2 else ""} for n, r in enumerate(requests)]
    path = write_part(tmp_path / "i", "w-000000", records)
    if arm == "no column":
        pq.write_table(pq.read_table(path).drop_columns(["arm"]), path)
    assert check(release, tmp_path / "i") == code


def test_records_that_no_model_was_asked_for_say_nothing(
    release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log(tmp_path / "i")
    path = next((tmp_path / "i").rglob("*.parquet"))
    table = pq.read_table(path)
    similar = pa.array(["{}"] * 100 + table["features"].to_pylist()[100:])
    pq.write_table(table.set_column(table.schema.get_field_index("features"), "features", similar), path)
    assert check(release, tmp_path / "i") == 0
    assert "300 requests" in capsys.readouterr().out


def test_an_empty_log_is_quiet_and_has_no_report(
    release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "i").mkdir()
    assert check(release, tmp_path / "i", "--report", str(tmp_path / "r.html")) == 0
    assert "no window was tested yet" in capsys.readouterr().out
    assert not (tmp_path / "r.html").exists()


def damage_column(folder: Path) -> None:
    path = next(folder.rglob("w-000001.parquet"))
    pq.write_table(pq.read_table(path).drop_columns(["features"]), path)


def damage_bytes(folder: Path) -> None:
    path = next(folder.rglob("w-000001.parquet"))
    path.write_bytes(path.read_bytes()[:-50])


def damage_features(folder: Path) -> None:
    path = next(folder.rglob("w-000001.parquet"))
    table = pq.read_table(path)
    index = table.schema.get_field_index("features")
    pq.write_table(table.set_column(index, "features", pa.array(['{"other": 1}'] * len(table))), path)


def damage_text(folder: Path) -> None:
    path = next(folder.rglob("w-000001.parquet"))
    table = pq.read_table(path)
    index = table.schema.get_field_index("request_id")
    pq.write_table(table.set_column(index, "request_id", pa.array([b"\xff"] * len(table)).view(pa.string())), path)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (damage_column, "features"),
        (damage_bytes, "Move the damaged file"),
        (damage_features, "one without"),
        (damage_text, "Move the damaged file"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_and_nothing_of_it_is_taken(
    release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Any, said: str
) -> None:
    folder, state = tmp_path / "i", ("--state", str(tmp_path / "s"))
    log(folder, parts=2, rows=100)
    damage(folder)
    assert check(release, folder, *state) == 2
    assert said in capsys.readouterr().err
    log(folder, parts=1, first=1, rows=100)
    assert check(release, folder, *state) == 0
    assert "1 new files, 100 requests" in capsys.readouterr().out, "the good one was read the first time"


def test_a_folder_that_is_none_is_an_error(release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(release, tmp_path / "nowhere") == 2
    assert "no such folder" in capsys.readouterr().err


def without_reference(folder: Path) -> None:
    (folder / REFERENCE).unlink()


def cut_reference(folder: Path) -> None:
    (folder / REFERENCE).write_bytes((folder / REFERENCE).read_bytes()[:-9])


def reference_of_another_release(folder: Path) -> None:
    other = write_release(folder.parent / "other", traffic(500, 77), "shop-other")
    shutil.copyfile(other / REFERENCE, folder / REFERENCE)


def few_rows(folder: Path) -> None:
    table = pq.read_table(folder / REFERENCE).slice(0, 20)
    pq.write_table(table, folder / REFERENCE)
    write_manifest(folder, RELEASE, {}, {})


def column_missing(folder: Path) -> None:
    pq.write_table(pq.read_table(folder / REFERENCE).drop_columns(["user_region"]), folder / REFERENCE)
    write_manifest(folder, RELEASE, {}, {})


def no_parquet(folder: Path) -> None:
    (folder / REFERENCE).write_text("user_age\n3\n")
    write_manifest(folder, RELEASE, {}, {})


def mixed_types(folder: Path) -> None:
    table = pq.read_table(folder / REFERENCE)
    index = table.schema.get_field_index("user_age")
    pq.write_table(table.set_column(index, "user_age", pa.array(["old"] * len(table))), folder / REFERENCE)
    write_manifest(folder, RELEASE, {}, {})


def no_manifest(folder: Path) -> None:
    (folder / "release.json").unlink()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (without_reference, "No such file"),
        (cut_reference, "changed file"),
        (reference_of_another_release, "one of another release"),
        (few_rows, "at least 100 requests"),
        (column_missing, "no column user_region"),
        (no_parquet, "Package the release again"),
        (mixed_types, "values of another type"),
        (no_manifest, "release.json"),
    ],
)
def test_a_bad_reference_is_refused_before_anything_is_written(
    release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Any, said: str
) -> None:
    folder = shutil.copytree(release, tmp_path / "release")
    damage(folder)
    (tmp_path / "i").mkdir()
    assert check(folder, tmp_path / "i", "--state", str(tmp_path / "s")) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("wrong", [("--rows", "0"), ("--false-alarm-rate", "1"), ("--max-age", "nan"), ("--rows", "x")])
def test_settings_out_of_bounds_are_refused(wrong: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["check", "--release", "r", "--impressions", "i", *wrong])
    assert stopped.value.code == 2 and "expected a number" in capsys.readouterr().err


def test_an_unknown_feature_to_exclude_is_named(
    release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "i").mkdir()
    assert check(release, tmp_path / "i", "--exclude", "query_our") == 2
    assert "query_hour" in capsys.readouterr().err


KILLED = """
import os, signal, sys
from souk.drift import check, cli
take = check.Monitor.take
def killed(self, rows, counts, file=""):
    if file.endswith("w-000002.parquet"):
        rows = iter(list(rows)[:150])
        def until(rows=rows):
            yield from rows
            os.kill(os.getpid(), signal.SIGKILL)
        return take(self, until(), counts, file=file)
    return take(self, rows, counts, file=file)
check.Monitor.take = killed
sys.exit(cli.main(sys.argv[1:]))
"""


def test_a_check_that_is_killed_in_the_middle_of_a_file_reads_each_record_once(release: Path, tmp_path: Path) -> None:
    folder, state = tmp_path / "i", tmp_path / "s"
    log(folder, parts=4, rows=300)
    words = ["check", "--release", str(release), "--impressions", str(folder), "--state", str(state)]
    words += ["--rows", "400", "--max-age", "1e12"]
    run = subprocess.run([sys.executable, "-c", KILLED, *words], capture_output=True, text=True, env=os.environ)
    assert run.returncode == -9, run.stderr
    assert main(words) == 0
    connection = pytest.importorskip("sqlite3").connect(state / f"drift-{RELEASE}.db")
    totals = dict(connection.execute("SELECT name, value FROM totals"))
    assert totals["rows_record"] == 1200 and totals["windows"] == 3
    assert "repeated" not in totals, "the half that was read before the kill was not kept"


def test_the_specification_is_that_of_the_tests() -> None:
    assert {c.source for c in SPEC.context} == {"device", "basket"}
