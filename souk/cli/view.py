"""What `souk run` shows: a line as a step starts, its own lines with the time since, and how it ended."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from souk import progress

HIDDEN = "report_run"  # the exit task, which every run has
WIDTH = 26


@dataclass
class StepRecord:
    """One task of a run. `seconds` of wall time; `peak_mib` of memory, where its process told it."""

    name: str
    seconds: float
    cached: bool
    failed: bool = False
    peak_mib: float | None = None


@dataclass
class RunView:
    """Shows a run on `out` and keeps its whole output in the file `log`.

    Args:
        out: where the reader looks.
        log: open for writing.
        planned: steps of a whole run, where it is known.
        clock: seconds, monotonic.
    """

    out: TextIO
    log: TextIO
    planned: int = 0
    clock: Callable[[], float] = time.monotonic
    steps: list[StepRecord] = field(default_factory=list)
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    used: set[Path] = field(default_factory=set)
    _began: float = 0.0
    _peak: float | None = None

    def started(self, task: str) -> None:
        self._began, self._peak = self.clock(), None
        if task != HIDDEN:
            place = f"{len(self.steps) + 1}/{self.planned} " if self.planned else ""
            self._show(f"▸ {place}{task}")

    def line(self, text: str) -> None:
        self._keep(text)
        if text.startswith(progress.SAY):
            self._show(f"  {self.clock() - self._began:7.1f} s  {text.removeprefix(progress.SAY)}")
        elif text.startswith(progress.FAIL):
            self.errors.append(text.removeprefix(progress.FAIL))
        elif text.startswith(progress.PEAK):
            self._peak = float(text.removeprefix(progress.PEAK))

    def finished(self, task: str, outputs: dict[str, Any] | None, seconds: float, cached: bool) -> None:
        failed = outputs is None
        self.outputs[task] = outputs or {}
        self.used |= {Path(value.path) for value in self.outputs[task].values() if hasattr(value, "path")}
        if task == HIDDEN and not failed:
            return
        self.steps.append(StepRecord(task, round(seconds, 3), cached, failed, None if cached else self._peak))
        end = "cached" if cached else f"{seconds:7.1f} s"
        self._show(f"{'✗' if failed else '✓'} {task:<{WIDTH}}{end:>9}")

    @property
    def failed(self) -> list[str]:
        """The steps that failed."""
        return [step.name for step in self.steps if step.failed]

    def path(self, task: str, artifact: str) -> Path | None:
        """Where an output artifact of a task lies, None where the task did not run."""
        found = self.outputs.get(task, {}).get(artifact)
        return Path(found.path) if found is not None else None

    def _keep(self, text: str) -> None:
        """A disk that is full ends a step, which says so; the log, for want of space, only ends itself."""
        if not self.log.closed:
            try:
                self.log.write(text + "\n")
                self.log.flush()
            except OSError as error:
                with contextlib.suppress(OSError):
                    self.log.close()
                self._show(f"  {self.log.name} ends here: {error.strerror}")

    def _show(self, text: str) -> None:
        self.out.write(text + "\n")  # not print: kfp.local replaces it while a task runs
        self.out.flush()
