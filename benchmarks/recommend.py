"""Requests per second of `souk recommend --k 100`, with and without the start of the process.

A release whose slates may not be so long is asked for its longest.
"""

from __future__ import annotations

import json
import time
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from benchmarks.serving.process import user_ids
from benchmarks.setting import Setting, souk
from souk.workspace import Workspace

REQUESTS, LENGTH = 4000, 100


def measure(setting: Setting) -> list[dict[str, Any]]:
    """One row: the time of one request is taken for the start."""
    workspace = setting.released()
    settings = json.loads((Workspace(workspace).current / "bundle.json").read_text(encoding="utf-8"))
    k = min(LENGTH, settings["max_slate_size"])
    start = timed(setting, workspace, 1, k)
    seconds = timed(setting, workspace, REQUESTS, k)
    return [
        {
            "requests": REQUESTS,
            "k": k,
            "seconds": round(seconds, 1),
            "start seconds": round(start, 1),
            "requests/s": round(REQUESTS / seconds, 1),
            "requests/s after start": round((REQUESTS - 1) / max(1e-9, seconds - start), 1),
        }
    ]


def timed(setting: Setting, workspace: Path, count: int, k: int) -> float:
    """Wall seconds of one call for `count` requests, all of which must be answered."""
    requests, output = setting.scratch / f"requests-{count}.jsonl", setting.scratch / f"answers-{count}.jsonl"
    users = islice(cycle(user_ids(workspace)), count)
    requests.write_text("".join(json.dumps({"user_id": user}) + "\n" for user in users))
    began = time.perf_counter()
    souk(
        "recommend", "--requests", str(requests), "--output", str(output), "--k", str(k), "--workspace", str(workspace)
    )
    seconds = time.perf_counter() - began
    answers = [json.loads(line) for line in output.read_text().splitlines()]
    if len(answers) != count or not all(answer.get("items") for answer in answers):
        raise RuntimeError(f"{count} requests, {sum(bool(a.get('items')) for a in answers)} answered with items")
    return seconds
