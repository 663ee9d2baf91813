"""`souk submit --cron` and `--every`: when a run is due, and how a new recurring run takes the place of the old."""

from argparse import ArgumentTypeError
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from souk.cli.options import cron_line, hours
from tests.kfp_server import Kubeflow
from tests.submit_fixtures import *  # noqa: F403
from tests.submit_fixtures import submit

OPERATION = "recurring_run_service_{}_recurring_run"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("0 3 * * *", "0 0 3 * * *"),
        (" 30  4 * * 1-5 ", "0 30 4 * * 1-5"),
        ("15 0 3 * * *", "15 0 3 * * *"),
        ("@daily", "@daily"),
    ],
)
def test_a_cron_line_gets_the_seconds_that_the_server_reads_first(text: str, line: str) -> None:
    assert cron_line(text) == line


@pytest.mark.parametrize("text", ["", "0 3 * *", "0 0 3 * * * 2027", "daily"])
def test_another_cron_line_is_refused(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="expected 5 fields"):
        cron_line(text)


@pytest.mark.parametrize("text", ["0", "-1", "soon", "nan", "1e9"])
def test_no_hours_are_refused(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="expected hours"):
        hours(text)


def test_a_recurring_run_is_made_and_no_run_is_started(
    kubeflow: Kubeflow, url: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert submit(url, config, "--cron", "0 3 * * *") == 0
    [made] = kubeflow.recurring
    assert kubeflow.runs == []
    assert made["trigger"] == {"cron_schedule": {"cron": "0 0 3 * * *"}}
    assert (made["display_name"], made["status"], made["max_concurrency"]) == ("small", "ENABLED", "1")
    assert made["no_catchup"] is True
    [version] = kubeflow.versions
    assert made["pipeline_version_reference"]["pipeline_version_id"] == version["pipeline_version_id"]
    assert f"{url}/#/recurringrun/details/{made['recurring_run_id']}" in capsys.readouterr().out


def test_its_version_is_another_than_that_of_a_single_run(kubeflow: Kubeflow, url: str, config: Path) -> None:
    """The recurring one reads its data anew each time."""
    assert submit(url, config) == 0
    assert submit(url, config, "--every", "12") == 0
    assert kubeflow.recurring[0]["trigger"] == {"periodic_schedule": {"interval_second": "43200"}}
    assert len(kubeflow.versions) == 2


class Watched(Kubeflow):
    """Keeps how many recurring runs of each name were ever enabled at once."""

    most = 0

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if not name.endswith("_recurring_run"):
            return found

        def watched(**given: Any) -> Any:
            answer = found(**given)
            enabled = Counter(r["display_name"] for r in self.recurring if r["status"] == "ENABLED")
            self.most = max(self.most, *enabled.values(), 0)
            return answer

        return watched


@pytest.fixture
def kubeflow() -> Watched:
    return Watched()


def test_the_one_of_its_name_is_replaced_and_never_two_are_enabled(
    kubeflow: Watched, url: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert submit(url, config, "--every", "24") == 0
    assert submit(url, config, "--every", "24", "--recurring-name", "other") == 0
    kubeflow.requests.clear()
    assert submit(url, config, "--cron", "@daily") == 0
    assert "recurring   small (replaces 1)" in capsys.readouterr().out
    assert [(r["display_name"], r["status"]) for r in kubeflow.recurring] == [
        ("other", "ENABLED"),
        ("small", "ENABLED"),
    ]
    assert kubeflow.recurring[1]["trigger"] == {"cron_schedule": {"cron": "@daily"}}
    assert kubeflow.most == 1
    changes = [name for name, _ in kubeflow.requests if name.endswith("_recurring_run")]
    assert changes == [OPERATION.format(verb) for verb in ("create", "disable", "enable", "delete")]


def test_one_of_another_pipeline_is_left_alone(
    kubeflow: Kubeflow, url: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reference = {"pipeline_id": "theirs", "pipeline_version_id": "v"}
    theirs = {"recurring_run_id": "r", "display_name": "small", "status": "ENABLED"}
    kubeflow.recurring.append({**theirs, "pipeline_version_reference": reference})
    before = [dict(item) for item in kubeflow.recurring]
    assert submit(url, config, "--every", "24") == 2
    assert "one of another pipeline. Choose another name: --recurring-name NAME." in capsys.readouterr().err
    assert kubeflow.recurring == before


@pytest.mark.parametrize("step", ["create", "disable", "enable"])
def test_where_the_server_refuses_a_step_the_old_one_goes_on(
    step: str, kubeflow: Kubeflow, url: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert submit(url, config, "--every", "24") == 0
    [old] = [item["recurring_run_id"] for item in kubeflow.recurring]
    refuse_once(kubeflow, OPERATION.format(step))
    assert submit(url, config, "--every", "12") == 2
    assert [(r["recurring_run_id"], r["status"]) for r in kubeflow.recurring] == [(old, "ENABLED")]
    error = capsys.readouterr().err
    assert "HTTP 500 busy" in error
    assert step == "create" or "The recurring runs are as they were." in error


def test_what_could_not_be_undone_is_said(
    kubeflow: Kubeflow, url: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert submit(url, config, "--every", "24") == 0
    kubeflow.broken[OPERATION.format("enable")] = (500, '{"message": "busy"}')
    assert submit(url, config, "--every", "12") == 2
    assert "Look at the recurring runs: the old one, recurring-run-" in capsys.readouterr().err
    assert [r["status"] for r in kubeflow.recurring] == ["DISABLED"]


def test_an_old_one_that_stays_disabled_since_the_new_one_may_be_left_is_said(
    kubeflow: Kubeflow, url: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As where the server goes away midway: nothing runs at night then, unless somebody looks."""
    assert submit(url, config, "--every", "24") == 0
    [old] = [item["recurring_run_id"] for item in kubeflow.recurring]
    for verb in ("enable", "delete"):
        kubeflow.broken[OPERATION.format(verb)] = (500, '{"message": "busy"}')
    assert submit(url, config, "--every", "12") == 2
    assert [r["status"] for r in kubeflow.recurring] == ["DISABLED", "DISABLED"]
    new = kubeflow.recurring[1]["recurring_run_id"]
    told = f"the new one, {new}, may be left, enabled or not; the old one, {old}, may be disabled."
    assert told in capsys.readouterr().err


def test_an_old_one_that_cannot_be_deleted_stays_disabled(kubeflow: Kubeflow, url: str, config: Path) -> None:
    assert submit(url, config, "--every", "24") == 0
    kubeflow.broken[OPERATION.format("delete")] = (500, '{"message": "busy"}')
    assert submit(url, config, "--every", "12") == 0
    assert [r["status"] for r in kubeflow.recurring] == ["DISABLED", "ENABLED"]


def test_a_recurring_run_is_not_waited_for(url: str, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert submit(url, config, "--every", "24", "--wait") == 2
    assert "--wait with a single run" in capsys.readouterr().err


def test_a_recurring_run_compares_with_what_is_current_by_then(
    kubeflow: Kubeflow, url: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert submit(url, config, "--cron", "@daily", "--champion", "small-0123456789ab") == 2
    assert "--champion with a single run" in capsys.readouterr().err
    assert not kubeflow.requests, "nothing is sent"


def refuse_once(kubeflow: Kubeflow, operation: str) -> None:
    """Makes the next request of this operation end in HTTP 500, and those after it as ever."""

    class Once(dict[str, tuple[int, str]]):
        def __getitem__(self, name: str) -> tuple[int, str]:
            return self.pop(name)

    kubeflow.broken = Once({operation: (500, '{"message": "busy"}')})
