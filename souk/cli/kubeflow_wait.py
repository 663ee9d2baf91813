"""Follows a run to its end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from kfp_server_api import models

from souk.cli.kubeflow import Server
from souk.cli.kubeflow_errors import NoAnswer
from souk.errors import SoukError

SUCCEEDED = "SUCCEEDED"
ENDED = {SUCCEEDED, "FAILED", "CANCELED", "SKIPPED"}
SILENCE_SECONDS = 300.0  # a server that restarts is back within this
SHOWN = 10  # failed tasks


def follow(
    server: Server,
    run_id: str,
    tasks: Iterable[str],
    seconds: float,
    every: float,
    say: Callable[[str], None],
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> models.V2beta1Run:
    """Asks for a run until it has ended; tells each change of its state and of its tasks' states.

    Args:
        server: opened.
        run_id: of the run.
        tasks: names of the tasks to tell of; the server also lists its own helpers.
        seconds: the deadline.
        every: seconds between two questions.
        say: is told a line.
        clock: seconds, monotonic.
        sleep: waits so many seconds.

    Raises:
        SoukError: the deadline passed, or the server was silent too long, or refuses to tell; the run itself goes on.
    """
    wanted, began = set(tasks), clock()
    heard, states = began, dict[str, str]()
    while True:
        try:
            run = server.run(run_id)
            heard = clock()
        except NoAnswer as error:
            if clock() - heard > SILENCE_SECONDS:
                raise SoukError(error.expected, error.received, goes_on(run_id)) from error
        except SoukError as error:
            raise SoukError(error.expected, error.received, f"{error.remedy} {goes_on(run_id)}") from error
        else:
            for name, state in _states(run, wanted):
                if states.get(name) != state:
                    states[name] = state
                    say(f"  {clock() - began:7.0f} s  {name:<26} {state}")
            if run.state in ENDED:
                return run
        if clock() - began > seconds:
            state = states.get("run", "no state yet")
            raise SoukError(f"the run to end in {seconds / 60:g} minutes", state, goes_on(run_id))
        sleep(every)


def goes_on(run_id: str) -> str:
    """What who stops waiting has to know, not to submit it a second time."""
    return f"The run {run_id} goes on there."


def _states(run: models.V2beta1Run, wanted: set[str]) -> Iterator[tuple[str, str]]:
    if run.state:
        yield "run", run.state
    for task in _tasks(run):
        if task.display_name in wanted and task.state:
            yield task.display_name, task.state


def _tasks(run: models.V2beta1Run) -> list[models.V2beta1PipelineTaskDetail]:
    return (run.run_details and run.run_details.task_details) or []


def reasons(run: models.V2beta1Run) -> list[str]:
    """Why a run did not succeed, as far as the server tells: its own error, and that of each failed task."""
    lines = [f"run: {run.error.message}"] if run.error and run.error.message else []
    failed = [task for task in _tasks(run) if task.state == "FAILED"]
    for task in failed[:SHOWN]:
        said = (task.error and task.error.message) or "failed; its log tells why"
        lines.append(f"{task.display_name}: {said}")
    return lines or [f"the server says {run.state} and no more"]


def task_names(spec: dict[str, Any]) -> set[str]:
    """The names of all tasks of a compiled pipeline, as keys and as shown."""
    graphs = [spec["root"], *spec["components"].values()]
    tasks = [item for graph in graphs for item in graph.get("dag", {}).get("tasks", {}).items()]
    return {name for key, task in tasks for name in (key, task.get("taskInfo", {}).get("name", key))}
