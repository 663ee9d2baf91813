"""Servers in processes of their own, and what they use."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.serving.load import HOST

PATIENCE = 300.0


def user_ids(workspace: Path) -> list[str]:
    """The users of the newest tables that the pipeline wrote."""
    newest = max(workspace.glob("runs/**/tables/users.parquet"), key=lambda path: path.stat().st_mtime)
    return [str(user) for user in pq.read_table(newest, columns=["user_id"])["user_id"].to_pylist()]


@contextlib.contextmanager
def running(command: Sequence[str], model: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """The port and the process of a server that is ready; a free port replaces `{port}`."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = int(probe.getsockname()[1])
    words = [sys.executable, *(word.format(port=port) for word in command)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(port, model, process)
        yield port, process
    finally:
        process.terminate()
        process.wait(timeout=60)


def _wait(port: int, model: str, process: subprocess.Popen[bytes]) -> None:
    until, url = time.monotonic() + PATIENCE, f"http://{HOST}:{port}/v2/models/{model}/ready"
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"the server of {model} ended with {process.returncode}")
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
            if json.loads(answer.read()).get("ready"):
                return
        time.sleep(0.1)
    raise RuntimeError(f"the server of {model} was not ready within {PATIENCE:.0f} s")


def spent(pid: int) -> float:
    """Seconds of processor that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> int:
    """The memory that a process holds, MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") >> 20
