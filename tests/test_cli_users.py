"""`souk users publish`: the newest run's states, for the release that is served."""

import json

from souk.cli import main
from souk.release import manifest
from souk.store.feast_store import FeastStore
from souk.workspace import Workspace
from tests.store_fixtures import NOW, SPEC, state, user_states


def serving(root):
    """A workspace that serves a release, with the states of a run."""
    workspace = Workspace(root)
    (workspace.releases / "shop").mkdir(parents=True)
    (workspace.releases / "shop" / "spec.json").write_text(SPEC.to_json())
    manifest.write_manifest(workspace.releases / "shop", "shop", {}, {})
    workspace.current.symlink_to("shop")
    ran(workspace, 0, [state("ann")])
    return workspace


def ran(workspace, number, states):
    """The features of a run."""
    features = workspace.runs / f"training-{number}" / "build-features" / "features"
    features.mkdir(parents=True)
    (features / "spec.json").write_text(SPEC.to_json())
    (features / "windows.json").write_text(json.dumps({"end": NOW}))
    user_states(features / "user_state.parquet", states)


def test_the_states_of_the_newest_run_are_published_and_who_is_gone_is_cleared(tmp_path, capsys):
    workspace = Workspace(tmp_path)
    (workspace.releases / "shop").mkdir(parents=True)
    (workspace.releases / "shop" / "spec.json").write_text(SPEC.to_json())
    manifest.write_manifest(workspace.releases / "shop", "shop", {}, {})
    workspace.current.symlink_to("shop")
    words = ["users", "publish", "--workspace", str(tmp_path)]
    assert main(words) == 2 and f"features of the specification {SPEC.hash}" in capsys.readouterr().err
    for number, states in enumerate(([state("ann"), state("gone")], [state("ann", 4)])):
        ran(workspace, number, states)
        assert main(words) == 0
    assert [found.count for found in FeastStore(workspace.feast, SPEC).read(["ann", "gone"])] == [4, 3]
    assert main([*words, "--clear"]) == 0
    assert "1 user states" in capsys.readouterr().out
    assert repr(FeastStore(workspace.feast, SPEC).read(["ann", "gone"])) == repr([state("ann", 4), None])


def test_nothing_is_published_for_a_release_of_another_version(tmp_path, capsys, monkeypatch):
    workspace = Workspace(tmp_path)
    (workspace.releases / "shop").mkdir(parents=True)
    (workspace.releases / "shop" / "spec.json").write_text(SPEC.to_json())
    with monkeypatch.context() as older:
        older.setattr(manifest, "FORMAT", 2)
        manifest.write_manifest(workspace.releases / "shop", "shop", {}, {})
    workspace.current.symlink_to("shop")
    assert main(["users", "publish", "--workspace", str(tmp_path)]) == 2
    assert "format 2" in capsys.readouterr().err
