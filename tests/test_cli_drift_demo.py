"""What the drift demo plants, and what it says where it cannot run."""

from pathlib import Path

import pytest

from souk.cli import main
from souk.cli.drift_demo import SHIFTED_SHARE, shifted, to_shift
from souk.config import BuildFeatures, Columns, Objective, Objectives, Repeat
from souk.errors import SoukError
from souk.release.golden import GoldenRequest
from souk.spec import FeatureSpec
from souk.state import UserState


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
    assert "make run" in capsys.readouterr().err
