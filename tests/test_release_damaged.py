"""What a lost connection or a lost disk leaves of a release, or of the history: a line that names the file, in every
command that reads it."""

import os

import pytest

from souk.cli import main
from souk.errors import SoukError
from souk.evaluation.of_release import evaluate_release
from souk.release.pointer import history, point, rollback, rolled_back
from souk.workspace import Workspace
from tests.release_fixtures import deployed, sealed_anew

READ = {
    "release show current": ("items.parquet", "counters.parquet", "bundle.json", "ease.npz", "evaluation/summary.md"),
    "release diff {other} current": ("bundle.json", "evaluation/metrics.json", "weights.npz"),
    "release diff current {other}": ("spec.json",),
    "experiment apply {plan}": ("bundle.json", "spec.json"),
    "users publish": ("spec.json",),
    "demo": ("golden.jsonl", "items.parquet", "bundle.json"),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A workspace with two releases, of which the second is current, and a file of experiments."""
    work = tmp_path_factory.mktemp("damaged")
    workspace = Workspace(work / "souk")
    other, current = (deployed(workspace, work / str(seed), seed) for seed in (1, 2))
    folder = workspace.releases / current
    (folder / "golden.jsonl").write_text('{"request": {"user_id": "u1", "context": {}}}\n')
    sealed_anew(folder)
    (work / "plan.yaml").write_text("experiments: {x: {arms: {a: {share: 0.5}, b: {share: 0.5}}}}\n")
    point(workspace, other)
    point(workspace, current)
    return workspace, other, work / "plan.yaml"


@pytest.fixture
def damaged(place):
    """Cuts a file of the current release in half; it is whole again after the test."""
    workspace, whole = place[0], {}

    def cut(name):
        path = workspace.current / name
        whole[path] = path.read_bytes()
        os.truncate(path, len(whole[path]) // 2)

    yield cut
    for path, content in whole.items():
        path.write_bytes(content)


def told(capsys, words, workspace):
    """The one line of a command that ends with exit code 2."""
    assert main([*words, "--workspace", str(workspace.root)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize(("command", "file"), [(command, file) for command, files in READ.items() for file in files])
def test_a_half_copied_release_is_one_line_in_what_reads_it(place, damaged, capsys, command, file):
    workspace, other, plan = place
    damaged(file)
    line = told(capsys, [word.format(other=other, plan=plan) for word in command.split()], workspace)
    assert f"changed {file}" in line and "souk rollback" in line


@pytest.mark.parametrize("file", ["twin/bundle.json", "twin/items.parquet", "evaluation/metrics.json"])
def test_a_half_copied_twin_is_not_measured(place, damaged, file):
    damaged(file)
    with pytest.raises(SoukError, match=f"changed {file}"):
        evaluate_release(place[0], "current", "", None, None, print)


@pytest.mark.parametrize("content", ["", '["shop-', '{"shop": 1}', "[1]", "\udcff"])
@pytest.mark.parametrize("command", ["rollback", "release list", "release prune --keep 1"])
def test_a_damaged_history_is_named_with_the_way_out(place, capsys, command, content):
    workspace, other, _ = place
    file, current = workspace.releases / "history.json", workspace.current_release()
    file.write_bytes(content.encode("utf-8", "surrogateescape"))
    line = told(capsys, command.split(), workspace)
    assert f"{file} to be a list of names" in line and "`souk rollback NAME` goes back all the same" in line
    file.unlink()
    assert rollback(workspace, other) == (current, other)
    assert rollback(workspace, current) == (other, current) and history(workspace) == [other]


def test_what_was_rolled_back_is_named_where_it_cannot_be_read(place):
    file = place[0].releases / "rolled_back.json"
    file.write_bytes(b"")
    with pytest.raises(SoukError, match=r"rolled_back\.json to be a list of names"):
        rolled_back(place[0])
    file.unlink()


def test_the_history_is_on_the_disk_before_it_has_its_name(place, monkeypatch):
    workspace, other, _ = place
    done, sync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: done.append("on the disk") or sync(file))
    monkeypatch.setattr(os, "replace", lambda old, new: done.append(os.path.basename(new)) or replace(old, new))
    current = workspace.current_release()
    point(workspace, other)
    point(workspace, current)
    assert done == ["on the disk", "history.json", "current"] * 2
