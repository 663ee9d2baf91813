"""What is known of the champion before it is compared with: whether it has to be, whether it can be."""

import json
from pathlib import Path
from typing import Any

import pytest

from souk.errors import SoukError
from souk.evaluation.gate import Champion, compare_identity
from souk.steps.evaluate import evaluate, read_champion
from souk.workspace import Workspace


def champion(**changes):
    known: dict[str, Any] = {
        "name": "old",
        "twin": Path("twin"),
        "twin_name": "aa",
        "dataset": "shop",
        "trained_until": 100,
        "inputs": "same",
    }
    return Champion(**(known | changes))


@pytest.mark.parametrize(
    ("served", "outcome"),
    [
        (Champion(), None),
        (champion(), None),
        (champion(trained_until=99), None),
        (champion(twin_name="bb"), "unchanged"),
        (champion(twin_name="bb", inputs="other"), "promote"),
        (champion(twin_name="bb", whole=False), "promote"),
        (champion(twin_name="bb", states=False), "promote"),
        (champion(states=False), None),
        (champion(states=False, trained_until=101), "not_comparable"),
        (champion(whole=False, trained_until=101), None),
        (champion(other_classes="mine:Mine", trained_until=101), None),
        (champion(other_classes="mine:Mine", dataset="films"), "not_comparable"),
        (champion(trained_until=101), "not_comparable"),
        (champion(twin=None, twin_name=""), "not_comparable"),
        (champion(dataset="films"), "not_comparable"),
    ],
)
def test_what_needs_no_evaluation(served, outcome):
    verdict = compare_identity(served, challenger="bb", inputs="same", dataset="shop", test_start=100)
    assert (verdict.outcome if verdict else None) == outcome


def test_not_comparable_says_what_to_do():
    verdict = compare_identity(champion(trained_until=101), "bb", "same", dataset="shop", test_start=100)
    assert verdict is not None
    assert "split.test" in verdict.rules[0].detail


def test_a_champion_that_is_not_there_is_an_error_unless_it_is_served(tmp_path):
    place = Workspace(tmp_path)
    (place.releases / "films-1").mkdir(parents=True)
    (place.releases / "films-1" / "release.json").touch()
    settings = json.dumps({"retrievers": {}, "ranker": None, "rerank": {}, "evaluate": {}, "deploy": {}})
    with pytest.raises(SoukError, match="Did you mean 'films-1'"):
        evaluate(settings, "films-2", str(tmp_path), *["none"] * 9)
    place.current.symlink_to("films-2")  # somebody deleted what is served
    assert (read_champion("films-2", place).whole, read_champion("", place).name) == (False, "")
    with pytest.raises(FileNotFoundError, match=r"index\.json"):
        evaluate(settings, "films-2", str(tmp_path), *["none"] * 9)


@pytest.mark.parametrize("damage", [b"{", b"[]", b"{}", b"\xff", None])
@pytest.mark.parametrize("file", ["identity.json", "bundle.json"])
def test_a_champion_whose_twin_cannot_be_read_is_damaged_and_stops_nobody(tmp_path, file, damage):
    place = Workspace(tmp_path)
    twin = place.releases / "old" / "twin"
    twin.mkdir(parents=True)
    told = {"name": "aa", "dataset": "shop", "inputs": "same", "trained_until": 100}
    for name in ("identity.json", "bundle.json"):
        (twin / name).write_text(json.dumps(told))
    assert read_champion("old", place).twin_name == "aa"
    (twin / file).unlink()
    if damage is not None:
        (twin / file).write_bytes(damage)
    assert read_champion("old", place) == Champion("old", whole=False, states=False)
    assert compare_identity(read_champion("old", place), "bb", "same", "shop", 100) is None
