"""Recommendations for a file of requests."""

import errno
import fcntl
import json
import subprocess
import sys

import pytest

from souk.cli import main
from souk.errors import SoukError
from souk.release.bundle import Bundle
from souk.serving import batch
from souk.serving.batch import BATCH, recommend_file
from souk.serving.recommender import Recommender
from souk.serving.request import RequestParser
from souk.serving.served import open_store
from tests.serving_fixtures import NOW, SPEC, write_workspace

KNOWN = b", ".join(b'"g2-0%d"' % n for n in range(10))
LINES = [
    b'{"user_id": "ann", "k": 3}',
    b" ",
    b'{"user_id": "new", "context": {"device": 5}, "candidates": ["NOPE", %s]}' % KNOWN,
    b"{",
    b"\xff\xfe",
    b"[" * 2000,
    b'{"user_id": "bob", "kk": 3}',
    b'{"user_id": "bob", "timestamp": 1699999999999}',
    b'{"user_id": "bob", "filter": {"price": {"min": 60, "max": 10}}}',
]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return write_workspace(tmp_path_factory.mktemp("batch"))


def write(path, lines):
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_one_request_in_one_line_out_in_order(workspace, tmp_path):
    output = tmp_path / "out.jsonl"
    counts = recommend_file(workspace.root, write(tmp_path / "in.jsonl", LINES), output, NOW, k=7)
    answers = read(output)
    assert counts == {"answered": 3, "empty": 0, "refused": 5}, "the second line is blank, and no request"
    assert [answer.get("user_id") for answer in answers] == ["ann", "new", None, None, None, None, "bob", None]
    assert [len(answer.get("items", ())) for answer in answers] == [3, 7, 0, 0, 0, 0, 7, 0]
    assert answers[1]["degraded"] == ["malformed_feature:device", "unknown_candidates", "unknown_user"]
    for place in (2, 3, 4):
        assert answers[place] == {"error": answers[place]["error"]}
        assert f"Expected line {place + 2} to be a JSON object" in answers[place]["error"]
    assert "Did you mean 'k'?" in answers[5]["error"]
    assert "a min that is not above its max. Received: min 60, max 10." in answers[7]["error"]
    assert {answer["release"] for answer in answers if "error" not in answer} == {workspace.current_release()}
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_line_in_a_hurry_takes_no_stage_from_the_others(workspace, tmp_path):
    """Lines are answered by hundreds, and nobody waits for one of them."""
    lines = [b'{"user_id": "ann"}'] * 250
    hurry = [b'{"user_id": "ann", "timeout_ms": 1}', *lines]
    recommend_file(workspace.root, write(tmp_path / "in.jsonl", hurry), tmp_path / "out.jsonl", NOW)
    first, *others = read(tmp_path / "out.jsonl")
    assert first["degraded"] == [] and all(each == first for each in others)


def test_the_answers_are_the_recommenders(workspace, tmp_path):
    bundle = Bundle.load(workspace.current)
    kinds = [{"user_id": user, "k": k, "timestamp": NOW} for user in ("ann", "bob", "new") for k in (1, 20, 50)]
    lines = [json.dumps(kinds[n % len(kinds)]).encode() for n in range(2 * BATCH + 5)]
    recommend_file(workspace.root, write(tmp_path / "in.jsonl", lines), tmp_path / "out.jsonl", NOW)
    recommender = Recommender.load(bundle, None, open_store(workspace, bundle))
    parser = RequestParser(SPEC, 10, 50)
    slates = [recommender.recommend([parser.parse(request, NOW)])[0] for request in kinds]
    answers = read(tmp_path / "out.jsonl")
    assert len(answers) == len(lines)
    for number, answer in enumerate(answers):
        slate = slates[number % len(kinds)]
        assert answer["items"] == [item.item_id for item in slate.items]
        assert answer["scores"] == pytest.approx([item.score for item in slate.items], abs=1e-6)


@pytest.mark.parametrize(("k", "text"), [(51, "--k from 1 to 50"), (0, "--k from 1 to 50")])
def test_k_out_of_bounds_is_refused(workspace, tmp_path, k, text):
    with pytest.raises(SoukError, match=text):
        recommend_file(workspace.root, write(tmp_path / "in.jsonl", LINES), tmp_path / "out.jsonl", NOW, k=k)


def test_paths_that_do_not_work_are_named(workspace, tmp_path):
    with pytest.raises(SoukError, match=r"missing\.jsonl to be readable"):
        recommend_file(workspace.root, tmp_path / "missing.jsonl", tmp_path / "out.jsonl", NOW)
    source = write(tmp_path / "in.jsonl", LINES)
    with pytest.raises(SoukError, match="nowhere is none"):
        recommend_file(workspace.root, source, tmp_path / "nowhere" / "out.jsonl", NOW)
    with pytest.raises(SoukError, match="a release at"):
        recommend_file(tmp_path, source, tmp_path / "out.jsonl", NOW)


@pytest.mark.parametrize(
    ("requests", "output", "text"),
    [
        ("missing.jsonl", "out.jsonl", "missing.jsonl to be readable"),
        ("in.jsonl", "nowhere/out.jsonl", "a folder for nowhere/out.jsonl. Received: nowhere is none"),
    ],
)
def test_paths_are_looked_at_before_anything_is_loaded(tmp_path, monkeypatch, capsys, requests, output, text):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "in.jsonl", LINES)
    assert main(["recommend", "--requests", requests, "--output", output, "--workspace", str(tmp_path)]) == 2
    assert text in capsys.readouterr().err


def test_a_stop_half_way_leaves_the_old_output(workspace, tmp_path, monkeypatch):
    output = tmp_path / "out.jsonl"
    old = '{"error": "the old answers"}\n'
    output.write_text(old)

    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(Recommender, "recommend", stop)
    with pytest.raises(KeyboardInterrupt):
        recommend_file(workspace.root, write(tmp_path / "in.jsonl", LINES), output, NOW)
    assert output.read_text() == old and sorted(p.name for p in tmp_path.iterdir()) == [
        "in.jsonl",
        "out.jsonl",
    ]


@pytest.mark.parametrize(
    ("lines", "status"), [([b'{"user_id": "ann"}', b"[]"], 0), ([b"[]", b'{"user": "ann"}'], 1), ([], 0)]
)
def test_the_exit_code_says_whether_anything_was_answered(workspace, tmp_path, lines, status):
    requests, output = write(tmp_path / "in.jsonl", lines), str(tmp_path / "out.jsonl")
    words = ["--requests", str(requests), "--output", output, "--workspace", str(workspace.root)]
    assert main(["recommend", *words]) == status
    assert len(read(tmp_path / "out.jsonl")) == len(lines)


def test_requests_come_from_standard_input_too(workspace, tmp_path):
    answers = tmp_path / "out.jsonl", tmp_path / "piped.jsonl"
    requests = write(tmp_path / "in.jsonl", LINES)
    for given, output in zip((str(requests), "-"), answers, strict=True):
        words = ["--requests", given, "--output", str(output), "--workspace", str(workspace.root)]
        command = [sys.executable, "-m", "souk", "recommend", *words]
        subprocess.run(command, input=requests.read_bytes(), check=True, capture_output=True)
    told = [[answer | {"scores": None} for answer in read(output)] for output in answers]
    assert told[0] == told[1] and len(told[0]) == 8


def test_what_a_killed_one_left_is_cleared_and_what_another_writes_now_is_not(workspace, tmp_path):
    source, output = write(tmp_path / "in.jsonl", LINES[:1]), tmp_path / "out.jsonl"
    left, others = tmp_path / ".out.jsonl.1.partial", tmp_path / ".out.jsonl.2.partial"
    left.touch()
    with others.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        recommend_file(workspace.root, source, output, NOW)
    assert sorted(path.name for path in tmp_path.iterdir()) == [others.name, "in.jsonl", "out.jsonl"]


def test_a_full_disk_is_told_as_one_and_leaves_the_old_output(workspace, tmp_path, monkeypatch):
    source, output = write(tmp_path / "in.jsonl", LINES[:1]), tmp_path / "out.jsonl"
    output.write_text('{"error": "the old answers"}\n')

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(batch, "_write", full)
    with pytest.raises(SoukError, match=r"free space for .*out\.jsonl. Received: No space left .* Make room"):
        recommend_file(workspace.root, source, output, NOW)
    assert read(output) == [{"error": "the old answers"}] and len(list(tmp_path.iterdir())) == 2
