"""What holds for every test: no accelerator, no chatter of TensorFlow, no telemetry.

Outside tools: tests/requirements.py.
"""

import importlib.util
import os

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("FEAST_USAGE", "False")

# Tests with an environment of their own: `make drift-test` and `make bench-quality-test` run them there.
OWN = {"drift": "alibi_detect", "quality": "rectools"}
collect_ignore = [folder for folder, package in OWN.items() if not importlib.util.find_spec(package)]


@pytest.fixture(scope="session")
def redis(tmp_path_factory):
    """A Redis that no test may harm."""
    from tests.redis_server import redis_server

    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server
