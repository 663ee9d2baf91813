"""The exit task: how a run ended."""

from __future__ import annotations

import json
from pathlib import Path

from souk.folders import whole_file


def report_run(run: str, name: str, workspace: str, state: str, message: str) -> None:
    """Writes `runs/<run>.json` in the workspace.

    Args:
        run: what names this run alone.
        name: what people call it; a server's runs of one config share it, and it may hold any character.
        workspace: path of the workspace.
        state: `SUCCEEDED`, `FAILED` or `CANCELLED`.
        message: of the failure, else "".
    """
    folder = Path(workspace) / "runs"
    end = {"run": run, "name": name, "state": state, "message": message}
    with whole_file(folder / f"{run}.json") as fresh:
        fresh.write_text(json.dumps(end, indent=1), encoding="utf-8")
