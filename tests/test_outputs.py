"""What another made is never deleted: the rule of every place that a command is given to write to."""

import json
import os

import pytest

from souk.cli import evaluate, main, recommend, replay
from souk.errors import SoukError
from souk.folders import placed
from souk.outputs import ANSWERS, CONFIG, DRIFT_REPORT, MARK, free_artifact, free_file, free_folder, mark
from souk.release.manifest import NAME
from souk.simulator.score import LINES, MEASURES

KNOWN = {
    "answers": (
        ANSWERS,
        '{"user_id": "a", "items": [], "scores": [], "release": "r", "degraded": []}\n{"error": "e"}\n',
    ),
    "values": (LINES, json.dumps({"user_id": "a", **dict.fromkeys(MEASURES, 0.0)}) + "\n"),
    "replay": (replay.REPORT, '{"log": "l", "records": 1, "release": "r", "against": "s", "requests": {}, "k": 1}'),
    "config": (CONFIG, "# a shop\nname: shop\ndata: {events: {path: e.csv}}\nobjectives: {}\n"),
    "drift": (DRIFT_REPORT, "<!doctype html>\n<title>Souk: drift of shop-1</title>"),
}
FOREIGN = ["my thesis", "{}", "[1]", "1\n2\n", "\xff", '{"user_id": "a"}\n', "name: x\n", "<!doctype html>\n<p>"]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The folder where commands run, which has files of somebody."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "proj/src").mkdir(parents=True)
    for name in ("proj/notes.txt", "proj/src/a.py", "in.jsonl"):
        (tmp_path / name).write_text("my thesis")
    return tmp_path


def everything(folder):
    return {path: path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*")}


@pytest.mark.parametrize("kind", KNOWN)
def test_a_file_is_replaced_by_what_it_is(tmp_path, kind):
    """One of the same kind, or an empty one; the others of this list are of another."""
    known, own = KNOWN[kind]
    place = tmp_path / "out"
    for text in (own, ""):
        place.write_text(text)
        free_file(place, known)
    for text in (*FOREIGN, *(other for name, (_, other) in KNOWN.items() if name != kind)):
        place.write_text(text, encoding="latin-1")
        with pytest.raises(SoukError, match=r"out, which another made. Name another file by --output, or move it away"):
            free_file(place, known)


def test_a_file_takes_the_place_of_no_folder_link_or_device(project):
    (project / "link").symlink_to("in.jsonl")
    os.mkfifo(project / "pipe")
    for name, kind in (("proj", "a folder"), ("link", "a link"), ("pipe", "no plain file"), ("/dev/null", "no plain")):
        with pytest.raises(SoukError, match=f"{name}, which is {kind}"):
            free_file(name, lambda place: True)
    with pytest.raises(SoukError, match=r"nowhere is none. Make it"):
        free_file("nowhere/x", lambda place: True)


def test_a_folder_is_replaced_where_nothing_was_added_or_changed(tmp_path):
    place = tmp_path / "out"
    free_folder(place)
    (place / "truth").mkdir(parents=True)
    (place / "truth/a").write_text("a")
    mark(place)
    free_folder(place)
    changes = {
        "added": lambda: (place / "truth/b").touch(),
        "changed": lambda: (place / "truth/a").write_text("b"),
        "empty": lambda: (place / "mine").mkdir(),
        "link": lambda: (place / "mine").symlink_to("truth"),
        "mark": lambda: (place / MARK).write_text("[]"),
    }
    for change in changes.values():
        change()
        with pytest.raises(SoukError, match=r"out.*, which another made. Name another folder by --output"):
            free_folder(place)
        for name in ("truth/b", "mine"):
            _remove(place / name)
        (place / MARK).unlink()
        (place / "truth/a").write_text("a")
        mark(place)
    free_folder(place)
    (place / "truth/a").unlink()
    free_folder(place)


def _remove(path):
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    path.unlink(missing_ok=True)


def test_a_folder_below_a_file_is_told(project):
    with pytest.raises(SoukError, match=r"a right to write in.jsonl/below. Received: .*in.jsonl, which is no folder"):
        free_folder("in.jsonl/below")


@pytest.mark.parametrize(
    "words",
    [
        ["recommend", "--requests", "in.jsonl", "--output"],
        ["replay", "--release", "current", "--output"],
        ["simulate", "score", "--truth", "none", "--slates", "none", "--output"],
        ["init", "--events", "none", "--force", "--output"],
    ],
)
@pytest.mark.parametrize("output", ["proj", "proj/notes.txt"])
def test_each_command_refuses_a_file_of_another_before_it_reads_anything(project, capsys, words, output):
    before = everything(project)
    assert main([*words, output]) == 2
    told = capsys.readouterr().err
    assert output in told and ("which is a folder" if output == "proj" else "which another made") in told, told
    assert everything(project) == before


@pytest.mark.parametrize("command", ["recommend --requests in.jsonl", "init --events in.jsonl", "simulate"])
def test_where_nobody_may_write_is_told_before_anything_is_read(project, capsys, command):
    """Root has every right in /proc, and no file can be made there."""
    assert main([*command.split(), "--output", "/proc/out.yaml"]) == 2
    told = "Expected a right to write /proc/out.yaml. Received: none. Name another place by --output."
    assert capsys.readouterr().err.endswith(f": {told}\n")


@pytest.mark.parametrize("words", [["evaluate"], ["simulate", "--force"]])
@pytest.mark.parametrize("output", ["proj", "proj/notes.txt"])
def test_each_command_refuses_a_folder_of_another_before_it_reads_anything(project, capsys, monkeypatch, words, output):
    (project / ".souk/releases/shop-1").mkdir(parents=True)
    (project / ".souk/releases/shop-1" / NAME).write_text("{}")
    (project / ".souk/releases/current").symlink_to("shop-1")
    monkeypatch.setattr(evaluate, "load_tensorflow", lambda: pytest.fail("models are loaded"))
    before = everything(project)
    assert main([*words, "--output", output]) == 2
    told = capsys.readouterr().err
    assert f"{output}, which another made. Name another folder" in told, told
    assert everything(project) == before


def test_another_release_that_is_not_there_is_told_before_models_are_loaded(project, capsys, monkeypatch):
    (project / ".souk/releases/shop-1").mkdir(parents=True)
    (project / ".souk/releases/shop-1" / NAME).write_text("{}")
    (project / ".souk/releases/current").symlink_to("shop-1")
    monkeypatch.setattr(evaluate, "load_tensorflow", lambda: pytest.fail("models are loaded"))
    assert main(["evaluate", "--against", "nope"]) == 2
    assert "nope" in capsys.readouterr().err


def test_no_items_at_all_are_refused_at_once(capsys, monkeypatch):
    monkeypatch.setattr(recommend, "load_tensorflow", lambda: pytest.fail("models are loaded"))
    with pytest.raises(SystemExit):
        main(["recommend", "--requests", "x", "--output", "y", "--k", "0"])
    assert "expected a whole number of at least 1" in capsys.readouterr().err


def test_what_is_placed_is_of_the_kind_that_stood_there(project):
    before = everything(project)
    refused = r"a file to replace at .*proj. Received: a folder, which stays"
    with pytest.raises(SoukError, match=refused), placed("proj") as fresh:
        fresh.write_text("values")
    refused = r"a folder to replace at .*in.jsonl. Received: a file, which stays"
    with pytest.raises(SoukError, match=refused), placed("in.jsonl") as fresh:
        fresh.mkdir()
    with pytest.raises(FileNotFoundError), placed("proj"):
        pass
    now = everything(project)
    assert {path: now[path] for path in now if not path.name.endswith(".lock")} == before


def test_a_step_replaces_its_own_folder(project):
    (project / "empty").mkdir()
    for place, ours in (("none", False), ("empty", False), ("proj", True)):
        free_artifact(place, lambda path, ours=ours: ours, "features")
    with pytest.raises(SoukError, match=r"features at proj, or nothing. Received: what another made, which stays"):
        free_artifact("proj", lambda path: False, "features")
