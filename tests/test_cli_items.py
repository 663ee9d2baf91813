"""`souk items`: what it sends of each kind of file, what it says of refusals."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from souk.cli import main
from souk.cli.items import BODY_BYTES, ROWS
from souk.serving.protocol.refusals import MAX_BODY_BYTES
from tests.json_server import answering


@pytest.fixture
def sent():
    """A server that refuses items without a title or with a date in words, and the bodies that it got."""
    bodies = []

    def wrong(row):
        if isinstance(row.get("created_at"), str):
            return "Expected created_at to be a number"
        return "" if row.get("title") else "no title"

    def take(path, body):
        rows = json.loads(body)["items"]
        bodies.append(rows)
        refused = [
            {"row": n, "item_id": row.get("item_id"), "reason": why}
            for n, row in enumerate(rows)
            if isinstance(row, dict) and "available" not in row and (why := wrong(row))
        ] + [
            {"row": n, "item_id": None, "reason": "a JSON object for each item"}
            for n, row in enumerate(rows)
            if isinstance(row, str)
        ]
        answer = {"accepted": len(rows) - len(refused), "created": 0, "refused": refused}
        answer |= {"ended": len(rows) - 1} if "ended=1" in path else {}
        full = "calls=3" in path and len(bodies) == 3
        return 503 if full else 200 if path.endswith("/v1/items:upsert") else 404, answer

    with answering(take) as url:
        yield url, bodies


CONFIG = """
name: shop
data:
  events: {path: events.csv}
  items: {path: elsewhere.csv, columns: {item_id: sku, title: name, price: cost}, separators: {tags: "|"}}
columns: {items: {title: text, tags: list, price: numeric}}
objectives: {engaged: {events: [click]}, satisfied: {events: [click]}}
"""


def test_a_file_in_the_names_of_a_config(sent, tmp_path, capsys):
    url, bodies = sent
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "new.csv").write_text("sku,name,tags\n7,Boots,red|warm\n8,,\n")
    config = ["--config", str(tmp_path / "config.yaml"), "--url", url]
    assert main(["items", "upsert", str(tmp_path / "new.csv"), *config]) == 1
    said = capsys.readouterr()
    assert bodies == [[
        {"item_id": "7", "title": "Boots", "tags": ["red", "warm"]},
        {"item_id": "8", "title": None, "tags": None},
    ]]  # fmt: skip
    assert "row 2, item '8': no title" in said.err and "1 accepted (0 new), 1 refused" in said.out
    (tmp_path / "more.csv").write_text("sku,name,cost\n9,Hat,dear\n")
    main(["items", "upsert", str(tmp_path / "more.csv"), *config])
    assert bodies[-1] == [{"item_id": "9", "title": "Hat", "price": "dear"}]  # the server says what is wrong with it


@pytest.mark.parametrize(
    ("unit", "time", "remedy"),
    [
        ("iso", "27.11.2026", " Set data.items.timestamp_unit to dmy, by whether the month or the day is first in 27."),
        ("iso", "27. Nov", " Write times such as 27. Nov as 2024-05-31T12:00:00 in the file; data.items."),
        ("s", "2026-11-27", " Set data.items.timestamp_unit to iso if times are written as 2024-05-31T12:00:00.\n"),
        ("iso", "", "\n"),
    ],
)
def test_a_date_that_the_config_does_not_read_is_told_with_its_unit(sent, tmp_path, capsys, unit, time, remedy):
    url, _ = sent
    columns = "path: elsewhere.csv, columns: {item_id: sku, title: name, created_at: since}"
    (tmp_path / "config.yaml").write_text(
        f"name: shop\ndata: {{events: {{path: e.csv}}, items: {{{columns}, timestamp_unit: {unit}}}}}\n"
        "objectives: {engaged: {events: [click]}, satisfied: {events: [click]}}\n"
    )
    (tmp_path / "new.csv").write_text(f"sku,name,since\n7,{'Boots' if time else ''},{time}\n")
    words = ["items", "upsert", str(tmp_path / "new.csv"), "--url", url, "--config", str(tmp_path / "config.yaml")]
    assert main(words) == 1
    assert (
        f"row 1, item '7': {'Expected created_at to be a number' if time else 'no title'}{remedy}"
        in capsys.readouterr().err
    )


def test_a_file_of_events_is_told_and_not_sent(sent, tmp_path, capsys, monkeypatch):
    """Its views have no price, and those of the whole shop were cleared."""
    url, bodies = sent
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(CONFIG)
    words = ["--config", "config.yaml", "--url", url]
    rows = [f"u{n},{n % (ROWS + 1)},view,Hat,\n" for n in range(ROWS + 12)]
    (tmp_path / "events.csv").write_text("user,sku,act,name,cost\n" + "".join(rows))
    assert main(["items", "upsert", "events.csv", *words]) == 0, "11 of 512 rows, 2%"
    (tmp_path / "events.csv").write_text("user,sku,act,name,cost\n" + "".join(rows + rows[:40]))
    bodies.clear()
    assert main(["items", "upsert", "events.csv", *words]) == 2 and not bodies
    said = capsys.readouterr().err
    assert "at most 5.0% of its rows of an item that it has already. Received: events.csv, with 51 of 552. " in said
    assert said.count("items: column act of the source is not used\nitems: column user of the source is not used") == 1
    (tmp_path / "config.yaml").write_text(CONFIG.replace("elsewhere.csv,", "elsewhere.csv, repeated_ids: last,"))
    assert main(["items", "upsert", "events.csv", *words]) == 0 and len(bodies) == 2


def test_one_item_in_the_names_of_a_config(sent, tmp_path, capsys):
    url, bodies = sent
    (tmp_path / "config.yaml").write_text(CONFIG)
    words = ["--config", str(tmp_path / "config.yaml"), "--url", url]
    item = {"sku": "7", "name": "Böots", "tags": "red|warm", "cost": 3}
    assert main(["items", "upsert", "--item", json.dumps(item), *words]) == 0
    assert bodies == [[{"item_id": "7", "title": "Böots", "tags": ["red", "warm"], "price": 3.0}]]
    assert main(["items", "upsert", "--item", '{"sku": "7", "tag": "red"}', *words]) == 1
    assert capsys.readouterr().err.startswith("items: column tag of the source is not used\n")
    assert main(["items", "upsert", "--item", '{"id": "7"}', *words]) == 2
    assert "Expected --item with 'sku'" in capsys.readouterr().err


def test_files_in_souks_own_names_go_in_batches(sent, tmp_path):
    url, bodies = sent
    rows = [{"item_id": str(n), "title": "x", "price": 1.5} for n in range(ROWS + 1)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "items.parquet")
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:2]))
    assert main(["items", "upsert", str(tmp_path / "items.parquet"), "--url", url]) == 0
    assert main(["items", "upsert", str(tmp_path / "items.jsonl"), "--url", url]) == 0
    assert [len(body) for body in bodies] == [ROWS, 1, 2] and bodies[0] + bodies[1] == rows and bodies[2] == rows[:2]


def test_wide_rows_go_in_calls_that_a_server_takes(sent, tmp_path):
    """As 500 rows with vectors of 768 numbers are: 7.8 MB."""
    url, bodies = sent
    rows = [{"item_id": str(n), "title": "x" * 1_000_000} for n in range(7)] + [{"item_id": "7", "title": "y"}]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["items", "upsert", str(tmp_path / "items.jsonl"), "--url", url]) == 0
    assert [len(body) for body in bodies] == [3, 3, 2] and [row for body in bodies for row in body] == rows
    assert 3 * 1_000_100 < BODY_BYTES < MAX_BODY_BYTES


def test_a_server_that_goes_away_in_the_middle(sent, tmp_path, capsys):
    url, _ = sent
    text = "".join(json.dumps({"item_id": str(n), "title": "x" if n else ""}) + "\n" for n in range(ROWS * 3))
    (tmp_path / "items.jsonl").write_text(text)
    assert main(["items", "upsert", str(tmp_path / "items.jsonl"), "--url", f"{url}/?calls=3"]) == 2
    said = capsys.readouterr().err
    assert f"stopped after row {2 * ROWS:,}: {2 * ROWS - 1:,} accepted, 1 refused" in said and "status 503" in said


def test_one_item_and_what_goes(sent):
    url, bodies = sent
    assert main(["items", "upsert", "--item", '{"item_id": "7", "title": "Boots"}', "--url", url]) == 0
    assert main(["items", "delete", "7", "8", "--url", url]) == 0
    gone = [{"item_id": "7", "available": False}, {"item_id": "8", "available": False}]
    assert bodies == [[{"item_id": "7", "title": "Boots"}], gone]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["upsert"], "a FILE or --item"),
        (["upsert", "--item", "{"], "--item to be JSON"),
        (["delete", "7", "--url", "http://127.0.0.1:9"], "Is `souk serve` running?"),
        (["delete", "7", "--url", "file:///etc"], "an http address"),
    ],
)
def test_what_cannot_be_sent(words, part, capsys):
    assert main(["items", *words]) == 2
    assert part in capsys.readouterr().err


def test_rows_that_a_config_reads_are_sent_in_the_order_of_the_file(sent, tmp_path, monkeypatch):
    url, bodies = sent
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "new.csv").write_text("sku,name\n7,Boots\n8,a,b\n9,Cap\n")
    main(["items", "upsert", "new.csv", "--config", "config.yaml", "--url", url])
    assert [row if isinstance(row, str) else row["item_id"] for row in bodies[0]] == ["7", "8,a,b", "9"]


def test_a_file_that_names_no_items_is_told_once_with_the_remedy(sent, tmp_path, capsys):
    url, bodies = sent
    (tmp_path / "shop.csv").write_text("sku,name\n7,Boots\n8,Hat\n")
    assert main(["items", "upsert", str(tmp_path / "shop.csv"), "--url", url]) != 0
    said = capsys.readouterr().err
    assert not bodies and said.count("Expected") == 1 and "sku, name" in said and "--config" in said


def test_a_file_without_rows_is_no_success(sent, tmp_path, capsys):
    (tmp_path / "empty.csv").write_text("item_id,title\n")
    assert main(["items", "upsert", str(tmp_path / "empty.csv"), "--url", sent[0]]) != 0
    assert "Expected rows in" in capsys.readouterr().err


@pytest.mark.parametrize("row", ["8,a,b", "8"])
def test_a_row_that_cannot_be_split_goes_as_its_text_and_is_told_as_one(sent, tmp_path, capsys, row):
    url, bodies = sent
    (tmp_path / "torn.csv").write_text(f"item_id,title\n7,Boots\n{row}\n9,Hat\n")
    assert main(["items", "upsert", str(tmp_path / "torn.csv"), "--url", url]) == 1
    said = capsys.readouterr().err
    assert f"row 2: Expected a cell for each column in a row. Received: '{row}'. Is a cell too few" in said
    assert [sent if isinstance(sent, str) else sent["item_id"] for sent in bodies[0]] == ["7", row, "9"]


def test_a_line_that_is_no_object_is_told_as_the_server_does(sent, tmp_path, capsys):
    (tmp_path / "torn.jsonl").write_text('{"item_id": "7", "title": "Boots"}\n{"item_id": "8", \n')
    assert main(["items", "upsert", str(tmp_path / "torn.jsonl"), "--url", sent[0]]) == 1
    assert "row 2: a JSON object for each item\n" in capsys.readouterr().err
    assert main(["items", "upsert", "--item", '"8"', "--url", sent[0]]) == 1
    assert "row 1: a JSON object for each item\n" in capsys.readouterr().err


@pytest.mark.parametrize("row", [{}, {"item_id": None}, {"item_id": ""}])
def test_a_row_without_an_id_is_told_by_its_number(sent, capsys, row):
    assert main(["items", "upsert", "--item", json.dumps(row), "--url", sent[0]]) == 1
    assert capsys.readouterr().err == "row 1: no title\n"


def test_lists_and_objects_for_texts_reach_the_server_as_they_are(sent, tmp_path):
    url, bodies = sent
    (tmp_path / "config.yaml").write_text(CONFIG)
    rows = [{"sku": "7", "name": ["Boots", "red"], "tags": ["warm"]}, {"sku": "8", "name": {"de": "Hut"}}]
    (tmp_path / "new.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    main(["items", "upsert", str(tmp_path / "new.jsonl"), "--config", str(tmp_path / "config.yaml"), "--url", url])
    assert [row["title"] for row in bodies[0]] == [["Boots", "red"], {"de": "Hut"}] and bodies[0][0]["tags"] == ["warm"]
    pq.write_table(pa.Table.from_pylist([{"item_id": "7", "title": {"de": "Hut"}}]), tmp_path / "new.parquet")
    main(["items", "upsert", str(tmp_path / "new.parquet"), "--url", url])
    assert bodies[1] == [{"item_id": "7", "title": {"de": "Hut"}}]


def test_what_is_hidden_is_told(sent, capsys):
    assert main(["items", "delete", "7", "8", "--url", sent[0]]) == 0
    assert "2 hidden, 0 refused" in capsys.readouterr().out


def test_items_that_have_ended_are_told(sent, tmp_path, capsys):
    url, _ = sent
    (tmp_path / "new.csv").write_text("item_id,title,available_until\n7,a,5\n8,b,5\n9,c,\n")
    assert main(["items", "upsert", str(tmp_path / "new.csv"), "--url", f"{url}/ended=1"]) == 0
    said = "3 accepted (0 new), 0 refused; 2 have an available_until that has passed, and are in no slate\n"
    assert capsys.readouterr().out == said
