"""`souk submit` against a Kubeflow Pipelines server of the test (tests/kfp_server.py)."""

import functools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from souk.cli import main, training
from souk.cli.code import code_digests
from tests.kfp_server import Kubeflow, serve

CONFIG = """name: small
data:
  events: {path: events.csv}
objectives:
  engaged: {events: [click]}
  satisfied: {events: [click]}
"""


@functools.cache
def _digests(steps: frozenset[str]) -> dict[str, str]:
    return code_digests(steps)


def digests_of_now(steps: Iterable[str]) -> dict[str, str]:
    """The digests of the code as it was at the first call: a checkout that is edited meanwhile changes no test."""
    return _digests(frozenset(steps))


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config with data; no token of the environment, and code that stays as it is during the test."""
    monkeypatch.delenv("SOUK_KFP_TOKEN", raising=False)
    monkeypatch.setattr(training, "code_digests", digests_of_now)
    (tmp_path / "events.csv").write_text("user_id,item_id\nu1,i1\n", "utf-8")
    path = tmp_path / "small.yaml"
    path.write_text(CONFIG, "utf-8")
    return path


@pytest.fixture
def kubeflow() -> Kubeflow:
    """What the server of `url` holds; single-user and open until a test says otherwise."""
    return Kubeflow()


@pytest.fixture
def url(kubeflow: Kubeflow) -> Iterator[str]:
    with serve(kubeflow) as url:
        yield url


def submit(url: str, config: Path, *words: str) -> int:
    """The exit code of `souk submit`."""
    return main(["submit", "--host", url, "--config", str(config), *words])


def asked(kubeflow: Kubeflow, operation: str) -> list[dict[str, Any]]:
    """What the server was asked by this operation: bodies or queries."""
    return [value for name, value in kubeflow.requests if name == operation]
