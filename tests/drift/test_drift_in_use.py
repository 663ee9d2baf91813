"""The release that a detector compares with is not deleted meanwhile, and its metrics are those that rules name."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from souk.drift.cli import main
from souk.drift.in_use import Needed
from souk.drift.metrics import DriftMetrics
from souk.drift.windows import Monitor
from souk.release.in_use import needed
from souk.workspace import Workspace
from tests.drift.shop import RELEASE, monitor, reader, traffic, write_release
from tests.drift.test_drift_server import batch, serving

FILES = Path(__file__).parents[2] / "charts/souk/files"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with a current release."""
    place = Workspace(tmp_path_factory.mktemp("workspace"))
    write_release(place.releases / RELEASE, traffic(500, 3))
    place.current.symlink_to(RELEASE)
    return place


def test_a_check_says_which_release_it_reads(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "i").mkdir()
    words = ["--release", str(workspace.current), "--impressions", str(tmp_path / "i")]
    assert main(["check", *words]) == 0
    assert needed(workspace, time.time()) == {RELEASE}


def test_a_server_says_so_from_its_start_on(workspace: Workspace, tmp_path: Path) -> None:
    with serving(workspace.current, tmp_path / "state"):
        assert needed(workspace, time.time()) == {RELEASE}


def test_it_says_so_again_and_again_while_it_runs(workspace: Workspace) -> None:
    said = workspace.releases / ".needed" / RELEASE
    with Needed(workspace.releases / RELEASE, seconds=0.01).saying():
        for _ in range(2):
            said.unlink(missing_ok=True)
            until = time.monotonic() + 20
            while not said.exists() and time.monotonic() < until:
                time.sleep(0.01)
            assert said.exists()
    said.unlink()
    time.sleep(0.1)
    assert not said.exists(), "it has ended"


def test_a_volume_that_takes_nothing_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "releases").mkdir()
    (tmp_path / "releases" / ".needed").write_text("no folder")
    needs = Needed(tmp_path / "releases" / RELEASE)
    needs.say()
    needs.say()
    assert caplog.text.count("`souk release prune` may delete it") == 1 and RELEASE in caplog.text


def test_a_release_of_no_workspace_leaves_its_folder_as_it_is(tmp_path: Path) -> None:
    Needed(tmp_path / RELEASE).say()
    Needed(Path("/mnt")).say()
    assert list(tmp_path.iterdir()) == []


def test_the_rules_and_the_dashboard_name_metrics_of_the_detector(release: Path) -> None:
    watched: Monitor = monitor(release)
    for number in range(2):
        records = batch(400, number, 400 * number)["instances"]
        rows, _ = reader(release).records(records, 0)
        watched.take(rows, {})
    told = {sample.name for metric in DriftMetrics(watched).collect() for sample in metric.samples}
    for file in ("rules.yaml", "dashboard.json"):
        named = set(re.findall(r"\bsouk_drift_[a-z_]+", (FILES / file).read_text()))
        assert {"souk_drift_alarm", "souk_drift_other_release_total"} <= named <= told, file
