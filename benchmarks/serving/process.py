"""Servers in processes of their own, and what they use."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyarrow.parquet as pq

HOST = "127.0.0.1"
PATIENCE = 900.0  # seconds: on a busy machine a server takes minutes to start


def user_ids(workspace: Path) -> list[str]:
    """The users of the newest tables that the pipeline wrote."""
    newest = max(workspace.glob("runs/**/tables/users.parquet"), key=lambda path: path.stat().st_mtime)
    return [str(user) for user in pq.read_table(newest, columns=["user_id"])["user_id"].to_pylist()]


@contextlib.contextmanager
def running(
    command: Sequence[str], model: str, ready: Callable[[int], bool] | None = None
) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """The port and the process of a server that is ready; a free port replaces `{port}`.

    Args:
        command: behind the interpreter.
        model: that a KServe server is to have ready.
        ready: tells of a port whether another kind of server is.
    """
    with started(command) as (port, process):
        await_ready(port, process, model, ready)
        yield port, process


@contextlib.contextmanager
def started(command: Sequence[str]) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """As `running`, of a server that need not be ready yet."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = int(probe.getsockname()[1])
    words = [sys.executable, *(word.format(port=port) for word in command)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield port, process
    finally:
        process.terminate()
        process.wait(timeout=60)


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The address and the process of a Redis that writes to its file once a second, as its documentation advises."""
    with socket.socket() as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    words = ["--bind", HOST, "--port", str(port), "--dir", str(folder), "--appendonly", "yes", "--save", ""]
    process = subprocess.Popen(["redis-server", *words], stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection((HOST, port), 1):
                break
            time.sleep(0.05)
        yield f"redis://{HOST}:{port}", process
    finally:
        process.kill()
        process.wait()


def await_ready(
    port: int, process: subprocess.Popen[bytes], model: str, ready: Callable[[int], bool] | None = None
) -> None:
    """Waits until a server is ready; the arguments are those of `running`.

    Raises:
        RuntimeError: it ended, or is not ready within PATIENCE.
    """
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"the server of {model} ended with {process.returncode}")
        with contextlib.suppress(OSError):
            if ready(port) if ready else model_ready(port, model):
                return
        time.sleep(0.1)
    raise RuntimeError(f"the server of {model} was not ready within {PATIENCE:.0f} s")


def model_ready(port: int, model: str) -> bool:
    """Whether a KServe server has a model ready."""
    with urllib.request.urlopen(f"http://{HOST}:{port}/v2/models/{model}/ready", timeout=5) as answer:
        return bool(json.loads(answer.read()).get("ready"))


def gauge(port: int, name: str) -> float:
    """The value of a metric without labels.

    Raises:
        LookupError: the server does not have it.
    """
    with urllib.request.urlopen(f"http://{HOST}:{port}/metrics", timeout=60) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith(f"{name} "):
                return float(line.rsplit(" ", 1)[1])
    raise LookupError(name)


def healthy(port: int) -> bool:
    """Whether a server answers `/health`."""
    with urllib.request.urlopen(f"http://{HOST}:{port}/health", timeout=5) as answer:
        return bool(answer.status == 200)


def listening(port: int) -> bool:
    """Whether connections to a port are taken."""
    with socket.create_connection((HOST, port), timeout=5):
        return True


def await_workers(port: int, patience: float = PATIENCE) -> None:
    """Waits until all workers of a server say how they are (`souk serve --workers`); one alone has no such metric.

    Raises:
        RuntimeError: they do not within the patience, seconds.
    """
    until = time.monotonic() + patience
    while time.monotonic() < until:
        with urllib.request.urlopen(f"http://{HOST}:{port}/metrics", timeout=60) as answer:
            if not re.search(r"^souk_worker_up\{.*\} 0", answer.read().decode(), re.MULTILINE):
                return
        time.sleep(0.2)
    raise RuntimeError(f"the workers at port {port} were not ready within {patience:.0f} s")


def with_workers(pid: int) -> list[int]:
    """A process and those that its main thread started. Not TensorFlow's, which a server starts beside it."""
    return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split())]


def pin(pid: int, place: int) -> None:
    """Has a process run on one core alone, the one at a place among those that there are, which are counted round."""
    cores = sorted(os.sched_getaffinity(0))
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(ProcessLookupError):  # it may have ended meanwhile
            os.sched_setaffinity(int(thread.name), {cores[place % len(cores)]})


def spent(pid: int) -> float:
    """Seconds of processor that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> int:
    """The memory that a process holds, MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") >> 20
