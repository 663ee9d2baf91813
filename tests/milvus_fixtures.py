"""A Milvus server, from the PyPI wheel that has one inside (`make tools`): one at a time, since a port is fixed."""

import contextlib
import os
import signal
import socket
import subprocess
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


@contextlib.contextmanager
def real_milvus(folder: Path):
    """A server with its data in `folder`: its address."""
    if not (MILVUS / ".installed").exists():
        absent("the Milvus server", "make tools")
    folder.mkdir(parents=True)
    (folder / "bin").symlink_to(MILVUS / "unpacked" / "bin")
    port = free_port()
    command = [str(MILVUS / "bin" / "python"), "-c", PROGRAM, str(folder), str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        health, until = (
            f"http://127.0.0.1:{process.stdout.readline().strip()}/healthz",
            time.monotonic() + START_SECONDS,
        )
        while not healthy(health):
            log = folder / "logs" / "milvus-stdout.log"
            assert process.poll() is None and time.monotonic() < until, log.read_text()[-3000:]
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def healthy(address: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=5) as answer:
        return b"OK" in answer.read()
    return False
