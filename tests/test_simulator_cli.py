"""`souk simulate` and its `score`: what they print, and every mistake as one clear line with nothing written."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from souk.cli import main
from souk.outputs import MARK
from souk.simulator.truth import read_truth

ROOT = Path(__file__).parents[1]
SMALL = ("--users", "40", "--items", "30", "--days", "5")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("cli") / "data"
    assert main(["simulate", *SMALL, "--output", str(path)]) == 0
    return path


def slates(path: Path, folder: Path, items: int = 5, **changes: object) -> Path:
    """A file of slates for three users, the oldest items."""
    truth = read_truth(folder)
    ids = truth.world.items.ids[:items].tolist()
    lines = [{"user_id": user, "items": ids, "scores": [0.0] * items} | changes for user in ("u0000", "u0001", "u0002")]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return path


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """The error of a call that must end with 2 and one line."""
    assert main(["simulate", *map(str, words)]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("souk simulate: Expected ")
    assert "Traceback" not in error
    return error


def test_it_says_what_it_wrote_and_what_comes_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(".souk/releases").mkdir(parents=True)
    Path(".souk/releases/current").symlink_to("shop-0123456789ab")  # of another data set
    assert main(["simulate", *SMALL, "--output", str(tmp_path / "new" / "data")]) == 0
    out = capsys.readouterr().out
    assert "day 5 of 5" in out
    assert "impressions" in out
    assert f"next: souk run --config {tmp_path / 'new' / 'data' / 'simulated.yaml'} --workspace .souk-simulated" in out
    files = {path.name for path in (tmp_path / "new" / "data").iterdir()}
    assert files == {
        "events.parquet", "items.parquet", "users.parquet", "truth", "simulated.yaml", "requests.jsonl", MARK
    }  # fmt: skip
    requests = [json.loads(line) for line in (tmp_path / "new/data/requests.jsonl").read_text("utf-8").splitlines()]
    declared = yaml.safe_load((tmp_path / "new/data/simulated.yaml").read_text("utf-8"))["columns"]["events"]
    assert len(requests) == 40
    assert all(request["context"].keys() == declared.keys() for request in requests)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("--users", "0"), "--users to be a whole number from 1"),
        (("--users", "-3"), "--users to be a whole number from 1"),
        (("--items", "9"), "A slate holds 10 different items"),
        (("--days", "-1"), "--days to be a whole number from 1"),
        (("--days", "99999"), "--days to be a whole number from 1 to 3,650"),
        (("--users", "1000000", "--days", "300"), "at most 200,000,000 days of users"),
        (("--seed", "-1"), "--seed to be a whole number from 0"),
        (("--policy", "populr"), "Did you mean 'popular'?"),
        (("--policy", "ftp://somewhere"), "http:// or https://"),
        (("--random-share", "1.5"), "--random-share from 0 to 1"),
        (("--random-share", "nan"), "--random-share from 0 to 1"),
    ],
)
def test_bad_numbers_and_names(words, wanted, tmp_path, capsys) -> None:
    assert wanted in refused(capsys, *SMALL, *words, "--output", tmp_path / "data")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "value"), [("--days", "0"), ("--days", "-5"), ("--seed", "-1")])
def test_bad_numbers_of_a_marketplace_that_goes_on(name, value, folder, tmp_path, capsys) -> None:
    words = ("--after", folder, name, value, "--output", tmp_path / "data")
    assert f"{name} to be a whole number from" in refused(capsys, *words)
    assert list(tmp_path.iterdir()) == []


def test_a_marketplace_that_goes_on_keeps_its_size(folder, tmp_path, capsys) -> None:
    assert "in nowhere" in refused(capsys, "--after", "nowhere", "--output", tmp_path / "x")
    for words, told in ((("--items", 3), "--items"), (("--users", 3, "--items", 3), "--users and --items")):
        error = refused(capsys, "--after", folder, *words, "--output", tmp_path / "x")
        assert f"--after without --users and --items. Received: {told}." in error
    assert main(["simulate", "--after", str(folder), "--days", "2", "--output", str(tmp_path / "y")]) == 0
    assert "40 users, 30 items, 2 days" in capsys.readouterr().out


def test_text_where_a_number_belongs(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as end:
        main(["simulate", "--users", "many", "--output", str(tmp_path / "data")])
    assert end.value.code == 2


def test_no_output(capsys) -> None:
    assert "--output DIR" in refused(capsys, *SMALL)


def test_what_stands_at_the_output_is_kept(tmp_path, capsys) -> None:
    target = tmp_path / "data"
    target.mkdir()
    (target / "thesis.txt").write_text("years of work", "utf-8")
    assert "nothing at" in refused(capsys, *SMALL, "--output", target)
    assert "simulated marketplaces only" in refused(capsys, *SMALL, "--output", target, "--force")
    assert [path.name for path in target.iterdir()] == ["thesis.txt"]
    file = tmp_path / "file"
    file.write_text("x", "utf-8")
    assert "nothing at" in refused(capsys, *SMALL, "--output", file)
    assert "to write" in refused(capsys, *SMALL, "--output", file / "below")


def test_force_replaces_a_simulated_marketplace(tmp_path, capsys) -> None:
    words = ["simulate", *SMALL, "--output", str(tmp_path / "data")]
    assert main(words) == 0
    assert "add --force" in refused(capsys, *words[1:])
    assert main([*words, "--force", "--seed", "2"]) == 0
    assert read_truth(tmp_path / "data").course.seed == 2
    (tmp_path / "data/truth/notes.txt").write_text("mine")
    assert "notes.txt, which another made" in refused(capsys, *words[1:], "--force")
    assert (tmp_path / "data/truth/notes.txt").read_text() == "mine"


def test_a_run_without_the_data_names_the_command_that_makes_it(tmp_path, capsys) -> None:
    config = tmp_path / "configs" / "simulated.yaml"
    config.parent.mkdir()
    config.write_bytes((ROOT / "configs" / "simulated.yaml").read_bytes())
    assert main(["run", "--config", str(config), "--workspace", str(tmp_path / "workspace")]) == 2
    error = capsys.readouterr().err
    command = error.strip().splitlines()[-1].partition("To get the data: ")[2]
    assert command == "souk simulate --output .souk/data/simulated"
    assert f"\t{command.replace('.souk/data/simulated', '$(@D)')}\n" in (ROOT / "Makefile").read_text("utf-8")


def test_no_room_leaves_nothing(tmp_path) -> None:
    """Files may not grow beyond 64 KiB: a disk that is full on the way."""
    words = [sys.executable, "-m", "souk", "simulate", *SMALL, "--users", "900", "--output", "data"]
    limited = ["bash", "-c", 'ulimit -f 64; exec "$@"', "bash", *words]
    done = subprocess.run(limited, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("souk simulate: Expected to write data. Received: ")
    assert "Make room" in done.stderr
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".lock"] == []


def test_scores_are_printed_and_written(folder, tmp_path, capsys) -> None:
    given, output = slates(tmp_path / "s.jsonl", folder), tmp_path / "scores.jsonl"
    words = ["simulate", "score", "--truth", folder, "--slates", given, "--output", output, "--against", given]
    assert main([*map(str, words)]) == 0
    out = capsys.readouterr().out
    rows = ("these slates", "the others", "difference", "random", "popular", "most clicks", "most satisfaction")
    assert all(f"\n{row} " in out for row in rows)
    assert "0.0000 [0.0000, 0.0000]" in out
    lines = [json.loads(line) for line in output.read_text("utf-8").splitlines()]
    assert [line["user_id"] for line in lines] == ["u0000", "u0001", "u0002"]
    assert all(line.keys() == {"user_id", "clicks", "satisfaction", "lifetime_value"} for line in lines)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", "an empty file"),
        ("\n\n", "an empty file"),
        ('{"user_id": "u0000", "items": ["i0001"]}\n{"user_id"\n', "line 2"),
        ("[1, 2]\n", "an object in"),
        ('{"user_id": "u0000"}', "a list of 1 to 200 item ids"),
        ('{"user_id": "u0000", "items": []}', "a list of 1 to 200 item ids"),
        ('{"user_id": "u0000", "items": ["i0001", "i0001"]}', "twice"),
        ('{"user_id": "u0000", "items": ["shoe"]}', "items of the simulated marketplace"),
        ('{"user_id": "u0000", "items": [1]}', "items of the simulated marketplace"),
        ('{"user_id": "nobody", "items": ["i0001"]}', "a user of the simulated marketplace"),
        ('{"user_id": 7, "items": ["i0001"]}', "a user of the simulated marketplace"),
        ('{"error": "Expected line 1.k"}', "an error: Expected line 1.k"),
    ],
)
def test_slates_that_are_none(text, wanted, folder, tmp_path, capsys) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text(text, "utf-8")
    words = ("score", "--truth", folder, "--slates", path, "--output", tmp_path / "out.jsonl")
    assert wanted in refused(capsys, *words)
    assert not (tmp_path / "out.jsonl").exists()


def test_files_that_are_not_there_or_not_those(folder, tmp_path, capsys) -> None:
    given = slates(tmp_path / "s.jsonl", folder)
    assert "a file of slates" in refused(capsys, "score", "--truth", folder, "--slates", tmp_path / "none")
    assert "a simulated marketplace in" in refused(capsys, "score", "--truth", tmp_path, "--slates", given)
    (tmp_path / "b").write_bytes(b"\xff\xfe\x00")
    assert "a file of slates" in refused(capsys, "score", "--truth", folder, "--slates", tmp_path / "b")


@pytest.mark.parametrize("name", ["world.json", "tastes.npy", "items.parquet", "trust.npy"])
def test_a_truth_that_is_damaged(name, tmp_path, capsys) -> None:
    assert main(["simulate", *SMALL, "--output", str(tmp_path / "data")]) == 0
    path = tmp_path / "data" / "truth" / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    given = tmp_path / "s.jsonl"
    given.write_text('{"user_id": "u0000", "items": ["i0001"]}', "utf-8")
    assert "readable files" in refused(capsys, "score", "--truth", tmp_path / "data", "--slates", given)


@pytest.mark.parametrize("at", ["yesterday", "0", "2030-01-01", "-5"])
def test_times_that_are_none(at, folder, tmp_path, capsys) -> None:
    given = slates(tmp_path / "s.jsonl", folder)
    error = refused(capsys, "score", "--truth", folder, "--slates", given, f"--at={at}")
    assert "time from" in error or "--at as UTC" in error


def test_a_time_within_the_data(folder, tmp_path, capsys) -> None:
    given = slates(tmp_path / "s.jsonl", folder)
    words = ["simulate", "score", "--truth", str(folder), "--slates", str(given)]
    assert main([*words, "--at", "2024-01-03T12:00"]) == 0
    assert "as of 2024-01-03 12:00 UTC" in capsys.readouterr().out
