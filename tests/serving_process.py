"""A real `souk serve` process, and calls to it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

V1 = "/v1/models/souk:predict"
V2 = "/v2/models/souk/infer"
PLAIN = ("-m", "souk")
PATIENT = ("-m", "tests.patient")  # for tests of which no answer may lack a part, however slow the machine
SECONDS = 240  # that an answer may take: a server on a busy machine reads its item tower for a minute and more
JSON = {"content-type": "application/json"}


@dataclass
class ServerProcess:
    """A server that answers.

    Args:
        process: of `souk serve`.
        http: its HTTP port.
        grpc: its gRPC port.
    """

    process: subprocess.Popen[str]
    http: int
    grpc: int

    def call(
        self, path: str, body: bytes | str | None = None, headers: dict[str, str] | None = None, method: str = "POST"
    ) -> tuple[int, bytes]:
        """Status and body of one call."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http, timeout=SECONDS)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()

    def slates(self, *instances: Any) -> list[dict[str, Any]]:
        """The V1 slates of instances."""
        status, body = self.call(V1, json.dumps({"instances": instances}), JSON)
        assert status == 200, body
        return list(json.loads(body)["predictions"])

    def metric(self, line: str) -> float:
        """The value of a line of `/metrics`, 0 where it is not there yet."""
        text = self.call("/metrics", method="GET")[1].decode()
        found = re.search(rf"^{re.escape(line)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def command(workspace: Path, *words: str, program: tuple[str, ...] = PLAIN) -> list[str]:
    """`souk serve` on free ports, with time for a busy machine, and without a cache that would hide a fault."""
    ports = ["--http-port", "0", "--grpc-port", "0", "--timeout-ms", "20000"]
    ports += ["--user-cache-seconds", "0", "--slate-cache-seconds", "0"]
    return [sys.executable, *program, "serve", "--workspace", str(workspace), *ports, *words]


@contextlib.contextmanager
def serving(workspace: Path, log: Path, *words: str, program: tuple[str, ...] = PLAIN) -> Iterator[ServerProcess]:
    """A server that answers; it is killed at the end if it still runs."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with log.open("w") as errors:
        process = subprocess.Popen(
            command(workspace, *words, program=program),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment,
        )
    try:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if found := re.search(r"http://127\.0\.0\.1:(\d+) .*gRPC on port (\d+)", line):
                yield ServerProcess(process, int(found[1]), int(found[2]))
                return
        raise AssertionError("".join(said) + log.read_text())
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def own(workspace, folder):
    """A workspace of a test's own, which it may break."""
    copied = folder / "workspace"
    shutil.copytree(workspace.root, copied, symlinks=True, ignore=shutil.ignore_patterns("LOCK", "impressions"))
    return type(workspace)(copied)


def fails(workspace: Path, *words: str) -> str:
    """What `souk serve` prints where it does not start."""
    ended = subprocess.run(command(workspace, *words), capture_output=True, text=True, timeout=120)
    assert ended.returncode != 0
    return ended.stdout + ended.stderr
