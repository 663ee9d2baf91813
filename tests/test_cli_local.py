"""Where the processes of a local run take their modules from."""

import ast
import os
import subprocess
import sys

from souk.cli.local import _environment


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
