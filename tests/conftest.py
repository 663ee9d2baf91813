"""What holds for every test: no accelerator, no chatter of TensorFlow, no telemetry, no example judged by a clock.

Outside tools: tests/requirements.py.
"""

import importlib.util
import os

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("FEAST_USAGE", "False")
# As many tests run at one time as there are cores, of models so small that a thread costs more than it brings.
for threads in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(threads, "1")

# Tests with an environment of their own: `make drift-test` and `make bench-quality-test` run them there.
OWN = {"drift": "alibi_detect", "quality": "rectools"}
collect_ignore = [folder for folder, package in OWN.items() if not importlib.util.find_spec(package)]

# A slow machine breaks no property: an example may take as long as it does. (tests/quality goes without hypothesis.)
if importlib.util.find_spec("hypothesis"):
    from hypothesis import HealthCheck, settings

    settings.register_profile("souk", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("souk")

# Files that take minutes, the longest first: begun last, each would keep one process busy while the others are done.
LONG = (
    "test_pipeline_faults",
    "test_models_memory",
    "test_degenerate",
    "test_simulator_lifetime",
    "test_pipeline_marketplace",
    "test_models_checkpoint",
    "test_pipeline_tuning",
    "test_serving_kafka",
    "test_features_build",
)


def pytest_collection_modifyitems(items):
    """Puts them first."""
    place = {name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path.stem, len(LONG)))


@pytest.fixture(scope="session")
def redis(tmp_path_factory):
    """A Redis that no test may harm."""
    from tests.redis_server import redis_server

    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server
