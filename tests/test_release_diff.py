"""`souk release diff`: what changed between two releases, and which of their figures may stand side by side."""

import json
import shutil

import numpy as np
import pytest

from souk.release import commands
from souk.release.commands import diff_text
from souk.release.manifest import read_manifest, write_manifest
from souk.release.naming import weight_changes
from souk.workspace import Workspace
from tests.release_fixtures import sealed_anew
from tests.test_release_pointer import place, releases  # noqa: F401


def test_diff_tells_what_changed(releases):  # noqa: F811
    workspace, (a, b, _) = releases
    text = diff_text(workspace, a, b)
    assert "different   settings, vectors, weights" in text  # settings: the collection is named by the vectors
    assert "rolling ndcg@10: 0.1 -> 0.2" in text
    assert "ranker/kernel: moved" in text
    assert "0 new, 0 gone" in text
    assert "same release" in diff_text(workspace, a, a)


def test_weights_are_told_by_part_of_the_models(tmp_path):
    old = {
        "towers/query/block/kernel": [3.0, 0.0],
        "towers/query/block/bias": [0.0, 4.0],
        "towers/query/block/norm": [0.0],
        "towers/query/users/seen": [1.0],
        "ranker/kernel": [2.0],
        "ranker/level/slope": [0.0],
        "ranker/went": [1.0],
        "ranker/wider": [1.0],
    }
    new = old | {
        "towers/query/block/kernel": [3.0, 0.3],
        "towers/query/block/bias": [0.4, 4.0],
        "ranker/kernel": [2.5],
        "ranker/level/slope": [7.0],
        "ranker/wider": [1.0, 2.0],
        "ranker/came": [1.0],
    }
    del new["ranker/went"]
    for name, arrays in (("old", old), ("new", new)):
        (tmp_path / name).mkdir()
        np.savez(tmp_path / name / "weights.npz", **{key: np.array(values) for key, values in arrays.items()})
    assert sorted(weight_changes(tmp_path / "old", tmp_path / "new")) == [
        "ranker/came: new",
        "ranker/kernel: moved, by 25.00%",
        "ranker/level/slope: moved, from 0",
        "ranker/went: gone",
        "ranker/wider: shape (1,) -> (2,)",
        "towers/query/block: 2 of 3 arrays moved, by 10.00%; farthest bias, by 10.00%",
    ]
    assert weight_changes(tmp_path / "old", tmp_path / "old") == ["the same"]


def test_a_curve_is_one_line_and_a_setting_one_for_each_number(releases, tmp_path):  # noqa: F811
    kept, (a, b, _) = releases
    workspace = Workspace(shutil.copytree(kept.root, tmp_path / "souk"))
    for name, knot, layer in ((a, 0.25, 32), (b, 0.5, 64)):
        record = read_manifest(workspace.releases / name)
        points = [{"weight": 0.0}, {"weight": knot}]
        record["lineage"]["training"] = {"knots": [0.0, knot], "pareto": points, "hidden": [16, layer], "same": [1.5]}
        write_manifest(workspace.releases / name, name, record["content"], record["lineage"])
    lines = diff_text(workspace, a, b).splitlines()
    told = [line.split(":")[0].strip() for line in lines if "training" in line]
    assert told == ["training.hidden.1", "training.knots", "training.pareto"]
    assert next(line for line in lines if "knots" in line).count("2 points") == 2


@pytest.mark.parametrize("lacks", [0, 1])
def test_diff_tells_a_part_that_one_of_the_two_has(releases, monkeypatch, lacks):  # noqa: F811
    workspace, (a, b, _) = releases

    def read(folder, whole=commands.verify):
        manifest = whole(folder)
        manifest["content"].pop("ease" if folder.name == (a, b)[lacks] else "", None)  # as releases of before
        return manifest

    monkeypatch.setattr(commands, "verify", read)
    assert "ease" in next(line for line in diff_text(workspace, a, b).splitlines() if line.startswith("different"))


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ({"test_start": 0}, {"test_start": 0}, True),
        ({"test_start": 0}, {"test_start": 86_400_000}, False),
        ({"test_start": 0, "users": {"drawn": 9}}, {"test_start": 0, "users": {"drawn": 8}}, False),
        ({"settings": {"max_users": 9}}, {"settings": {"max_users": 8}}, False),
        ({"settings": {"primary": "mrr"}}, {"settings": {"primary": "hr@10"}}, True),
        ({"test_start": 0, "users": {"drawn": 9}, "settings": {"max_users": 9}}, {"test_start": 0}, True),
    ],
)
def test_metrics_of_other_questions_are_not_set_side_by_side(releases, tmp_path, old, new, same):  # noqa: F811
    kept, (a, b, _) = releases
    workspace = Workspace(shutil.copytree(kept.root, tmp_path / "souk"))
    for name, more in ((a, old), (b, new)):
        file = workspace.releases / name / "evaluation" / "metrics.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | more))
        sealed_anew(workspace.releases / name)
    text, turned = diff_text(workspace, a, b), diff_text(workspace, b, a)
    assert ("rolling ndcg@10: 0.1 -> 0.2" in text) == same
    told, later = f"`souk evaluate {b} --against {a}` compares", new.get("test_start", 0) > 0
    assert (told in text) != same and (not later or told in turned), "the later one's window is new to both"
    assert ("(from 1970-01-01 00:00 UTC and 1970-01-02 00:00 UTC)" in text) == later
