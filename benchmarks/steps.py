"""Wall time and peak memory of each step of `souk run` in an empty workspace, each step a process of its own."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.setting import Setting


def measure(setting: Setting) -> list[dict[str, Any]]:
    """A row for each task, and the total as a user waits for it."""
    workspace = setting.scratch / "workspace"
    setting.run_pipeline(workspace)
    record = json.loads(next(workspace.glob("runs/*.steps.json")).read_text(encoding="utf-8"))
    rows = [
        {"step": step["name"], "seconds": round(step["seconds"], 1), "peak MiB": step["peak_mib"]}
        for step in record["steps"]
    ]
    peaks = [row["peak MiB"] for row in rows if row["peak MiB"]]
    return [*rows, {"step": "total", "seconds": round(record["seconds"], 1), "peak MiB": max(peaks, default=None)}]
