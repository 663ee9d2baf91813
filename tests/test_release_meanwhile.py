"""Another run deploys while this one refits: `deploy` replaces only what the gate let its release replace."""

import shutil
from pathlib import Path

import pytest

from souk.release.collections import collection_of
from souk.release.manifest import read_manifest, write_manifest
from souk.release.pointer import history, kept_back, point, promote, refuse
from souk.steps.deploy import _fill_store
from souk.workspace import Workspace
from tests.test_release_deploy import built, packaged, run, serves

__all__ = ["packaged"]  # a fixture
NAMES = ("small-x", "small-a", "small-b")


@pytest.fixture
def workspace(tmp_path):
    """Three releases, as far as the pointer sees them; the first is current."""
    workspace = Workspace(tmp_path)
    for name in NAMES:
        (workspace.releases / name).mkdir(parents=True)
        write_manifest(workspace.releases / name, name, {}, {})
    point(workspace, "small-x")
    return workspace


def test_of_two_runs_beside_one_champion_the_first_to_end_is_current(workspace):
    assert promote(workspace, "small-a", ("small-x", "small-x")) == ""
    assert promote(workspace, "small-a", ("small-x", "small-x")) == "", "a killed deploy is completed"
    why = promote(workspace, "small-b", ("small-x", "small-x"))
    assert why.startswith("small-b was not compared with small-a, which has become current since")
    assert workspace.current_release() == "small-a" and history(workspace) == ["small-x"]
    assert promote(workspace, "small-b", ("small-a", "small-a")) == "" and workspace.current_release() == "small-b"


@pytest.mark.parametrize("judged", [None, ("small-x", "small-a"), ("small-a", "small-x")])
def test_a_champion_named_on_purpose_and_a_release_of_before_replace_what_is_current(workspace, judged):
    assert kept_back(workspace, "small-b", judged) == promote(workspace, "small-b", judged) == ""
    assert workspace.current_release() == "small-b"


def test_where_nothing_is_current_any_release_may_be_but_one_that_was_rolled_back(workspace):
    workspace.current.unlink()
    assert kept_back(workspace, "small-b", ("small-x", "small-x")) == ""
    refuse(workspace, "small-b")
    assert promote(workspace, "small-b", ("small-x", "small-x")) == "small-b was rolled back and stays so"


def beside(package, folder, **lineage):
    """What deploy takes, of a release with a lineage of its own."""
    release = shutil.copytree(package[0], folder)
    record = read_manifest(release)
    write_manifest(release, record["name"], record["content"], record["lineage"] | lineage)
    return [str(release), *package[1:]]


@pytest.mark.slow
def test_deploy_leaves_what_another_run_deployed_meanwhile(packaged, tmp_path, capsys, monkeypatch):
    workspace = Workspace(tmp_path / "souk")
    first, second = (beside(each, tmp_path / str(n), replaces="", parent="") for n, each in enumerate(packaged))
    assert run(workspace, *first)["changed"] == 1
    capsys.readouterr()
    assert run(workspace, *second)["changed"] == 0
    assert serves(workspace, first[0])
    served = workspace.current_release()
    said = capsys.readouterr().out
    assert f"was not compared with {served}, which has become current since" in said and "`souk rollback " in said
    assert run(workspace, *first)["changed"] == 0 and workspace.current_release() == served
    later = beside(packaged[1], tmp_path / "later", replaces=served, parent="of-another-time")
    with monkeypatch.context() as patch:
        patch.setattr("souk.release.pointer._link", lambda *_: 1 / 0)  # killed before the pointer moves
        with pytest.raises(ZeroDivisionError):
            run(workspace, *later)
    assert serves(workspace, first[0])
    assert run(workspace, *later)["changed"] == 1
    assert serves(workspace, second[0])


@pytest.mark.slow
def test_the_collection_that_a_deploy_of_meanwhile_is_about_to_use_stays(packaged, tmp_path, monkeypatch):
    """It stands while the user states are published, and nothing names its release yet."""
    workspace = Workspace(tmp_path / "souk")
    (tmp_path / "third").mkdir()
    third = built(tmp_path / "third", 3)
    run(workspace, *packaged[0])
    found = []

    def fill(*given):
        monkeypatch.undo()
        run(workspace, *third)
        found.extend(path.stem for path in workspace.milvus.glob("items_*.db"))
        return _fill_store(*given)

    monkeypatch.setattr("souk.steps.deploy._fill_store", fill)
    run(workspace, *packaged[1])
    releases = [Path(release) for release, *_ in (*packaged, third)]
    assert sorted(found) == sorted(map(collection_of, releases))
    assert serves(workspace, packaged[1][0])
