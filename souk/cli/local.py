"""Runs a compiled pipeline with kfp.local and tells an observer about its tasks."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import kfp.local
import yaml
from kfp import components, dsl
from kfp.local import logging_utils, status, task_dispatcher
from kfp.local.orchestrator import task_executor

from souk import progress
from souk.cli.ending import processes_end_first


class Observer(Protocol):
    """Is told what happens, in order."""

    def started(self, task: str) -> None:
        """The process of a task starts."""

    def line(self, text: str) -> None:
        """kfp or the running task printed a line."""

    def finished(self, task: str, outputs: dict[str, Any] | None, seconds: float, cached: bool) -> None:
        """A task ended; `outputs` is None where it failed."""


def run_pipeline(spec: dict[str, Any], arguments: dict[str, Any], root: Path, lock: Path, observer: Observer) -> None:
    """Runs the pipeline, one process a task; failures are told to the observer and not raised.

    Args:
        spec: the compiled pipeline.
        arguments: of the pipeline.
        root: folder of artifacts and cache.
        lock: the workspace's lock file, of which every task's process holds a share.
        observer: is told.
    """
    text = yaml.dump(spec, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper))
    # kfp.local has nothing to put in for the one, and the other is new with each run.
    text = text.replace(dsl.PIPELINE_JOB_RESOURCE_NAME_PLACEHOLDER, dsl.PIPELINE_JOB_NAME_PLACEHOLDER)
    pipeline = components.load_component_from_text(text)
    with tempfile.TemporaryDirectory(prefix="souk-") as scratch, contextlib.ExitStack() as stack:
        kfp.local.init(
            runner=kfp.local.SubprocessRunner(use_venv=False),
            pipeline_root=str(root),
            workspace_root=scratch,
            raise_on_error=False,
            enable_caching=True,
        )
        stack.enter_context(_environment(lock, scratch))
        stack.enter_context(_stdin_that_ends_with_us())
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        output = _Lines(observer.line)
        stack.enter_context(contextlib.redirect_stdout(output))
        stack.enter_context(_root_log(output))
        stack.enter_context(_observed(observer, stack.enter_context(processes_end_first())))
        pipeline(**arguments)


class _Hooks:
    """What kfp.local 2.17 calls once a task (`execute`) and once a process (`dispatch`), telling the observer."""

    def __init__(self, observer: Observer, ended: threading.Event) -> None:
        self._observer = observer
        self._ended = ended
        self._execute = task_executor.execute_single_task
        self._dispatch = task_dispatcher.run_single_task_implementation
        self._of = threading.local()  # tasks of a ParallelFor run in threads

    def execute(self, **call: Any) -> Any:
        self._of.task, self._of.ran, began = call["task_spec"].task_info.name, False, time.monotonic()
        try:
            outputs, outcome = self._execute(**call)
        except Exception as error:  # kfp's own, of what a step gave it
            self._observer.line(f"{progress.FAIL}A fault of Souk, not of yours: {type(error).__name__}: {error}")
            outputs, outcome = {}, status.Status.FAILURE
        good = outcome == status.Status.SUCCESS
        seconds = time.monotonic() - began
        if not self._ended.is_set():
            self._observer.finished(self._of.task, outputs if good else None, seconds, not self._of.ran)
        return outputs, outcome

    def dispatch(self, **call: Any) -> Any:
        if self._ended.is_set():  # kfp waits for all tasks of a ParallelFor, even those that have not begun
            return {}, status.Status.FAILURE
        self._of.ran = True
        self._observer.started(self._of.task)
        return self._dispatch(**call)


@contextlib.contextmanager
def _observed(observer: Observer, ended: threading.Event) -> Iterator[None]:
    """kfp.local has no hook for its tasks, so these two functions are replaced while a pipeline runs.

    So is what indents the lines of a task: it changes `print` for all threads, and two tasks leave it changed.
    """
    execute, dispatch = task_executor.execute_single_task, task_dispatcher.run_single_task_implementation
    indented, hooks = logging_utils.indented_print, _Hooks(observer, ended)
    task_executor.execute_single_task, task_dispatcher.run_single_task_implementation = hooks.execute, hooks.dispatch
    logging_utils.indented_print = contextlib.nullcontext
    try:
        yield
    finally:
        task_executor.execute_single_task, task_dispatcher.run_single_task_implementation = execute, dispatch
        logging_utils.indented_print = indented


@contextlib.contextmanager
def _environment(lock: Path, scratch: str) -> Iterator[None]:
    """For the tasks' processes, beside ours.

    They import nothing from where the user stands: the folder of a clone, `souk`, would be taken for the package.
    """
    before = dict(os.environ)
    defaults = {
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "PYTHONHASHSEED": "0",
        "PYTHONUNBUFFERED": "1",
        "PYTHONSAFEPATH": "1",
    }
    os.environ.update({name: value for name, value in defaults.items() if name not in before})
    os.environ.update({"TMPDIR": scratch, progress.LOCK: str(lock.resolve())})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def _stdin_that_ends_with_us() -> Iterator[None]:
    """Gives the tasks' processes a stdin that closes when this process ends, however it ends (souk.progress)."""
    reading, writing = os.pipe()
    ours = os.dup(0)
    os.dup2(reading, 0)
    os.close(reading)
    try:
        yield
    finally:
        os.dup2(ours, 0)
        os.close(ours)
        os.close(writing)


@contextlib.contextmanager
def _root_log(stream: io.TextIOBase) -> Iterator[None]:
    """kfp.local logs through the root logger, partly outside its own handler."""
    logger = logging.getLogger()
    level, handler = logger.level, logging.StreamHandler(stream)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


class _Lines(io.TextIOBase):
    """A text stream that hands on whole lines, those of each thread apart."""

    def __init__(self, take: Callable[[str], None]) -> None:
        self._take = take
        self._of = threading.local()

    def write(self, text: str) -> int:
        *lines, self._of.rest = (getattr(self._of, "rest", "") + text).split("\n")
        for line in lines:
            self._take(line)
        return len(text)
