"""What a measurement is given, and the machine that it is taken on."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from souk.workspace import Workspace


@dataclass(frozen=True)
class Setting:
    """Where to measure.

    Args:
        config: the dataset config.
        workspace: has a release, or gets one.
        scratch: an empty folder that is deleted afterwards.
    """

    config: Path
    workspace: Path
    scratch: Path

    def run_pipeline(self, workspace: Path) -> None:
        """`souk run` in a process of its own; what it prints stays on the terminal."""
        souk("run", "--config", str(self.config), "--workspace", str(workspace))

    def released(self) -> Path:
        """The workspace, after a run of the pipeline if it has no release."""
        if not Workspace(self.workspace).current_release():
            self.run_pipeline(self.workspace)
        return self.workspace


def souk(*words: str) -> None:
    """Runs the command line in a fresh process."""
    subprocess.run([sys.executable, "-m", "souk", *words], check=True, stdin=subprocess.DEVNULL)


def machine() -> dict[str, str | int]:
    """Processor, cores that this process may use, memory, Python."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": models[0] if models else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "python": platform.python_version(),
    }
