"""A real S3 server on this machine (moto's), which a test may freeze or kill. Its objects live as long as it does."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.ports import free_port

SECONDS = 60


class S3Server:
    """A server with one bucket, `souk-bucket`.

    Args:
        folder: for its log.
    """

    bucket = "s3://souk-bucket"

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._url = f"http://127.0.0.1:{self.port}"
        with (folder / "s3.log").open("ab") as log:
            words = ["-m", "moto.server", "--host", "127.0.0.1", "--port", str(self.port)]
            self.process = subprocess.Popen([sys.executable, *words], stdout=log, stderr=log)
        until = time.monotonic() + SECONDS
        while not self._made():
            assert self.process.poll() is None and time.monotonic() < until, (folder / "s3.log").read_text()
            time.sleep(0.05)

    @property
    def environment(self) -> Mapping[str, str]:
        """What a client needs to know of it."""
        secrets = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "test")
        return {**secrets, "AWS_ENDPOINT_URL_S3": self._url}

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """It neither answers nor refuses meanwhile."""
        os.kill(self.process.pid, signal.SIGSTOP)
        os.waitpid(self.process.pid, os.WUNTRACED)  # a busy machine stops it only after a while
        try:
            yield
        finally:
            os.kill(self.process.pid, signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()

    def _made(self) -> bool:
        """Whether the bucket is there."""
        bucket = self.bucket.removeprefix("s3://")
        try:
            urllib.request.urlopen(urllib.request.Request(f"{self._url}/{bucket}", method="PUT"), timeout=5).close()
        except (urllib.error.URLError, OSError):
            return False
        return True
