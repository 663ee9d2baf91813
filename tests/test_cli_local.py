"""A local run: where its processes take their modules from, and its log."""

import ast
import io
import os
import subprocess
import sys
from pathlib import Path

from souk import progress
from souk.cli.local import _environment
from souk.cli.view import RunView


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
