"""The exit task: how a run ended."""

from __future__ import annotations

import json
import os
from pathlib import Path


def report_run(run: str, workspace: str, state: str, message: str) -> None:
    """Writes `runs/<run>.json` in the workspace.

    Args:
        run: name of the run.
        workspace: path of the workspace.
        state: `SUCCEEDED`, `FAILED` or `CANCELLED`.
        message: of the failure, else "".
    """
    folder = Path(workspace) / "runs"
    folder.mkdir(parents=True, exist_ok=True)
    path, part = folder / f"{run}.json", folder / f".{run}.json.part"
    part.write_text(json.dumps({"run": run, "state": state, "message": message}, indent=1), encoding="utf-8")
    os.replace(part, path)
