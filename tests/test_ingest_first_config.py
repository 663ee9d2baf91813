"""`souk init`: odd files in three formats give a config that parses, reads and says why."""

import csv
import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from souk.cli import main
from souk.config import DatasetConfig, load_config, parse_config
from souk.errors import SoukError
from souk.ingest.guess.config_file import write_config
from souk.ingest.guess.first_config import first_config
from souk.ingest.guess.kind import guess_kind
from souk.ingest.profile import Column
from souk.schema import EventType, Kind
from tests.ingest_fixtures import Gathered, read_rows

Table = list[dict[str, Any]]


def write(rows: Table, path: Path) -> str:
    if path.suffix == ".parquet":
        parquet.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter=";")
            writer.writeheader()
            writer.writerows({k: "|".join(v) if isinstance(v, list) else v for k, v in row.items()} for row in rows)
    return str(path)


def clicks(random_: random.Random, count: int = 600) -> Table:
    """Events with odd names: repeats, three types, millisecond times."""
    return [
        {
            "VisitorID": f"v{random_.randrange(40)}",
            "Product Code": random_.randrange(100, 160),
            "Happened": 1_700_000_000_000 + n * 60_000,
            "Action": random_.choice(["view", "view", "addToCart", "transaction"]),
            "Browser": random_.choice(["firefox", "chrome"]),
            "checksum": f"{random_.randrange(10**12):x}",
        }
        for n in range(count)
    ]


def products(random_: random.Random) -> Table:
    return [
        {
            "code": code,
            "Product Name": f"{random_.choice(['red', 'blue', 'old'])} {random_.choice(['lamp', 'chair'])} no {code}",
            "unitPrice": round(random_.uniform(1, 90), 2),
            "tags": random_.sample(["home", "sale", "new", "eco"], 2),
            "dept": random_.choice(["home/light/desk", "home/seats", "garden/seats"]),
            "weight_g": random_.randrange(100, 5000),
        }
        for code in range(100, 160)
    ]


def init(tmp_path: Path, *paths: str | None) -> tuple[str, DatasetConfig]:
    """The text of a first config, and the config as loaded from a file."""
    events, items, users = (*paths, None, None)[:3]
    text = first_config(str(events), items, users, "my data").text
    write_config(text, tmp_path / "my.yaml")
    return text, load_config(tmp_path / "my.yaml")


def read(config: DatasetConfig, table: str) -> Gathered:
    return read_rows(table, getattr(config.data, table), getattr(config.columns, table))


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_shop_in_every_format(tmp_path: Path, kind: str) -> None:
    random_ = random.Random(3)
    events = write(clicks(random_), tmp_path / f"e.{kind}")
    text, config = init(tmp_path, events, write(products(random_), tmp_path / f"i.{kind}"))
    assert config.name == "my_data"
    mapped = config.data.events.columns
    assert mapped["user_id"] == "VisitorID"
    assert mapped["item_id"] == "Product Code"
    assert mapped["timestamp"] == "Happened"
    assert config.data.events.event_types == {
        "view": EventType.CLICK,
        "addToCart": EventType.CART,
        "transaction": EventType.PURCHASE,
    }
    assert config.columns.events == {"browser": Kind.CATEGORICAL}
    assert config.data.items is not None
    assert config.data.items.columns["item_id"] == "code"
    assert config.columns.items == {
        "title": Kind.TEXT,
        "price": Kind.NUMERIC,
        "tags": Kind.LIST,
        "category": Kind.PATH,
        "weight_g": Kind.NUMERIC,
    }
    assert [str(e) for e in config.objectives.engaged.events] == ["click", "cart", "purchase"]
    satisfied = config.objectives.satisfied
    assert satisfied.events == (EventType.CLICK, EventType.CART), "of purchases alone each would be one"
    assert satisfied.followed_by == (EventType.PURCHASE,) and satisfied.within_days == 0.1
    assert config.repeat.rule == "after_days"
    assert "left out: checksum" in text
    rows, items = read(config, "events"), read(config, "items")
    assert rows.faults == items.faults == []
    assert rows.table["timestamp"].to_pylist()[1] == 1_700_000_060_000
    assert set(rows.table["event_type"].to_pylist()) == {"click", "cart", "purchase"}
    assert sorted(items.table["tags"].to_pylist()[0])[0] in ("eco", "home", "new", "sale")
    assert set(rows.table["item_id"].to_pylist()) <= set(items.table["item_id"].to_pylist())


def test_every_guess_has_its_evidence_beside_it(tmp_path: Path) -> None:
    random_ = random.Random(4)
    text, _ = init(tmp_path, write(clicks(random_), tmp_path / "e.csv"), write(products(random_), tmp_path / "i.csv"))
    guesses = text.partition("\ndata:\n")[2].splitlines()
    headings = ("path:", "separators:", "timestamp_unit:", "engaged:")
    for line in guesses:
        key, _, value = line.strip().partition(" ")
        if (
            value
            and not key.startswith("#")
            and key not in headings
            and "    tags: " not in line
            and '" > "' not in line
        ):
            assert "#" in line, line


def test_ratings_that_nobody_repeats(tmp_path: Path) -> None:
    rows = [
        {
            "u": n // 10,
            "movie": n % 10 + (n // 10) % 3,
            "stars": (n * 7) % 5 + 1,
            "date": f"2024-01-{n % 28 + 1:02}T10:00:00+01:00",
        }
        for n in range(400)
    ]
    columns = [{"uid": row.pop("u"), **row} for row in rows]
    _, config = init(tmp_path, write(columns, tmp_path / "e.jsonl"))
    assert config.data.events.timestamp_unit == "iso"
    assert config.data.events.constants == {"event_type": "rating"}
    assert config.objectives.satisfied.min_value == 4
    assert config.repeat.rule == "never"
    assert read(config, "events").faults == []


def test_a_column_that_may_be_the_type_is_pointed_at(tmp_path: Path) -> None:
    kinds = ["bekeken", "gekocht", "teruggestuurd"]
    rows = [
        {"user_id": f"u{n % 10}", "item_id": f"i{n % 7}", "timestamp": 1_700_000_000_000 + n, "Vorgang": kinds[n % 3]}
        for n in range(200)
    ]
    text, config = init(tmp_path, write(rows, tmp_path / "e.jsonl"))
    assert config.data.events.constants == {"event_type": "click"}
    assert "OR IS IT Vorgang (bekeken, gekocht, teruggestuurd)?" in text
    assert (
        "# left out: Vorgang (MAY SAY WHAT THE USER DID, such as bekeken, gekocht, teruggestuurd; declare it if" in text
    )
    assert not config.columns.events, "as context it would give the label away"


def test_a_column_whose_values_are_event_types_is_the_type(tmp_path: Path) -> None:
    kinds = ["viewed", "Add To Basket", "bought", "nachgefragt"]
    rows = [
        {
            "user_id": f"u{n % 9}",
            "item_id": f"i{n % 7}",
            "timestamp": 1_700_000_000_000 + n,
            "What happened": kinds[n % 4],
        }
        for n in range(200)
    ]
    text, config = init(tmp_path, write(rows, tmp_path / "e.jsonl"))
    assert read(config, "events").table["event_type"].to_pylist()[:4] == ["click", "cart", "purchase", "click"]
    assert "by its values; 4 values" in text and not config.columns.events


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_a_csv_of_a_spreadsheet_is_read_in_its_encoding(tmp_path: Path, encoding: str) -> None:
    lines = "".join(f"u{n % 9};Größe {n % 7} €;{1_700_000_000 + n};Köln\n" for n in range(99))
    (tmp_path / "e.csv").write_bytes(f"user;item;time;Städte\n{lines}".encode(encoding))
    text, config = init(tmp_path, str(tmp_path / "e.csv"))
    assert config.data.events.encoding == encoding and ("do its words look right" in text) == (encoding == "cp1252")
    assert read(config, "events").table["item_id"][:2].to_pylist() == ["Größe 0 €", "Größe 1 €"] and "Städte" in text


def test_impressions_with_a_click_column(tmp_path: Path) -> None:
    rows = [
        {"user": n % 9, "item": n % 5, "ts": 1_700_000_000 + n, "click": int(n % 4 == 0), "position": 1}
        for n in range(99)
    ]
    _, config = init(tmp_path, write(rows, tmp_path / "e.parquet"))
    types = read(config, "events").table["event_type"].to_pylist()
    assert types[:5] == ["click", "impression", "impression", "impression", "click"]
    assert config.objectives.engaged.events == (EventType.CLICK,)


def test_the_threshold_makes_room_for_what_the_contract_refuses(tmp_path: Path) -> None:
    rows = [{"user": n, "item": None if n % 4 == 0 else n % 5, "time": 1_700_000_000 + n} for n in range(200)]
    text, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert 0.25 < config.ingest.quarantine_threshold < 0.35
    assert "25.0% of events" in text


@pytest.mark.parametrize(
    ("rows", "missing"),
    [
        ([{"item": "i", "time": 1_700_000_000}], "could be user_id"),
        ([{"user": "u", "time": 1_700_000_000}], "could be item_id"),
        ([{"user^item^time": "u^i^1700000000"}], "It has one column"),
        ([{"user": "u", "item": "i", "date": "1/2/2024"}], "date with values such as 1/2/2024"),
    ],
)
def test_what_cannot_be_guessed_is_an_error(tmp_path: Path, rows: Table, missing: str) -> None:
    with pytest.raises(SoukError, match=missing):
        first_config(write(rows, tmp_path / "e.csv"), None, None, "x")


def test_a_config_is_not_overwritten_without_force(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    old, new = (f"name: {name}\ndata: {{}}\nobjectives: {{}}\n" for name in ("old", "new"))
    write_config(old, path)
    with pytest.raises(SoukError, match="--force"):
        write_config(new, path)
    write_config(new, path, force=True)
    assert path.read_text() == new
    path.write_text("my notes")
    with pytest.raises(SoukError, match=r"my\.yaml, which another made"):
        write_config(new, path, force=True)
    assert path.read_text() == "my notes"


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("age", [20, 30, 40, 20] * 10, Kind.NUMERIC),
        ("occupation", [1, 2, 3, 1] * 10, Kind.CATEGORICAL),
        ("zip", [f"{n:05}" for n in range(40)], None),
        ("row", list(range(40)), None),
        ("same", ["x"] * 40, None),
        ("genres", ["a|b", "b", "a|c", "c"] * 10, Kind.LIST),
        ("path", ["a > b", "a > c", "d > e > f"] * 10, Kind.PATH),
        ("bag", [["a", "b"], ["b"]] * 20, Kind.LIST),
        ("vector", [[0.5, 1.0]] * 20 + [[1.0, 0.5]] * 20, None),
        ("plot", [f"the story of number {n}" for n in range(40)], Kind.TEXT),
        ("added", [f"2024-01-{n % 28 + 1:02}" for n in range(40)], None),
    ],
)
def test_kinds(name: str, values: list[Any], kind: Kind | None) -> None:
    assert guess_kind(Column(name, pa.array(values))).kind == kind


def test_words_that_are_no_true_or_false_do_not_say_what_is_available(tmp_path):
    events, items = tmp_path / "events.csv", tmp_path / "items.csv"
    rows = [f"u{n % 20},i{n % 30},click,{1_700_000_000 + n * 3600}" for n in range(300)]
    events.write_text("\n".join(["user_id,item_id,event_type,timestamp", *rows]), "utf-8")
    answers = [f"i{n},{'tak' if n % 3 else 'nie'}" for n in range(30)]
    items.write_text("\n".join(["item_id,In Stock", *answers]), "utf-8")
    config = parse_config(first_config(str(events), str(items), None, "shop").text)
    assert "available" not in config.data.items.columns
    assert config.columns.items == {"in_stock": "categorical"}
    assert config.ingest.quarantine_threshold == 0.05


def test_a_table_that_would_be_refused_is_not_let_through(tmp_path):
    events, items = tmp_path / "events.csv", tmp_path / "items.csv"
    rows = [f"u{n % 20},i{n % 30},click,{1_700_000_000 + n * 3600}" for n in range(300)]
    events.write_text("\n".join(["user_id,item_id,event_type,timestamp", *rows]), "utf-8")
    items.write_text("\n".join(["item_id,price", *(f"i{n},-{n + 1}.5" for n in range(30))]), "utf-8")
    text = first_config(str(events), str(items), None, "shop").text
    assert "The contract refuses 100.0% of items: a column above is not what it seems." in text
    assert parse_config(text).ingest.quarantine_threshold == 0.05


def test_a_file_that_is_not_there_is_told_without_options_that_init_lacks(tmp_path, capsys):
    for table in ("events", "items"):
        given = {"events": write([{"user": "u1", "item": "i1", "time": 1_700_000_000}], tmp_path / "e.csv")}
        given[table] = tmp_path / "nofile.csv"
        words = [word for name, path in given.items() for word in (f"--{name}", str(path))]
        assert main(["init", *words, "--output", str(tmp_path / "my.yaml")]) == 2
        told = capsys.readouterr().err
        assert "nofile.csv. Received: nothing there. Check the path" in told
        assert "--data" not in told
