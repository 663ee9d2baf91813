"""A local run: where its processes take their modules from, and its log."""

import ast
import errno
import io
import os
import subprocess
import sys
from pathlib import Path

from souk import progress
from souk.cli import main
from souk.cli import run as run_command
from souk.cli.local import _environment
from souk.cli.view import RunView
from tests.config_fixtures import MINIMAL


def test_tasks_import_nothing_from_where_the_user_stands(tmp_path, monkeypatch):
    """kfp starts `python -m kfp.dsl.executor_main`: beside a clone, its folder `souk` would hide the package."""
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    (tmp_path / "souk").mkdir()

    def path() -> list[str]:
        words = [sys.executable, "-m", "site"]
        run = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
        return ast.literal_eval(run.stdout.partition("sys.path = ")[2].partition("]")[0] + "]")

    assert str(tmp_path) in path()
    with _environment(tmp_path / "lock", str(tmp_path)):
        assert str(tmp_path) not in path()
    assert "PYTHONSAFEPATH" not in os.environ


def test_a_log_without_space_ends_and_the_run_goes_on():
    out = io.StringIO()
    with Path("/dev/full").open("w", encoding="utf-8") as log:
        view = RunView(out, log, clock=lambda: 1.0)
        for text in ("kfp's own", f"{progress.SAY}reading", f"{progress.FAIL}Expected space. Received: none."):
            view.line(text)
    assert out.getvalue() == "  /dev/full ends here: No space left on device\n      1.0 s  reading\n"
    assert view.errors == ["Expected space. Received: none."]


def test_a_report_that_a_full_disk_refuses_hides_no_failure_and_the_runs_are_swept_first(tmp_path, monkeypatch, capsys):
    (tmp_path / "my.yaml").write_text(MINIMAL)
    done = []

    def fail(arguments, config, workspace, lock, view):
        view.line(f"{progress.FAIL}Expected free space on the disk. Received: none.")
        view.finished("ingest", None, 1.0, False)

    def full(*args):
        done.append("report")
        raise OSError(errno.ENOSPC, "No space left on device", "data.html")

    monkeypatch.setattr(run_command, "_train", fail)
    monkeypatch.setattr(run_command, "_keep_report", full)
    monkeypatch.setattr(run_command, "tell_swept", lambda *args: done.append("swept"))
    assert main(["run", "--config", str(tmp_path / "my.yaml"), "--workspace", str(tmp_path / "souk")]) == 1
    told = capsys.readouterr().err
    assert "lacks its report or record: Expected free space for data.html. Received: No space left on device" in told
    assert "Expected free space on the disk. Received: none." in told and "souk run: step ingest failed" in told
    assert done == ["swept", "report"]
