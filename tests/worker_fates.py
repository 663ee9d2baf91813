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
    fate = folder / f"fate {worker.number}"
    if not fate.exists():
        raise SoukError("a fate", "none", "Mend it.")
    if fate.read_text() == "dies":
        os._exit(3)
    worker.report(f"{worker.number} says so")
    worker.ready()
    if fate.read_text() == "ends":
        fate.write_text("stays")
        os._exit(4)
    signal.sigwait({signal.SIGUSR1})
