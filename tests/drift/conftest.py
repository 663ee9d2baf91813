"""One release for all tests of the detector; whoever changes it copies it first."""

from pathlib import Path

import pytest

from tests.drift.shop import traffic, write_release


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release whose reference holds 3,000 requests."""
    return write_release(tmp_path_factory.mktemp("drift") / "release", traffic(3000, seed=1))
