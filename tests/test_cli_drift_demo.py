"""What the drift demo plants, and what it says where it cannot run."""

import json
from pathlib import Path

import pytest

from souk.cli import main
from souk.cli.drift_demo import SHIFTED_SHARE, _artifacts, _try, shifted, to_shift
from souk.config import BuildFeatures, Columns, Objective, Objectives, Repeat
from souk.errors import SoukError
from souk.release.golden import GoldenRequest
from souk.release.manifest import write_manifest
from souk.spec import FeatureSpec
from souk.state import UserState
from souk.workspace import Workspace


def spec(events=None, users=None):
    return FeatureSpec(
        dataset="shop",
        columns=Columns(events=events or {}, users=users or {}),
        objectives=Objectives(engaged=Objective(events=("click",)), satisfied=Objective(events=("click",))),
        repeat=Repeat(rule="always"),
        build=BuildFeatures(),
    )


def requests(count=100):
    return [
        GoldenRequest(
            f"u{n}",
            5,
            n,
            UserState(f"u{n}", profile={"region": "north" if n % 3 else "south"}),
            {"device": "mobile" if n % 4 else "desktop"},
        )
        for n in range(count)
    ]


def test_the_second_most_frequent_value_of_the_context_is_planted_in_its_share():
    feature, value = to_shift(spec({"device": "categorical"}, {"region": "categorical"}), requests())
    assert (feature.name, value) == ("context_device", "desktop")
    planted = shifted(requests(), feature, value)
    changed = [n for n, (old, new) in enumerate(zip(requests(), planted, strict=True)) if n % 4 and old != new]
    assert {planted[n].context["device"] for n in changed} == {"desktop"}
    assert sum(r.context["device"] == "desktop" for n, r in enumerate(planted) if n % 4) / 75 == SHIFTED_SHARE


def test_without_a_context_a_user_column_is_planted():
    feature, value = to_shift(spec(users={"region": "categorical"}), requests())
    assert (feature.name, value) == ("user_region", "south")
    planted = shifted(requests(), feature, value)
    assert planted[5].state.profile["region"] == "south" and planted[5].context == requests()[5].context
    assert planted[1] == requests()[1]


def test_without_a_category_there_is_nothing_to_plant():
    with pytest.raises(SoukError, match="a categorical column"):
        to_shift(spec(users={"age": "numeric"}), requests())


def test_without_the_detector_or_a_release_it_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["drift-demo", "--workspace", str(tmp_path), "--souk-drift", "no-such-command"]) == 2
    assert "make drift-demo" in capsys.readouterr().err
    assert main(["drift-demo", "--workspace", str(tmp_path), "--souk-drift", "true"]) == 2
    assert "Make one: `souk run" in capsys.readouterr().err


def test_a_detector_that_does_not_run_is_told_before_any_request_is_answered(tmp_path: Path) -> None:
    """Its command is in every environment of Souk, and what it needs in one alone."""
    detector = tmp_path / "souk-drift"
    detector.write_text("#!/bin/sh\necho 'Expected an environment of its own.' >&2\nexit 2\n")
    detector.chmod(0o755)
    with pytest.raises(SoukError, match=r"an environment of its own\. Start it with make drift-demo"):
        _try(str(detector), tmp_path)
    _try("true", tmp_path)


def test_features_of_a_later_run_than_the_tables_are_found(tmp_path: Path) -> None:
    """A change of `build_features` or `split` makes the features again, and takes the tables from the cache."""
    workspace = Workspace(tmp_path)
    release = workspace.releases / "shop-0123456789ab"
    tables = workspace.runs / "training-1" / "ingest" / "tables"
    features = workspace.runs / "training-2" / "build-features" / "features"
    for folder in (tables, features, release / "twin"):
        folder.mkdir(parents=True)
    (features / "spec.json").write_text(spec().to_json())
    (features / "windows.json").write_text(json.dumps({"test_start": 7}))
    (release / "twin/bundle.json").write_text(json.dumps({"trained_until": 7, "spec_hash": spec().hash}))
    write_manifest(release, release.name, {}, {"data": {"fingerprint": "of the files"}})
    with pytest.raises(SoukError, match=r"the tables that shop-0123456789ab was made from.*: none\. Make a release"):
        _artifacts(workspace, release)
    (tables / "manifest.json").write_text(json.dumps({"fingerprint": "of the files"}))
    assert _artifacts(workspace, release) == (tables, features)
