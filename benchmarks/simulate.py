"""Events per second and peak memory of `souk simulate`, the start of the process and all files included."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Any

import pyarrow.parquet as pq

from benchmarks.setting import Setting

USERS = (2_500, 10_000)  # the second writes more than a million events


def measure(setting: Setting) -> list[dict[str, Any]]:
    """One row for each size; every run is a process of its own, on one core."""
    return [row(setting, users) for users in USERS]


def row(setting: Setting, users: int) -> dict[str, Any]:
    """The time of one run, and the most memory that it held."""
    target = setting.scratch / f"simulated-{users}"
    words = ["simulate", "--users", str(users), "--output", str(target)]
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "souk", *words], stdout=subprocess.DEVNULL)
    os.sched_setaffinity(process.pid, {min(os.sched_getaffinity(0))})
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"souk {' '.join(words)} ended with {process.returncode}")
    events = pq.ParquetFile(target / "events.parquet").metadata.num_rows
    return {
        "users": users,
        "events": events,
        "seconds": round(seconds, 1),
        "events/s": round(events / seconds),
        "peak MiB": round(usage.ru_maxrss / 1024),
    }
