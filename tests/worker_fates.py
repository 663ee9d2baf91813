"""What a worker of a test does, in a module that a process imports in no time."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from souk.errors import SoukError
from souk.serving.workers import Worker


def fated(folder: Path, worker: Worker) -> None:
    """Does what the file of its number says, if there is one."""
    (folder / f"{worker.number}-{time.monotonic_ns()}").touch()
    place = folder / f"fate {worker.number}"
    fate = place.read_text() if place.exists() else "refuses"
    if fate.endswith(" once"):
        place.write_text("stays")
    if fate.startswith("refuses"):
        raise SoukError("a fate", "none for now", "Mend it.")
    if fate.startswith("dies"):
        os._exit(3)
    if fate == "starts slowly":
        time.sleep(20)
    told = list[int]()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: told.append(number))
    worker.report(f"{worker.number} says so")
    worker.ready()
    if fate.startswith("ends"):
        os._exit(4)
    while not told or fate == "hears nothing":
        worker.turns.value += fate != "hangs once"  # which has told that it answers, and turns not once
        time.sleep(0.01)
    (folder / f"told {worker.number} {told[0]}").touch()
