"""A Milvus server of PyPI's wheel that has one inside (`make tools`): a test may kill, freeze and start it again."""

import contextlib
from pathlib import Path

from benchmarks.milvus_server import installed, milvus_server
from tests.requirements import absent


@contextlib.contextmanager
def milvus(folder: Path):
    """A server that runs; it is gone at the end."""
    if not installed():
        absent("the Milvus server", "make tools")
    with milvus_server(folder) as server:
        yield server


@contextlib.contextmanager
def real_milvus(folder: Path):
    """The address of a server that runs."""
    with milvus(folder) as server:
        yield server.uri
