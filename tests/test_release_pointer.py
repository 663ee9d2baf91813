"""The pointer: atomic for readers, remembered for rollback, never at a damaged release; and what the commands print."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys

import pytest

from souk.cli import main
from souk.errors import SoukError
from souk.release import commands
from souk.release.collections import collections_in_use
from souk.release.commands import list_text, show_text, verify_text
from souk.release.manifest import read_manifest, write_manifest
from souk.release.pointer import (
    history,
    point,
    release_folder,
    release_names,
    rollback,
    rolled_back,
)
from souk.workspace import Workspace
from tests.release_fixtures import deployed

FLIP = """
import sys
from pathlib import Path
from souk.release.pointer import point
from souk.workspace import Workspace
place = Workspace(Path(sys.argv[1]))
print("go", flush=True)
while True:
    for name in sys.argv[2:]:
        point(place, name)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A workspace with three releases, none current."""
    work = tmp_path_factory.mktemp("pointer")
    workspace = Workspace(work / "souk")
    names = [deployed(workspace, work / str(seed), seed) for seed in (1, 2, 3)]
    return workspace, names


@pytest.fixture
def releases(place):
    """The same with nothing current and no history."""
    workspace, names = place
    workspace.current.unlink(missing_ok=True)
    (workspace.releases / "history.json").unlink(missing_ok=True)
    (workspace.releases / "rolled_back.json").unlink(missing_ok=True)
    return workspace, names


def test_nothing_is_current_before_the_first(releases):
    workspace, names = releases
    assert release_names(workspace) == sorted(names)
    assert workspace.current_release() == ""
    with pytest.raises(SoukError, match="current"):
        release_folder(workspace, "current")
    with pytest.raises(SoukError, match="before the current"):
        rollback(workspace)


def test_rollback_goes_back_step_by_step(releases):
    workspace, (a, b, c) = releases
    for name in (a, b, c):
        point(workspace, name)
    assert history(workspace) == [a, b]
    assert (rollback(workspace), workspace.current_release()) == ((c, b), b)
    assert (rollback(workspace), workspace.current_release()) == ((b, a), a)
    with pytest.raises(SoukError, match="souk rollback NAME"):
        rollback(workspace)
    assert (rollback(workspace, c), workspace.current_release()) == ((a, c), c)
    assert history(workspace) == [a]


def test_what_was_gone_back_from_counts_as_rolled_back_until_it_is_asked_for(releases):
    workspace, (a, b, _) = releases
    point(workspace, a)
    point(workspace, b)
    assert rolled_back(workspace) == []
    rollback(workspace)
    assert rolled_back(workspace) == [b]
    rollback(workspace, b)
    assert rolled_back(workspace) == [a]


def test_pointing_at_the_current_release_changes_nothing(releases):
    workspace, (a, b, _) = releases
    for name in (a, b, b):
        point(workspace, name)
    assert history(workspace) == [a]


@pytest.mark.parametrize("named", ["current", "its name"])
def test_the_current_release_is_nothing_to_go_back_to(releases, capsys, named):
    """`current` is the word that `souk release show` takes, and no release's name."""
    workspace, (a, b, _) = releases
    for name in (a, b):
        point(workspace, name)
    words = ["rollback", "current" if named == "current" else b, "--workspace", str(workspace.root)]
    assert main(words) == 2
    assert "another release than the current one" in capsys.readouterr().err
    assert (workspace.current_release(), history(workspace), rolled_back(workspace)) == (b, [a], [])
    point(workspace, "current")
    assert (workspace.current_release(), history(workspace)) == (b, [a])
    assert workspace.served_folder().name == b


def test_a_rollback_that_was_killed_in_between_is_taken_back_with_the_name(releases):
    workspace, (a, b, _) = releases
    for name in (a, b):
        point(workspace, name)
    (workspace.releases / "rolled_back.json").write_text(json.dumps([b]))
    assert (rollback(workspace, b), workspace.current_release()) == ((b, b), b)
    assert (history(workspace), rolled_back(workspace)) == ([a], [])


def test_what_a_killed_mover_left_goes_with_the_next_move(releases):
    workspace, (a, b, _) = releases
    before = {path.name for path in workspace.releases.iterdir()}
    os.symlink(b, workspace.releases / ".current.partial")
    point(workspace, a)
    assert workspace.current_release() == a
    assert {path.name for path in workspace.releases.iterdir()} - before <= {"current", ".pointer.lock"}


def test_an_unknown_release_names_the_nearest(releases):
    workspace, (a, *_) = releases
    with pytest.raises(SoukError, match=a):
        point(workspace, a[:-1])
    assert workspace.current_release() == ""


def test_a_damaged_release_is_not_rolled_back_to(releases):
    workspace, (a, b, _) = releases
    for name in (a, b):
        point(workspace, name)
    path = workspace.releases / a / "vectors.npy"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"\x7f")
    with pytest.raises(SoukError, match=r"changed vectors\.npy"):
        rollback(workspace)
    assert workspace.current_release() == b
    path.write_bytes(content)
    assert rollback(workspace) == (b, a)


def test_a_reader_never_meets_a_broken_pointer(releases):
    """While one process moves it, and after each of ten such processes was killed."""
    workspace, names = releases
    point(workspace, names[0])
    for _ in range(10):
        mover = subprocess.Popen(
            [sys.executable, "-c", FLIP, str(workspace.root), *names], stdout=subprocess.PIPE, text=True
        )
        try:
            assert mover.stdout.readline() == "go\n"
            reads = 0
            while reads < 300 or len(history(workspace)) < 2:  # a busy machine may give the mover no time until then
                reads += 1
                folder = os.path.realpath(workspace.current)
                assert os.path.basename(folder) in names
                assert os.path.exists(os.path.join(folder, "release.json"))
        finally:
            mover.send_signal(signal.SIGKILL)
            mover.communicate()
        assert workspace.current_release() in names
        assert set(history(workspace)) <= set(names) - {workspace.current_release()}
    assert {*rollback(workspace)} < {*names}


def test_collections_of_current_and_previous_are_in_use(releases):
    workspace, names = releases
    used = []
    for name in names:
        point(workspace, name)
        used.append(collections_in_use(workspace))
    assert [len(collections) for collections in used] == [1, 2, 2]
    assert used[0] < used[1]
    assert not used[0] & used[2]


def test_collections_of_an_experiments_releases_are_in_use(releases, tmp_path):
    place, (a, b, c) = releases
    workspace = Workspace(shutil.copytree(place.root, tmp_path / "souk", symlinks=True))
    for name in (a, b, c):
        point(workspace, name)
    workspace.experiments.write_text(
        f"experiments: {{e: {{arms: {{o: {{share: .5}}, n: {{share: .5, release: {a}}}}}}}}}"
    )
    assert len(collections_in_use(workspace)) == 3
    workspace.experiments.write_text("experiments: [")
    with pytest.raises(SoukError, match="YAML"):
        collections_in_use(workspace)


@pytest.mark.parametrize("file", ["bundle.json", "release.json"])
def test_a_damaged_release_keeps_no_collection(releases, tmp_path, file):
    """A deployment ends with this question: what is damaged beside it must not stop it."""
    place, (a, b, _) = releases
    workspace = Workspace(shutil.copytree(place.root, tmp_path / "souk", symlinks=True))
    for name in (a, b):
        point(workspace, name)
    whole = collections_in_use(workspace)
    victim = workspace.releases / a / file
    victim.write_bytes(victim.read_bytes()[:20])
    assert len(whole) == 2 and len(collections_in_use(workspace)) == 1 and collections_in_use(workspace) < whole


def test_what_the_commands_print(releases, capsys):
    workspace, (a, b, c) = releases
    for name in (a, b):
        point(workspace, name)
    assert "current" in next(line for line in list_text(workspace).splitlines() if b in line)
    assert "previous" in next(line for line in list_text(workspace).splitlines() if a in line)
    assert len(list_text(workspace).splitlines()) == 3
    assert "40 (36 available), dimension 8" in show_text(workspace, "current")
    assert "ndcg@10 0.2" in show_text(workspace, b)
    assert "files as they were packaged" in verify_text(workspace, c)
    main(["rollback", "--workspace", str(workspace.root)])
    assert capsys.readouterr().out == f"{b} -> {a}\n"


@pytest.mark.parametrize("name", ["", " "])
def test_an_empty_name_goes_back_nowhere(name, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["rollback", name, "--workspace", str(tmp_path)])
    assert ended.value.code == 2 and "the name of a release, received an empty text" in capsys.readouterr().err


def test_what_could_not_be_measured_is_not_shown(releases, monkeypatch):
    """Of a head that is not learned."""
    workspace, (name, *_) = releases
    metrics = {"engaged_auc": 0.7, "satisfied_auc": math.nan, "parent": None}
    told = read_manifest(workspace.releases / name) | {"lineage": metrics}
    monkeypatch.setattr(commands, "verify", lambda folder, only: told)
    text = show_text(workspace, name)
    assert "engaged_auc: 0.7" in text and "satisfied_auc" not in text and "parent" not in text


def test_a_rollback_waits_for_no_import(tmp_path):
    """Who goes back is in a hurry, and these are most of a second."""
    code = "import sys; from souk.cli import main; main(['rollback', '--workspace', sys.argv[1]]); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert "a workspace with releases" in done.stderr
    assert not {"numpy", "pyarrow", "pydantic", "yaml"} & set(done.stdout.split())


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("release.json", "Received: release.json that is no JSON: "),
        ("bundle.json", "changed bundle.json"),
        ("vectors.npy", "missing vectors.npy"),
    ],
)
def test_a_damaged_release_is_listed_as_one(releases, tmp_path, file, told):
    """Cut off in the middle as by a full disk, or gone; the others are listed as ever."""
    place, (a, b, _) = releases
    workspace = Workspace(shutil.copytree(place.root, tmp_path / "souk"))
    victim = workspace.releases / b / file
    content = victim.read_bytes()
    victim.unlink()
    if not told.startswith("missing"):
        victim.write_bytes(content[: len(content) // 2])
    by_name = {name: line for line in list_text(workspace).splitlines() for name in (a, b) if name in line}
    assert "damaged" in by_name[b] and told in by_name[b] and "learned until" not in by_name[b]
    assert "learned until" in by_name[a] and "damaged" not in by_name[a]


def test_no_releases_yet(tmp_path):
    assert "souk run" in list_text(Workspace(tmp_path))


def test_a_copy_of_a_release_under_another_name_is_none(tmp_path):
    """It was verified and made current, and answers named the other."""
    workspace = Workspace(tmp_path)
    for folder in ("shop-1", "shop-2"):
        (workspace.releases / folder).mkdir(parents=True)
        write_manifest(workspace.releases / folder, "shop-1", {}, {})
    point(workspace, "shop-1")
    with pytest.raises(SoukError, match=r"Expected release shop-2 in .*shop-2\. Received: shop-1\. Call the folder"):
        rollback(workspace, "shop-2")
    assert workspace.current_release() == "shop-1"
