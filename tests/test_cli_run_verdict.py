"""What `souk run` says of a rejection: what it rests on, which release stays, and what an equal model would ask."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from souk.cli.run import _just_below, _share, _tell_success
from souk.cli.view import RunView
from souk.config import DatasetConfig
from souk.evaluation.verdict import Rule, Verdict
from souk.publication import BEGUN, LOCK, REGISTRY
from souk.release.manifest import write_manifest
from souk.release.pointer import point, refuse
from souk.workspace import Workspace
from tests.pipeline_fixtures import small_copy


@pytest.mark.parametrize(
    ("lead", "guardrails", "words"),
    [
        (True, ("popularity_bias", "calibration"), "better, but guardrails broke: popularity_bias, calibration (what"),
        (False, ("calibration",), "not better than what it had to beat; nothing was deployed"),
        (False, (), "not better than what it had to beat; nothing was deployed"),
    ],
)
def test_a_rejection_says_what_it_rests_on_and_which_release_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lead: bool, guardrails: tuple[str, ...], words: str
) -> None:
    workspace = Workspace(tmp_path / "workspace")
    (workspace.releases / "small-0123456789ab").mkdir(parents=True)
    workspace.current.symlink_to(workspace.releases / "small-0123456789ab")
    workspace.feast.mkdir()
    (workspace.feast / REGISTRY).touch()
    rules = (Rule("beats_champion", lead, {}, "a lead"), *(Rule(name, False, {}, "too much") for name in guardrails))
    (tmp_path / "verdict.json").write_text(Verdict("reject", "small-0123456789ab", rules).to_json(), "utf-8")
    view = RunView(sys.stdout, sys.stderr)
    view.outputs = {"evaluate": {"Output": "reject", "evaluation": SimpleNamespace(path=str(tmp_path))}}
    _tell_success(view, workspace, None, tmp_path / "run.log")
    verdict, release, _ = capsys.readouterr().out.splitlines()
    assert verdict.startswith(f"verdict   reject: {words}") and verdict.endswith("; nothing was deployed")
    assert release.startswith("release   small-0123456789ab (the one from before this run; it has the items of then: ")
    assert "souk items upsert brings newer ones" in release
    assert release.endswith(
        "it has the users of this run's data: build_features published them, or souk users publish does)"
    )


@pytest.mark.parametrize("left", ["", BEGUN])
def test_a_rejection_of_a_release_without_user_states_says_what_brings_them_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], left: str
) -> None:
    """No run does, as long as challengers are rejected: the features are in the cache, and `deploy` does not run."""
    workspace = Workspace(tmp_path / "workspace")
    (workspace.releases / "small-0123456789ab").mkdir(parents=True)
    workspace.current.symlink_to(workspace.releases / "small-0123456789ab")
    workspace.feast.mkdir()
    for file in (REGISTRY, LOCK, BEGUN) if left else ():
        (workspace.feast / file).touch()
    if left:
        (workspace.feast / BEGUN).write_text("begun 1")
    view = RunView(sys.stdout, sys.stderr)
    view.outputs = {"evaluate": {"Output": "reject"}}
    _tell_success(view, workspace, None, tmp_path / "run.log")
    _, release, warning, _ = capsys.readouterr().out.splitlines()
    assert release.endswith("souk items upsert brings newer ones)"), "of users it says nothing"
    why = "a publication of user states in" if left else "no user states in"
    assert warning.startswith(f"          WARNING: {why} {workspace.feast}")
    assert "souk users publish writes the states of the newest run" in warning


@pytest.mark.parametrize(
    ("name", "interval", "margin", "told"),
    [
        ("beats_champion", (-0.01, 0.02), 0.0, True),
        ("beats_champion", (-0.01, 0.02), 0.01, True),  # a lead that is asked for, and may be there
        ("beats_champion", (-0.03, -0.01), 0.0, False),  # worse
        ("beats_champion", (-0.03, 0.01), -0.01, False),  # known already
        ("beats_champion", (0.01, 0.02), 0.0, False),  # of too few users
        ("beats_popularity", (-0.01, 0.02), 0.0, False),  # the first release
        ("beats_champion", (), 0.0, False),
    ],
)
def test_a_model_that_may_be_equal_is_told_the_margin(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    interval: tuple[float, ...],
    margin: float,
    told: bool,
) -> None:
    numbers = {
        "metric": "ndcg@10",
        "margin": margin,
        "champion": 0.1,
        **dict(zip(("low", "high"), interval, strict=False)),
    }
    rule = Rule(name, False, numbers, "a lead")
    (tmp_path / "verdict.json").write_text(Verdict("reject", "small-0123456789ab", (rule,)).to_json(), "utf-8")
    view = RunView(sys.stdout, sys.stderr)
    view.outputs = {"evaluate": {"Output": "reject", "evaluation": SimpleNamespace(path=str(tmp_path))}}
    _tell_success(view, Workspace(tmp_path / "workspace"), None, tmp_path / "run.log")
    lines = capsys.readouterr().out.splitlines()
    what = {
        0.0: "not better than what it had to beat",
        0.01: "not surely better than champion by more than 0.01 of ndcg@10",
        -0.01: "may be worse than champion by more than 0.01 of ndcg@10",
    }
    assert lines[0] == f"verdict   reject: {what[margin]}; nothing was deployed"
    equal = (
        "          an equal model is not promoted: who trains anew each week, and wants it, sets evaluate.margin below"
    )
    assert lines[1].startswith(equal) == told
    means = (
        "(-0.011 would have promoted this one: surely not worse by more than 0.011 of ndcg@10, 11% of the champion's"
    )
    assert (means in lines[1]) == told


@pytest.mark.parametrize(
    ("low", "told"),
    [(-0.010017, -0.011), (-0.0093, -0.0094), (-0.01, -0.011), (-0.25, -0.26), (-0.00002, -0.0001), (0.0, -0.0001)],
)
def test_the_margin_that_is_told_would_have_passed(low: float, told: float) -> None:
    assert _just_below(low) == told < low


@pytest.mark.parametrize(("users", "passed"), [(19, True), (20, False)])
def test_no_margin_is_told_where_none_would_have_passed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], users: int, passed: bool
) -> None:
    numbers = {"metric": "ndcg@10", "margin": 0.0, "low": -0.01, "high": 0.02, "users": users, "champion": 0.1}
    rules = (Rule("beats_champion", False, numbers, "a lead"), Rule("coverage", passed, {}, "less"))
    (tmp_path / "verdict.json").write_text(Verdict("reject", "small-0123456789ab", rules).to_json(), "utf-8")
    view = RunView(sys.stdout, sys.stderr)
    view.outputs = {"evaluate": {"Output": "reject", "evaluation": SimpleNamespace(path=str(tmp_path))}}
    _tell_success(view, Workspace(tmp_path / "workspace"), None, tmp_path / "run.log")
    assert "evaluate.margin" not in capsys.readouterr().out


def beside_the_current_one(folder: Path) -> Workspace:
    """A workspace with `small-new`, while `small-old` is current."""
    workspace = Workspace(folder / "workspace")
    for name in ("small-old", "small-new"):
        (workspace.releases / name).mkdir(parents=True)
        write_manifest(workspace.releases / name, name, {}, {})
    point(workspace, "small-old")
    return workspace


@pytest.mark.parametrize(
    ("rollout", "refused", "told"),
    [
        (
            {"target": "inference_service", "canary_percent": 10},
            False,
            "passed the gate, and small-new has 10% of the requests; `souk deploy --config FILE --release small-new` "
            "gives it all of them",
        ),
        (
            {"target": "inference_service", "canary_percent": 10},
            True,
            "small-new was rolled back before, and is not made current again; `souk deploy --config FILE --release "
            "small-new` does it all the same",
        ),
        (
            {},
            True,
            "small-new was rolled back before, and is not made current again; `souk rollback small-new` does it all "
            "the same",
        ),
        ({"canary_percent": 10}, False, "passed the gate, and deployed, but somebody made another release current"),
    ],
)
def test_a_release_that_is_not_current_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rollout: dict[str, object], refused: bool, told: str
) -> None:
    workspace = beside_the_current_one(tmp_path)
    if refused:
        refuse(workspace, "small-new")
    view = RunView(sys.stdout, sys.stderr)
    view.outputs = {"evaluate": {"Output": "promote"}, "package_release": {"Output": "small-new"}}
    objective = {"events": ["click"]}
    config = DatasetConfig.model_validate(
        {
            "name": "small",
            "data": {"events": {"path": "x"}},
            "objectives": {"engaged": objective, "satisfied": objective},
            "load_index": {"uri": "http://milvus.milvus:19530"},
            "rollout": rollout,
        }
    )
    cluster = config.rollout.target == "inference_service"
    _tell_success(view, workspace, None, tmp_path / "run.log", _share(config), cluster)
    assert capsys.readouterr().out.splitlines()[0] == f"verdict   promote: {told}"


@pytest.mark.parametrize("share", [100, 10])
@pytest.mark.parametrize("before", ["small-old", "small-older"])
def test_a_release_that_was_not_compared_with_what_is_current_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], share: int, before: str
) -> None:
    workspace = beside_the_current_one(tmp_path)
    (tmp_path / "verdict.json").write_text(
        Verdict("promote", before, (Rule("refresh", True, {}, ""),), before).to_json(), "utf-8"
    )
    view = RunView(sys.stdout, sys.stderr)
    judged = {"Output": "promote", "evaluation": SimpleNamespace(path=str(tmp_path))}
    view.outputs = {"evaluate": judged, "package_release": {"Output": "small-new"}}
    _tell_success(view, workspace, None, tmp_path / "run.log", share)
    told = "passed the gate, but small-new was not compared with small-old, which has become current since"
    assert (told in capsys.readouterr().out) == (before != "small-old")


@pytest.mark.parametrize(("verdict", "cluster"), [("unchanged", True), ("unchanged", False), ("not_comparable", True)])
def test_an_unchanged_release_says_how_a_changed_rollout_comes_to_the_cluster(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verdict: str, cluster: bool
) -> None:
    workspace = Workspace(tmp_path / "workspace")
    (workspace.releases / "small-0123456789ab").mkdir(parents=True)
    workspace.current.symlink_to("small-0123456789ab")
    view = RunView(sys.stdout, sys.stderr)
    view.outputs = {"evaluate": {"Output": verdict}}
    _tell_success(view, workspace, None, tmp_path / "run.log", cluster=cluster)
    told = (
        "`souk deploy --config FILE --release small-0123456789ab` brings that to the cluster" in capsys.readouterr().out
    )
    assert told == (verdict == "unchanged" and cluster)


def test_an_end_that_cannot_be_recorded_takes_nothing_from_what_is_told(tmp_path: Path) -> None:
    copy = small_copy(tmp_path)
    step = copy.folder / "souk" / "steps" / "report_run.py"
    full = "    raise OSError(28, 'No space left on device')\n    folder = "
    step.write_text(step.read_text("utf-8").replace("    folder = ", full, 1), "utf-8")
    run = copy.run()
    assert run.returncode == 1 and "souk run: step report_run failed" in run.stderr
    name = os.readlink(copy.workspace / "releases" / "current")
    assert "verdict   promote" in run.stdout and f"release   {name}\n" in run.stdout
