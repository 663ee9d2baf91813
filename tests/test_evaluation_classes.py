"""The step `evaluate` beside a champion whose own class is another one by now: nobody can ask what is served."""

import json
import shutil
import sys

import pytest

from souk.evaluation.of_release import Artifacts, evaluate_release
from souk.release.condition import condition, other_classes
from souk.release.manifest import write_manifest
from souk.steps.evaluate import evaluate
from souk.workspace import Workspace
from tests.evaluation_shop import Shop

MODULE, NAME = "own_rank_of_shop", "with_class"
SOURCE = """
import numpy as np
from souk.plugs import Ranker


class Mine(Ranker):
    def __init__(self, items, {options}):
        super().__init__(items)

    def probabilities(self, features, items, positions, request, pair):
        return {{"engaged": np.full(len(positions), {chance})}}
"""


def installed(folder, chance, options="*"):
    """Puts a version of the class where Python finds it, as the package of another image has it."""
    (folder / f"{MODULE}.py").write_text(SOURCE.format(chance=chance, options=options.replace("*", "**none")))
    sys.modules.pop(MODULE, None)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A shop whose champion was judged with the first version of a class."""
    root = tmp_path_factory.mktemp("shop")
    sys.path.insert(0, str(root))
    installed(root, 0.5)
    shop = Shop(root / "shop").write()
    out, verdict, _ = judged(shop)
    assert verdict == "promote"
    folder = shop.workspace / "releases" / NAME
    folder.mkdir(parents=True)
    for part in ("twin", "evaluation"):
        shutil.copytree(out / part, folder / part)
    write_manifest(folder, NAME, {}, {})
    (shop.workspace / "feast").mkdir()
    (shop.workspace / "feast" / "registry.db").touch()
    yield shop
    sys.path.remove(str(root))
    sys.modules.pop(MODULE, None)


def judged(shop, champion="", **options):
    """The folder of the step's outputs, its verdict, and the first rule."""
    arguments, out = shop.arguments("good", champion)
    own = {"ranker": {"use": f"{MODULE}:Mine", "options": options}}
    verdict, _ = evaluate(json.dumps(json.loads(arguments[0]) | own), *arguments[1:])
    return out, verdict, json.loads((out / "evaluation" / "verdict.json").read_text())["rules"][0]


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"steep": 2}])
def test_a_changed_class_is_not_compared_with_itself(shop, capsys, options):
    """The champion's weights with the class of now are the challenger: of another version of it nothing is told. And
    of one that takes other options nothing could be made."""
    whole = condition(Workspace(shop.workspace), NAME)
    installed(shop.root.parent, 0.6, *options)
    try:
        _, verdict, rule = judged(shop, NAME, **options)
        told = f"{NAME} is served, but it was not compared with: classes of your own that it was made with are other"
        assert (verdict, rule["name"]) == ("promote", "beats_popularity")
        assert told in rule["detail"] and f"({MODULE}:Mine)" in rule["detail"]
        assert f"the served release is not compared with: {MODULE}:Mine is another" in capsys.readouterr().out
        assert condition(Workspace(shop.workspace), NAME) != whole
    finally:
        installed(shop.root.parent, 0.5)
    assert judged(shop, NAME)[1] == "unchanged", "the version of then is there again"
    assert condition(Workspace(shop.workspace), NAME) == whole


@pytest.mark.slow
def test_what_is_measured_of_a_release_with_a_changed_class_is_told(shop):
    installed(shop.root.parent, 0.6)
    try:
        told = list[str]()
        found = Artifacts(shop.tables, shop.features)
        evaluate_release(Workspace(shop.workspace), NAME, "", found, None, told.append)
    finally:
        installed(shop.root.parent, 0.5)
    assert f"{NAME}: {MODULE}:Mine is another by now than it was made with: what is installed is measured" in told


def test_a_class_that_is_gone_is_another_and_one_without_a_note_is_not(tmp_path):
    place = Workspace(tmp_path)
    folder = place.releases / "films-1" / "twin"
    folder.mkdir(parents=True)
    uses = {
        "old": {"use": "nowhere_of_shop:Old"},  # of before the source was noted
        "gone": {"use": "nowhere_of_shop:Gone", "code": "0" * 16},
        "no_source": {"use": "nowhere_of_shop:Compiled", "code": ""},
    }
    (folder / "bundle.json").write_text(json.dumps({"retrievers": uses, "ranker": None}))
    assert other_classes(place, "films-1") == "nowhere_of_shop:Gone"
    (folder / "bundle.json").write_text("[]")
    assert other_classes(place, "films-1") == other_classes(place, "films-2") == ""
