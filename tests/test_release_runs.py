"""Which runs a workspace keeps: those used last, and those that something needs."""

import json
import os
from pathlib import Path

import pytest

from souk.release.manifest import write_manifest
from souk.release.pointer import point, rollback
from souk.release.runs import GONE, artifacts_of, newest_states, sweep
from souk.steps.report_run import report_run
from souk.workspace import Workspace
from tests.full_disk import largest_file
from tests.release_fixtures import SPEC


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Ten runs, a second apart; each has tables and features of its own data."""
    workspace = Workspace(tmp_path)
    for number in range(10):
        run = workspace.runs / f"training-{number}"
        tables, features = run / "ingest" / "tables", run / "build-features" / "features"
        for folder in (tables, features):
            folder.mkdir(parents=True)
        (tables / "manifest.json").write_text(json.dumps({"fingerprint": f"data {number}"}))
        (features / "spec.json").write_text(SPEC.to_json())
        (features / "windows.json").write_text(json.dumps({"test_start": number}))
        run.with_name(f"{run.name}.json").write_text("{}")
        os.utime(run, (number, number))
    (workspace.runs / "20261126.log").write_text("all that was printed")
    (workspace.runs / ".kfp_cache").mkdir()
    return workspace


def release(workspace: Workspace, number: int) -> Path:
    """A deployed release that came of the data of a run."""
    folder = workspace.releases / f"shop-{number:012x}"
    (folder / "twin").mkdir(parents=True)
    twin = {"trained_until": number, "spec_hash": SPEC.hash}
    (folder / "twin" / "bundle.json").write_text(json.dumps(twin))
    write_manifest(folder, folder.name, {}, {"data": {"fingerprint": f"data {number}"}})
    point(workspace, folder.name)
    return folder


def left(workspace: Workspace) -> list[int]:
    runs = sorted(path for path in workspace.runs.glob("training-*") if path.is_dir())
    ends = sorted(path.stem for path in workspace.runs.glob("training-*.json"))
    assert ends == [run.name for run in runs], "how a run ended goes with it"
    assert (workspace.runs / ".kfp_cache").is_dir() and (workspace.runs / "20261126.log").is_file()
    return [int(run.name.partition("-")[2]) for run in runs]


def test_runs_of_one_name_leave_an_end_each(tmp_path):
    """On a server the name is the config's, or whatever --run-name says; the resource's name is the run's own."""
    for run, state in (("training-x7d2k", "FAILED"), ("training-b4wzq", "SUCCEEDED")):
        report_run(run, "team/nightly", str(tmp_path), state, "")
    ends = {path.name: json.loads(path.read_text()) for path in tmp_path.rglob("*.*")}
    states = {file: (end["run"], end["name"], end["state"]) for file, end in ends.items()}
    assert states == {
        "training-x7d2k.json": ("training-x7d2k", "team/nightly", "FAILED"),
        "training-b4wzq.json": ("training-b4wzq", "team/nightly", "SUCCEEDED"),
    }


def test_an_end_that_a_full_disk_refuses_leaves_nothing_half(tmp_path):
    with largest_file(10), pytest.raises(OSError, match="large"):
        report_run("training-x7d2k", "nightly", str(tmp_path), "FAILED", "")
    assert list((tmp_path / "runs").iterdir()) == []


def test_what_a_killed_run_left_of_its_end_is_cleared(workspace):
    for name in (".training-3.json.part", ".training-3.json.partial", ".20261126.steps.json.partial"):
        (workspace.runs / name).touch()
    sweep(workspace, 0, [])
    assert [path.name for path in workspace.runs.glob(".*")] == [".kfp_cache"]


def test_the_runs_that_were_used_last_are_kept(workspace):
    assert sweep(workspace, 0, []) == [] and len(left(workspace)) == 10
    assert sweep(workspace, 8, []) == ["training-0", "training-1"]
    assert left(workspace) == [*range(2, 10)]


def test_a_run_whose_output_was_taken_from_the_cache_was_used(workspace):
    """It is kept however few are kept, and counts as the youngest of those that are."""
    taken = workspace.runs / "training-1" / "ingest" / "tables"
    sweep(workspace, 1, [taken, Path("/elsewhere"), workspace.runs / "training-12" / "gone"])
    assert left(workspace) == [1]


def test_what_several_runs_used_is_all_kept(workspace):
    sweep(workspace, 1, [workspace.runs / f"training-{number}" / "x" for number in (1, 3, 5)])
    assert left(workspace) == [1, 3, 5]
    sweep(workspace, 1, [workspace.runs / "training-3" / "x"])
    assert left(workspace) == [3]


def test_what_the_current_release_and_the_one_before_came_of_is_kept(workspace):
    for number in (0, 2, 4):
        folder = release(workspace, number)
    tables, features = artifacts_of(workspace, folder)
    assert tables.parts[-3] == features.parts[-3] == "training-4"
    sweep(workspace, 1, [])
    assert left(workspace) == [2, 4, 9]
    rollback(workspace)
    sweep(workspace, 1, [])
    assert left(workspace) == [2, 9], "nothing goes back from one that was gone back from, and 0 is gone"
    assert artifacts_of(workspace, folder) == (None, None)


def test_tables_and_features_are_those_of_the_release_and_not_what_the_same_files_were_read_to_later(workspace):
    folder = release(workspace, 4)
    write_manifest(folder, folder.name, {}, {"data": {"fingerprint": "data 4", "content": "as it was"}})

    def noted(run: str, content: str) -> None:
        tables, features = (workspace.runs / run / each for each in ("ingest/tables", "build-features/features"))
        (tables / "manifest.json").write_text(json.dumps({"fingerprint": "data 4", "content": content}))
        (features / "tables.json").write_text(json.dumps({"content": content}))
        (features / "windows.json").write_text(json.dumps({"test_start": 4}))

    noted("training-4", "as it was")
    noted("training-9", "with outliers clipped")
    assert {path.parts[-3] for path in artifacts_of(workspace, folder)} == {"training-4"}
    noted("training-4", "of another version")
    assert artifacts_of(workspace, folder) == (None, None)


def test_a_sweep_that_was_killed_is_finished_by_the_next(workspace):
    (workspace.runs / f"{GONE}training-00" / "ingest").mkdir(parents=True)
    sweep(workspace, 9, [])
    assert not [*workspace.runs.glob(f"{GONE}*")]
    assert left(workspace) == [*range(1, 10)]


def test_the_states_to_publish_are_the_newest_of_the_specification(workspace):
    assert newest_states(workspace, SPEC.hash) is None
    for number in (3, 5):
        (workspace.runs / f"training-{number}" / "build-features" / "features" / "user_state.parquet").touch()
    assert newest_states(workspace, SPEC.hash).parts[-4] == "training-5"
    assert newest_states(workspace, "another") is None


def states(workspace: Workspace, run: str, of: str) -> Path:
    """A run's features, with their states."""
    features = workspace.runs / run / "build-features" / "features"
    features.mkdir(parents=True, exist_ok=True)
    (features / "spec.json").write_text(SPEC.to_json())
    (features / "user_state.parquet").write_text(of)
    return features


@pytest.mark.parametrize("later", ["training-2026-11-30-01-00-00-000001", "tuning-2026-11-30-02-00-00-000001"])
def test_the_newest_states_are_those_of_the_last_run_whatever_its_name(tmp_path: Path, later: str) -> None:
    """The clock of the place went back an hour, or another pipeline ran before."""
    workspace = Workspace(tmp_path)
    for before in ("training-2026-11-30-01-30-00-000001", "tuning-2026-11-30-01-40-00-000001"):
        sweep(workspace, 20, [states(workspace, before, "of before")])
    sweep(workspace, 20, [states(workspace, later, "of the last")])
    found = newest_states(workspace, SPEC.hash)
    assert found is not None and found.read_text() == "of the last"


def test_the_newest_states_are_those_that_the_last_run_took_from_the_cache(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    export = states(workspace, "training-1", "of the first export")
    sweep(workspace, 20, [export])
    sweep(workspace, 20, [states(workspace, "training-2", "of the second")])
    (workspace.runs / "training-3" / "evaluate").mkdir(parents=True)
    sweep(workspace, 20, [export, workspace.runs / "training-3" / "evaluate"])
    found = newest_states(workspace, SPEC.hash)
    assert found is not None and found.read_text() == "of the first export"


def test_of_two_runs_that_the_last_one_used_the_features_that_were_made_later_are_its_own(tmp_path: Path) -> None:
    """The tables of one whose features had other settings, and the features of the other."""
    workspace = Workspace(tmp_path)
    for number, order in enumerate((("9", "1"), ("1", "9"))):
        first, second = (f"training-{number}{letter}" for letter in order)
        old, new = states(workspace, first, "of other settings"), states(workspace, second, "of these")
        os.utime(old / "user_state.parquet", (1, 1))
        sweep(workspace, 20, [workspace.runs / first / "ingest" / "tables", new])
        found = newest_states(workspace, SPEC.hash)
        assert found is not None and found.read_text() == "of these"
