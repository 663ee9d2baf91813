"""Old releases go; what a rollback, an experiment or a server needs stays."""

import os
import shutil
import time
from types import SimpleNamespace

import pytest

from souk.cli import main
from souk.errors import SoukError
from souk.release import pointer
from souk.release.collections import collection_of
from souk.release.in_use import KEPT_SECONDS, needed, say_needed, say_searched
from souk.release.manifest import NAME
from souk.release.pointer import history, point, release_names, rollback
from souk.release.prune import prune
from souk.serving.budget import Guards
from souk.serving.served import Reader
from souk.store.feast_store import Access
from souk.workspace import Workspace
from tests.full_disk import largest_file
from tests.release_fixtures import deployed


@pytest.fixture(scope="module")
def packaged(tmp_path_factory):
    """A workspace with five releases, none current, and their names, the oldest first."""
    work = tmp_path_factory.mktemp("prune")
    workspace = Workspace(work / "souk")
    return workspace, [deployed(workspace, work / str(seed), seed) for seed in range(1, 6)]


@pytest.fixture
def releases(packaged, tmp_path):
    """A copy of it, packaged a minute apart; the first two were current in turn, and the third is."""
    workspace, names = packaged
    own = Workspace(tmp_path / "souk")
    shutil.copytree(workspace.root, own.root, symlinks=True)
    for minute, name in enumerate(names):
        os.utime(own.releases / name / NAME, (60 * minute, 60 * minute))
    for name in names[:3]:
        point(own, name)
    return own, names


def reader_of(workspace):
    return Reader(workspace, "exact", "", Access(), 100, Guards(), lambda: 0, print)


def served(folder, name):
    return SimpleNamespace(bundle=SimpleNamespace(folder=folder, name=name))


def test_the_newest_the_current_and_the_one_before_stay(releases):
    workspace, (first, second, third, fourth, fifth) = releases
    gone = prune(workspace, 1)
    assert set(gone) == {first, fourth} and all(size > 1000 for size in gone.values())
    assert release_names(workspace) == sorted([second, third, fifth])
    assert history(workspace) == [second], "no rollback goes to what is gone"
    assert rollback(workspace) == (third, second)
    assert not [*workspace.releases.glob(".deleted.*")]


def test_on_a_full_disk_releases_go_and_a_rollback_names_what_it_cannot_write(releases):
    workspace, (first, second, third, fourth, fifth) = releases
    with largest_file(0):
        with pytest.raises(OSError) as refused:
            rollback(workspace)
        assert refused.value.filename == str(workspace.releases / "rolled_back.json")
        assert {*prune(workspace, 1)} == {first, fourth}
    assert workspace.current_release() == third and release_names(workspace) == sorted([second, third, fifth])
    assert rollback(workspace) == (third, second)


def test_a_rollback_passes_over_what_somebody_deleted_and_over_nothing_else(releases):
    workspace, (first, second, third, *_) = releases
    (workspace.releases / second / NAME).unlink()
    with pytest.raises(SoukError, match=second):
        rollback(workspace)
    shutil.rmtree(workspace.releases / second)
    assert history(workspace) == [first] and rollback(workspace) == (third, first)


def test_what_is_pruned_and_comes_again_was_never_current(releases):
    """Names are of content: the same release may be packaged again."""
    workspace, (first, *_) = releases
    shutil.copytree(workspace.releases / first, kept := workspace.root / "kept")
    assert first in history(workspace) and first in prune(workspace, 1)
    shutil.move(kept, workspace.releases / first)
    assert first in release_names(workspace) and first not in history(workspace)


def test_a_pipe_in_the_place_of_the_experiments_holds_nobody_up(releases):
    workspace, _ = releases
    os.mkfifo(workspace.root / "experiments.yaml")
    with pytest.raises(SoukError, match="to be a file"):
        prune(workspace, 1)


def test_what_servers_and_experiments_use_and_what_is_named_stays(releases):
    workspace, (first, _, _, fourth, _) = releases
    say_searched(workspace, collection_of(workspace.releases / first))
    assert prune(workspace, 1, [fourth]) == {}
    (workspace.root / "experiments.yaml").write_text(
        f"experiments: {{e: {{arms: {{control: {{share: 0.5}}, challenger: {{share: 0.5, release: {fourth}}}}}}}}}\n"
    )
    assert prune(workspace, 1) == {}
    (workspace.root / "experiments.yaml").write_text("experiments: 7\n")
    with pytest.raises(SoukError):
        prune(workspace, 1)
    assert len(release_names(workspace)) == 5


def test_a_dry_run_tells_and_deletes_nothing(releases, capsys):
    workspace, (first, *_) = releases
    command = ["release", "prune", "--workspace", str(workspace.root), "--keep", "3"]
    assert main([*command, "--dry-run"]) == 0
    assert capsys.readouterr().out.startswith(f"would delete {first}  0.")
    assert len(release_names(workspace)) == 5
    assert main(command) == 0
    assert capsys.readouterr().out.startswith(f"deleted {first}  0.")
    assert main(command) == 0
    assert "Nothing to delete: 4 releases" in capsys.readouterr().out


def test_what_a_killed_one_left_is_cleared(releases):
    workspace, (first, *_) = releases
    os.replace(workspace.releases / first, workspace.releases / f".deleted.{first}")
    assert len(release_names(workspace)) == 4
    assert prune(workspace, 5) == {}
    assert not [*workspace.releases.glob(".deleted.*")]


def test_a_dry_run_leaves_what_a_killed_one_left(releases):
    workspace, (first, *_) = releases
    os.replace(workspace.releases / first, workspace.releases / f".deleted.{first}")
    prune(workspace, 1, dry=True)
    assert (workspace.releases / f".deleted.{first}" / NAME).exists()


def test_what_somebody_reads_stays_for_an_hour_after_the_last_word(releases):
    workspace, (first, _, _, fourth, _) = releases
    say_needed(workspace, first)
    say_needed(workspace, fourth)
    assert prune(workspace, 1) == {}
    said = time.time() - KEPT_SECONDS - 1
    os.utime(workspace.releases / ".needed" / first, (said, said))
    assert {*prune(workspace, 1)} == {first}
    assert fourth in release_names(workspace)


def test_a_server_says_which_release_it_reads_whatever_its_index(releases, tmp_path):
    """From before it is read, and from time to time."""
    workspace, (first, second, *_) = releases
    reader = reader_of(workspace)
    with pytest.raises(SoukError):
        reader.ready((tmp_path / "elsewhere" / first).resolve())
    assert needed(workspace, time.time()) == set()
    (workspace.releases / first / "bundle.json").unlink()
    with pytest.raises(SoukError):
        reader.ready((workspace.releases / first).resolve())
    assert needed(workspace, time.time()) == {first}
    reader.keep([served((workspace.releases / second).resolve(), second)])
    assert needed(workspace, time.time()) == {first, second}


def test_a_server_that_is_shown_a_release_elsewhere_says_its_name(releases, tmp_path):
    """As in a cluster, whose servers read /mnt/models; of a release that the workspace lacks it says nothing."""
    workspace, (first, _, _, fourth, _) = releases
    models = tmp_path / "mnt" / "models"
    shutil.copytree(workspace.releases / first, models)
    (models / "bundle.json").unlink()
    reader = reader_of(workspace)
    with pytest.raises(SoukError):
        reader.ready(models)
    assert needed(workspace, time.time()) == {first}
    reader.keep([served(models, name) for name in (fourth, "tiny-of-another-workspace", "")])
    assert needed(workspace, time.time()) == {first, fourth}
    assert prune(workspace, 1) == {}


def test_nothing_points_to_what_was_deleted_a_moment_ago(releases, monkeypatch):
    """Whoever waits for the pointer looks at the release when it has it."""
    workspace, (first, _, third, *_) = releases
    alone = pointer.alone

    def after_a_prune(place):
        monkeypatch.setattr(pointer, "alone", alone)
        assert first in prune(place, 1)
        return alone(place)

    monkeypatch.setattr(pointer, "alone", after_a_prune)
    with pytest.raises(SoukError):
        point(workspace, first)
    assert workspace.current_release() == third


def test_killed_while_it_deletes_it_leaves_whole_releases(releases, monkeypatch):
    workspace, (first, _, _, fourth, _) = releases

    def killed(folder):
        (folder / NAME).unlink()
        raise KeyboardInterrupt

    monkeypatch.setattr("souk.release.prune.remove", killed)
    with pytest.raises(KeyboardInterrupt):
        prune(workspace, 1)
    assert len({first, fourth} & {*release_names(workspace)}) == 1
    there = {path.name for path in workspace.releases.glob("[!.]*-*")}
    assert there == {*release_names(workspace)}, "no half one"


def test_what_a_cluster_serves_stays(releases, tmp_path, monkeypatch, capsys):
    workspace, (first, _, _, fourth, _) = releases
    model = {"model": {"storageUri": f"pvc://souk/releases/{fourth}"}}
    live = {"spec": {"predictor": model, "canary": [{"predictor": model, "trafficPercent": 10}]}}
    monkeypatch.setattr("souk.release.cluster.connect", lambda rollout: SimpleNamespace(service=lambda: live))
    config = tmp_path / "shop.yaml"
    config.write_text(
        "name: shop\ndata: {events: {path: e.csv}}\nrepeat: never\n"
        "objectives: {engaged: {events: [click]}, satisfied: {events: [click], weight: 0}}\n"
        "rollout: {target: inference_service, storage: pvc://souk/releases}\n"
        "load_index: {uri: http://milvus:19530}\nonline_store: {uri: redis://redis:6379}\n"
    )
    command = ["release", "prune", "--workspace", str(workspace.root), "--keep", "1", "--config", str(config)]
    assert main(command) == 0, capsys.readouterr()
    assert capsys.readouterr().out.startswith(f"deleted {first}  0.")
    assert fourth in release_names(workspace)
