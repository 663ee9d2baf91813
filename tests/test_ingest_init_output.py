"""`souk init`: the file that it writes, and the commands that it prints."""

import random
import shlex
from pathlib import Path

import pytest

from souk.cli import main
from souk.ingest.guess.config_file import write_config
from tests.test_ingest_first_config import Table, clicks, init, products, write


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with events and items of a shop, in which the command runs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "parts").mkdir()
    random_ = random.Random(3)
    write(clicks(random_), tmp_path / "e.csv")
    write(clicks(random_), tmp_path / "parts/one.csv")
    write(products(random_), tmp_path / "i.csv")
    (tmp_path / "link").symlink_to(tmp_path / "parts")
    return tmp_path


@pytest.mark.parametrize(
    ("events", "output"),
    [
        ("e.csv", "e.csv"),
        ("e.csv", "./parts/../i.csv"),
        ("file://{here}/e.csv", "e.csv"),
        ("parts", "parts/one.csv"),
        ("parts", "link/new.yaml"),  # which a run would read as data
        ("par*/o*.csv", "link/one.csv"),
    ],
)
def test_the_data_are_not_overwritten_even_by_force(
    shop: Path, capsys: pytest.CaptureFixture[str], events: str, output: str
) -> None:
    before = {path: path.read_bytes() for path in shop.rglob("*") if path.is_file()}
    words = ["--events", events.format(here=shop), "--items", "i.csv", "--output", output, "--force"]
    assert main(["init", *words]) == 2
    assert f"a file to write that is none of the data. Received: {Path(output)}, of " in capsys.readouterr().err
    assert {path: path.read_bytes() for path in shop.rglob("*") if path.is_file()} == before


def test_beside_the_data_a_config_is_written(shop: Path) -> None:
    assert main(["init", "--events", "parts/*.csv", "--output", "parts/my.yaml"]) == 0
    assert (shop / "parts/my.yaml").is_file()


def test_a_shell_takes_the_commands_that_are_printed(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = "of mine/it's $HOME; #1.yaml"
    assert main(["init", "--events", "e.csv", "--output", output]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    words = ["--config", output, "--workspace", ".souk-it_s_home_1"]
    assert shlex.split(last.partition("`")[2].rpartition("`")[0]) == ["souk", "check", *words]
    assert shlex.split(last.partition(" Then: ")[2]) == ["souk", "run", *words]


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_a_folder_is_told_as_one(shop: Path, capsys: pytest.CaptureFixture[str], force: list[str]) -> None:
    (shop / "adir").mkdir()
    assert main(["init", "--events", "e.csv", "--output", "adir", *force]) == 2
    assert "adir, which is a folder. Name a file, such as adir/my.yaml." in capsys.readouterr().err
    assert not list((shop / "adir").iterdir())


@pytest.mark.parametrize("source", ["package://nothing/e.csv", "s3://bucket/e.csv", "nowhere*.csv"])
def test_data_elsewhere_are_no_file_to_write(tmp_path: Path, source: str) -> None:
    write_config("a: 1\n", tmp_path / "my.yaml", inputs=[source])
    assert (tmp_path / "my.yaml").read_text() == "a: 1\n"


ODD = "\x7f\x80\x85\x91\x9f\u2028\u2029\ufeff\ufffe\uffff"


@pytest.mark.parametrize("odd", [*ODD, "ä\u2027\U0001f600\ue000"], ids=ascii)
def test_whatever_names_and_words_are_made_of_the_config_is_read(tmp_path: Path, odd: str) -> None:
    """In columns that are mapped, declared and left out, in event types, separators and evidence."""
    kinds, random_ = {"view": f"a{odd}b", "addToCart": f"bu{odd}y"}, random.Random(3)
    rows = [{**row, "Action": kinds.get(row["Action"], row["Action"])} for row in clicks(random_)]
    rows = [{f"Browser{odd}x": row.pop("Browser"), f"check{odd}x": row.pop("checksum"), **row} for row in rows]
    goods = [{f"code{odd}": row.pop("code"), **row} for row in products(random_)]
    text, config = init(tmp_path, write(rows, tmp_path / "e.jsonl"), write(goods, tmp_path / "i.jsonl"))
    assert set(config.data.events.event_types) == {f"a{odd}b", f"bu{odd}y", "transaction"}
    assert config.data.items.columns["item_id"] == f"code{odd}"
    assert f"Browser{odd}x" in config.data.events.columns.values() and "left out: check" in text
    assert (odd in text) == (odd not in ODD)


def test_comments_are_whole_and_say_what_to_do(tmp_path: Path) -> None:
    """Of long values the beginning is shown; what has endless names ends with a word and says that it is cut."""
    act = "was_told_of_it_by_somebody_else_and_"
    rows: Table = [
        {
            "user_id": f"u{n % 9}",
            "item_id": f"i{n % 7}",
            "time": 1_700_000_000 + n,
            "what_became_of_it": f"{act}{n % 4}",
        }
        | {"endless name " * 60: 1}
        for n in range(60)
    ]
    goods: Table = [{"item_id": f"i{n}", "beginning_of_the_season": f"2026-03-0{n + 1}T00:00:00"} for n in range(7)]
    text, _ = init(tmp_path, write(rows, tmp_path / "e.jsonl"), write(goods, tmp_path / "i.csv"))
    lines = text.splitlines()
    assert any(line.endswith("its values under event_types, and declare it no more") for line in lines)
    assert f"OR IS IT what_became_of_it ({', '.join([act[:24]] * 4)})? Then" in text
    assert any(
        line.endswith("such as 2026-03-01T00:00:00, 2026-03-02T00:00:00, 2026-03-03T00:00:00)") for line in lines
    )
    assert "    # left out: " + "endless name " * 46 + "... (no context of a request; one value or none)" in lines


def test_what_is_learned_of_events_is_asked_for_and_of_items_not(shop: Path) -> None:
    """A click's `Browser` may be that of a request, or tell how the click came to be."""
    text, _ = init(shop, str(shop / "e.csv"), str(shop / "i.csv"))
    assert (
        "\n  events:  # keep what a request has when it asks for a slate, before anything is done\n    browser: cat"
        in text
    )
    assert "\n  items:\n    " in text.partition("columns:  # what")[2]
