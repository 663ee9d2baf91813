"""A real redis-server on this machine, which a test may kill, freeze and start again."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.ports import free_port
from tests.requirements import require

INSTALL = "apt-get install -y redis-server"
SECONDS = 30


class RedisServer:
    """A server whose data outlive it.

    Args:
        folder: for its data.
        words: more of its command line.
    """

    def __init__(self, folder: Path, *words: str) -> None:
        self._program = require("redis-server", INSTALL)
        self._folder, self._words = folder, words
        self.port = free_port()
        self.uri = f"redis://127.0.0.1:{self.port}/1"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        place = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self._folder)]
        kept = ["--save", "", "--appendonly", "yes", "--appendfsync", "always"]
        with (self._folder / "redis.log").open("ab") as log:
            self.process = subprocess.Popen([self._program, *place, *kept, *self._words], stdout=log, stderr=log)
        until = time.monotonic() + SECONDS
        while not self._answers():
            assert self.process.poll() is None and time.monotonic() < until, (self._folder / "redis.log").read_text()
            time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """It neither answers nor refuses meanwhile."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)
        os.waitpid(self.process.pid, os.WUNTRACED)  # a busy machine stops it only after a while
        try:
            yield
        finally:
            os.kill(self.process.pid, signal.SIGCONT)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(1) in (b"+", b"-")  # - asks for a password
        return False


@contextlib.contextmanager
def redis_server(folder: Path, *words: str) -> Iterator[RedisServer]:
    """A server that runs; it is gone at the end."""
    server = RedisServer(folder, *words)
    server.start()
    try:
        yield server
    finally:
        server.kill()
