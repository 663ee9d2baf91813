"""A Milvus server on this machine, from the PyPI wheel that has one inside (`make tools`): it may be killed, frozen and
started again.

One at a time on a machine, since a port of its etcd is fixed: others wait for it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

HOST = "127.0.0.1"
INSTALLED = Path(__file__).parents[1] / ".tools" / "milvus"
ETCD_PORT = 2380
START_SECONDS = 120
SESSION_SECONDS = 20
PROGRAM = """
import socket, sys
import milvus

def bound(self, port):  # also where connections to a killed one linger: else the port would be another
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        one.bind(("127.0.0.1", port))
        one.listen()
    except OSError:
        return None
    return one

milvus.MilvusServerConfig.try_bind_port = bound
server = milvus.MilvusServer(wait_for_started=False)
server.set_base_dir(sys.argv[1])
server.listen_port = int(sys.argv[2])
server.config.set("common.session.ttl", int(sys.argv[3]))
server.start()
print(server.webservice_port, flush=True)
server.server_proc.wait()
"""


def installed() -> bool:
    """Whether `make tools` put one here."""
    return (INSTALLED / ".installed").exists()


class MilvusServer:
    """A server, whose data outlive it.

    Args:
        folder: for its data.
        session_seconds: that a killed one's sessions are there for, and that one may be frozen for, which ends by
            itself when they are over.
    """

    def __init__(self, folder: Path, session_seconds: int = SESSION_SECONDS) -> None:
        with socket.socket() as free:
            free.bind((HOST, 0))
            self._port = int(free.getsockname()[1])
        self._folder, self._session_seconds = folder, session_seconds
        self._process: subprocess.Popen[str] | None = None
        self.uri = f"http://{HOST}:{self._port}"

    @property
    def running(self) -> bool:
        """Whether it was started and not killed."""
        return self._process is not None

    def start(self) -> None:
        """Starts it, once a killed one has let go of the port, and waits until it is healthy. What that had is there
        again, and is loaded when its sessions have ended.

        Raises:
            RuntimeError: it does not.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            (self._folder / "bin").symlink_to(INSTALLED / "unpacked" / "bin")
        until = time.monotonic() + START_SECONDS
        while not _free(ETCD_PORT) and time.monotonic() < until:
            time.sleep(0.1)
        words = [str(self._folder), str(self._port), str(self._session_seconds)]
        command = [str(INSTALLED / "bin" / "python"), "-c", PROGRAM, *words]
        self._process = process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        assert process.stdout is not None
        health = f"http://{HOST}:{process.stdout.readline().strip()}/healthz"
        until = time.monotonic() + START_SECONDS
        while not healthy(health):
            if process.poll() is not None or time.monotonic() > until:
                log = self._folder / "logs" / "milvus-stdout.log"
                raise RuntimeError(f"Milvus does not start: {log.read_text()[-3000:]}")
            time.sleep(0.1)

    def kill(self) -> None:
        """SIGKILL to all of it."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()
            self._process = None

    def freeze(self) -> None:
        """It neither answers nor refuses (SIGSTOP)."""
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        self._send(signal.SIGCONT)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """It neither answers nor refuses meanwhile."""
        self.freeze()
        try:
            yield
        finally:
            self.thaw()

    def _send(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, number)


@contextlib.contextmanager
def milvus_server(folder: Path, session_seconds: int = SESSION_SECONDS) -> Iterator[MilvusServer]:
    """A server that runs, its arguments those of `MilvusServer`; it is gone at the end."""
    with (Path(tempfile.gettempdir()) / "souk-tests-milvus.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        server = MilvusServer(folder, session_seconds)
        try:
            server.start()
            yield server
        finally:
            server.kill()


def _free(port: int) -> bool:
    with socket.socket() as probe, contextlib.suppress(OSError):
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((HOST, port))
        return True
    return False


def healthy(address: str) -> bool:
    """Whether a server says that it is."""
    with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=5) as answer:
        return b"OK" in answer.read()
    return False
