"""`souk submit --wait`: progress as the server tells it, the end, why a run failed, and the deadline."""

import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from souk.cli import submit as submitting
from souk.cli.kubeflow import Server
from souk.cli.kubeflow_wait import SILENCE_SECONDS, follow, reasons, task_names
from souk.cli.training import load_pipeline
from souk.errors import SoukError
from tests.kfp_server import Kubeflow, serve
from tests.submit_fixtures import *  # noqa: F403
from tests.submit_fixtures import asked, submit

WAIT = ("--wait", "--poll", "0.001")


def task(name: str, state: str, error: str = "") -> dict:
    return {"display_name": name, "state": state, **({"error": {"code": 2, "message": error}} if error else {})}


def test_a_run_is_followed_to_its_end(
    kubeflow: Kubeflow, url: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kubeflow.states = ["PENDING", "RUNNING", "RUNNING", "RUNNING", "SUCCEEDED"]
    running = [task("root-driver", "SUCCEEDED"), task("ingest", "RUNNING")]
    kubeflow.tasks = [[], running, running, [task("ingest", "SUCCEEDED"), task("build-features", "RUNNING")]]
    assert submit(url, config, *WAIT) == 0
    lines = [line.split()[2:] for line in capsys.readouterr().out.splitlines() if " s  " in line]
    assert lines == [
        ["run", "PENDING"],
        ["run", "RUNNING"],
        ["ingest", "RUNNING"],
        ["ingest", "SUCCEEDED"],
        ["build-features", "RUNNING"],
        ["run", "SUCCEEDED"],
    ]


@pytest.mark.parametrize("state", ["FAILED", "CANCELED"])
def test_a_run_that_does_not_succeed_says_why(
    state: str, kubeflow: Kubeflow, url: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kubeflow.states, kubeflow.error = ["RUNNING", state], "child tasks failed"
    kubeflow.tasks = [[task("ingest", "FAILED", "Expected column price. Received: none."), task("deploy", "SKIPPED")]]
    assert submit(url, config, *WAIT) == 1
    error = capsys.readouterr().err
    assert "  ingest: Expected column price. Received: none." in error
    assert ("  run: child tasks failed" in error) == (state == "FAILED")
    assert f"souk submit: the run ended {state}" in error


def test_a_server_that_tells_no_reason(kubeflow: Kubeflow, url: str, config: Path) -> None:
    kubeflow.states = ["FAILED"]
    assert submit(url, config, *WAIT) == 1
    server = Server(url)
    server.open()
    assert reasons(server.run(kubeflow.runs[0]["run_id"])) == ["the server says FAILED and no more"]


def test_the_deadline_ends_the_waiting_and_not_the_run(
    kubeflow: Kubeflow, url: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kubeflow.states = ["RUNNING"]
    assert submit(url, config, *WAIT, "--deadline", "1e-9") == 2
    error = capsys.readouterr().err
    assert "Expected the run to end in 1e-09 minutes. Received: RUNNING." in error
    assert f"The run {kubeflow.runs[0]['run_id']} goes on there." in error


def test_who_stops_waiting_is_told_that_the_run_goes_on(
    kubeflow: Kubeflow, url: str, config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    kubeflow.states = ["RUNNING"]
    monkeypatch.setattr(submitting, "time", SimpleNamespace(monotonic=time.monotonic, sleep=interrupted))
    assert submit(url, config, *WAIT) == 130
    told = capsys.readouterr().err
    assert f"The run {kubeflow.runs[0]['run_id']} goes on there." in told and "souk submit: interrupted" in told


def test_a_token_that_ends_while_it_waits_ends_no_run(
    kubeflow: Kubeflow, url: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kubeflow.broken["run_service_get_run"] = (401, "the token has expired")
    assert submit(url, config, *WAIT) == 2
    told = capsys.readouterr().err
    assert "--token-file FILE" in told and f"The run {kubeflow.runs[0]['run_id']} goes on there." in told


class Clock:
    """Seconds that pass by sleeping, and what happens at some of them."""

    def __init__(self, kubeflow: Kubeflow, broken_until: float) -> None:
        self.kubeflow, self.broken_until, self.seconds = kubeflow, broken_until, 0.0
        self.kubeflow.broken["run_service_get_run"] = (503, "upstream connect error")

    def __call__(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        if self.seconds >= self.broken_until:
            self.kubeflow.broken.clear()


def wait(url: str, kubeflow: Kubeflow, clock: Clock, seconds: float = 3600.0) -> str:
    server = Server(url)
    server.open()
    kubeflow.runs.append({"run_id": "r", "state": "PENDING"})
    return str(follow(server, "r", set(), seconds, 10.0, lambda _: None, clock, clock.sleep).state)


def test_a_server_that_restarts_meanwhile_does_no_harm(kubeflow: Kubeflow, url: str) -> None:
    clock = Clock(kubeflow, broken_until=120.0)
    assert wait(url, kubeflow, clock) == "SUCCEEDED"
    assert clock.seconds == 140.0


def test_a_server_that_stays_silent_ends_the_waiting(kubeflow: Kubeflow, url: str) -> None:
    clock = Clock(kubeflow, broken_until=1e9)
    with pytest.raises(SoukError, match=r"HTTP 503 upstream connect error. The run r goes on there."):
        wait(url, kubeflow, clock)
    assert SILENCE_SECONDS < clock.seconds <= SILENCE_SECONDS + 20


def test_a_token_that_is_renewed_meanwhile_is_read_anew(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    token = tmp_path / "token"
    token.write_text("first", "utf-8")

    class Renewed(Kubeflow):
        """Wants another token once the run is started, as in a pod whose token is replaced in place."""

        def run_service_create_run(self, **given: object) -> dict:
            token.write_text("second", "utf-8")
            self.token = "second"
            return super().run_service_create_run(**given)  # type: ignore[arg-type]

    kubeflow = Renewed(token="first")
    with serve(kubeflow) as url:
        assert submit(url, config, *WAIT, "--token-file", str(token)) == 0
    assert len(asked(kubeflow, "run_service_get_run")) == 3
    assert "SUCCEEDED" in capsys.readouterr().out


def test_tasks_are_told_by_the_names_that_the_server_uses() -> None:
    names = task_names(load_pipeline())
    assert {"ingest", "build-features", "build_features", "deploy", "report_run"} <= names
    assert not names & {"root-driver", "executor"}
