"""A Milvus server, from the PyPI wheel that has one inside (`make tools`): a test may kill, freeze and start it again.

One at a time on a machine, since a port of its etcd is fixed: others wait for it.
"""

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

from tests.requirements import TOOLS, absent

MILVUS = TOOLS.parent / "milvus"
START_SECONDS = 120
PROGRAM = """
import sys
from milvus import MilvusServer
server = MilvusServer(wait_for_started=False)
server.set_base_dir(sys.argv[1])
server.listen_port = int(sys.argv[2])
server.start()
print(server.webservice_port, flush=True)
server.server_proc.wait()
"""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class RealMilvus:
    """A server.

    Args:
        folder: for its data.
    """

    def __init__(self, folder: Path):
        self._folder, self._port, self._process, self._starts = folder, free_port(), None, 0
        self.uri = f"http://127.0.0.1:{self._port}"

    def start(self):
        """Starts it without data, and waits until it is healthy. With the data of a killed one it may end by itself
        within a minute, since it finds the other's sessions there."""
        self._starts += 1
        folder = self._folder / str(self._starts)
        folder.mkdir(parents=True)
        (folder / "bin").symlink_to(MILVUS / "unpacked" / "bin")
        command = [str(MILVUS / "bin" / "python"), "-c", PROGRAM, str(folder), str(self._port)]
        self._process = process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        health = f"http://127.0.0.1:{process.stdout.readline().strip()}/healthz"
        until = time.monotonic() + START_SECONDS
        while not healthy(health):
            log = folder / "logs" / "milvus-stdout.log"
            assert process.poll() is None and time.monotonic() < until, log.read_text()[-3000:]
            time.sleep(0.1)

    def kill(self):
        """SIGKILL to all of it."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()
            self._process = None

    @contextlib.contextmanager
    def frozen(self):
        """It neither answers nor refuses meanwhile."""
        os.killpg(self._process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self._process.pid, signal.SIGCONT)


@contextlib.contextmanager
def milvus(folder: Path):
    """A server that runs; it is gone at the end."""
    if not (MILVUS / ".installed").exists():
        absent("the Milvus server", "make tools")
    with (Path(tempfile.gettempdir()) / "souk-tests-milvus.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        server = RealMilvus(folder)
        try:
            server.start()
            yield server
        finally:
            server.kill()


@contextlib.contextmanager
def real_milvus(folder: Path):
    """The address of a server that runs."""
    with milvus(folder) as server:
        yield server.uri


def healthy(address: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=5) as answer:
        return b"OK" in answer.read()
    return False
