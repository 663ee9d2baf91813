"""`souk items upsert`: a feed says nothing of what it does not name, and a row that is bad costs no other one.

The server has the checks of a real one, and notes the rows of the calls that it takes.
"""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from souk.cli import main
from souk.cli.items import ROW_BYTES, ROWS
from souk.errors import SoukError
from souk.ingest.live import ItemCheck
from souk.schema import Kind
from souk.serving.items.route import rows_of
from souk.serving.protocol.refusals import MAX_BODY_BYTES
from tests.json_server import answering

KINDS = {"title": Kind.TEXT, "tags": Kind.LIST, "price": Kind.NUMERIC, "image": Kind.VECTOR, "category": Kind.PATH}
ITEMS = (
    """path: elsewhere.csv, columns: {item_id: sku, title: name, price: cost, tags: labels}, separators: {tags: "|"}"""
)
MADE = """path: elsewhere.csv, columns: {item_id: sku, price: cost}, templates: {title: "{name}, {size}"}"""


class Shop:
    """A server of items.

    Args:
        folder: of files and config.
    """

    def __init__(self, folder):
        self.folder, self.rows, self.calls, self.release = folder, [], 0, "shop-0123456789ab"
        self.check = ItemCheck(KINDS, {"image": 2})

    def take(self, body):
        """The status and the answer."""
        self.calls += 1
        try:
            rows = rows_of(body)
        except SoukError as error:
            return 400, {"error": str(error)}
        known = {str(number) for number in range(ROWS * 3)}
        reasons = self.check.check(rows, known)[1]
        self.rows += [row for at, row in enumerate(rows) if at not in reasons]
        named = [row.get("item_id") if isinstance(row, dict) else None for row in rows]
        refused = [{"row": at, "item_id": named[at], "reason": why} for at, why in sorted(reasons.items())]
        counts = {"accepted": len(rows) - len(refused), "created": 0}
        return 200, {**counts, "refused": refused, "release": self.release}

    def upsert(self, name, content, items=""):
        """The exit code of the command for a file of this name and content, with a config if `items` are given."""
        path = self.folder / name
        path.write_bytes(content) if isinstance(content, bytes) else path.write_text(content)
        return self.send(str(path), items=items)

    def send(self, *words, items=""):
        config = self.folder / "config.yaml"
        objectives = "{engaged: {events: [click]}, satisfied: {events: [click]}}"
        kinds = "{title: text, tags: list, price: numeric, image: 'vector[2]', category: path}"
        config.write_text(
            f"name: shop\ndata: {{events: {{path: e.csv}}, items: {{{items}}}}}\n"
            f"columns: {{items: {kinds}}}\nobjectives: {objectives}\n"
        )
        return main(["items", "upsert", *words, "--url", self.url, *(["--config", str(config)] if items else [])])


@pytest.fixture
def shop(tmp_path):
    found = Shop(tmp_path)
    with answering(lambda path, body: found.take(body)) as found.url:
        yield found


def lines(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_a_line_says_nothing_of_what_only_other_lines_name(shop):
    """As null it would lose its title, be available again and never end."""
    rows = (
        {"sku": "1", "name": "Boots", "available": False, "available_until": 5, "labels": "red"},
        {"sku": "2", "cost": 5},
        {"sku": "3", "name": None, "labels": None},
    )
    assert shop.upsert("new.jsonl", lines(*rows), ITEMS) == 0
    assert shop.rows == [
        {"item_id": "1", "title": "Boots", "available": False, "available_until": 5, "tags": ["red"]},
        {"item_id": "2", "price": 5.0},
        {"item_id": "3", "title": None, "tags": None},
    ]


def test_a_line_names_a_column_in_either_form_of_unicode(shop):
    items = "path: e.csv, columns: {item_id: sku, title: größe}"
    one, other = {"sku": "1", "gr\u00f6\u00dfe": "L"}, {"sku": "2", "gro\u0308\u00dfe": "M"}
    assert shop.upsert("new.jsonl", lines(one, other), items) == 0
    assert shop.rows == [{"item_id": "1", "title": "L"}, {"item_id": "2", "title": "M"}]


@pytest.mark.parametrize("name", ["new.csv", "new.jsonl", "--item"])
def test_a_template_is_not_made_of_nothing(shop, name):
    line = json.dumps({"sku": "2", "cost": 5})
    words = ["--item", line]
    code = (
        shop.send(*words, items=MADE)
        if name == "--item"
        else shop.upsert(name, "sku,cost\n2,5\n" if name == "new.csv" else f"{line}\n", MADE)
    )
    assert code == 0 and shop.rows == [{"item_id": "2", "price": 5.0}]


def test_a_template_of_one_line_is_not_made_for_another(shop):
    rows = {"sku": "1", "name": "Boots", "size": None}, {"sku": "2", "cost": 5}
    assert shop.upsert("new.jsonl", lines(*rows), MADE) == 0
    assert shop.rows == [{"item_id": "1", "title": "Boots"}, {"item_id": "2", "price": 5.0}]


def test_a_template_is_not_made_of_a_part_of_what_it_names(shop, capsys):
    """A row of `size` alone would make `L` of `Boots, M`."""
    rows = {"sku": "1", "size": "L"}, {"sku": "2", "name": "Hat", "size": "L"}
    assert shop.upsert("new.jsonl", lines(*rows), MADE) == 1
    said = (
        "row 1, item '1': Expected all parts of data.items.templates.title. Received: a line without name. Write null"
    )
    assert said in capsys.readouterr().err and shop.rows == [{"item_id": "2", "title": "Hat, L"}]
    assert shop.upsert("new.csv", "sku,size\n3,L\n", MADE) == 2
    assert "data.items.templates.title to name columns of new.csv" in capsys.readouterr().err
    (shop.folder / "feeds").mkdir()
    for file in ("a.csv", "b.csv"):
        (shop.folder / "feeds" / file).write_text("sku,size\n3,L\n")
    assert shop.send(str(shop.folder / "feeds"), items=MADE) == 2 and len(shop.rows) == 1


def test_an_empty_end_that_is_one_of_several_says_nothing_of_the_others(shop):
    """Items that the other column took out would be had again."""
    items = 'path: i.csv, templates: {available_until: "{sold} {off}"}, timestamp_unit: iso'
    assert shop.upsert("new.csv", "item_id,sold\n1,\n2,2024-05-02\n", items) == 0
    rows = {"item_id": "3", "sold": None}, {"item_id": "4", "sold": None, "off": None}
    assert shop.upsert("new.jsonl", lines(*rows), items) == 0
    assert shop.rows == [
        {"item_id": "1"},
        {"item_id": "2", "available_until": 1_714_694_399_999},
        {"item_id": "3"},
        {"item_id": "4", "available_until": None},
    ]


def test_a_column_that_a_file_lacks_is_not_read_from_another_one_of_its_name(shop, capsys):
    items = 'path: i.csv, columns: {item_id: sku, price: net, title: ""}'
    assert shop.upsert("new.csv", "sku,price,title\n1,119,Internal\n", items) == 0
    assert shop.rows == [{"item_id": "1"}]
    assert shop.upsert("other.csv", "item_id,net\n1,100\n", items) == 2
    assert "Expected a column for items.item_id in other.csv" in capsys.readouterr().err and len(shop.rows) == 1


def test_a_constant_shows_nothing_that_is_hidden(shop):
    items = "path: i.csv, constants: {available: true, category: books}"
    assert shop.upsert("new.csv", "item_id,title\n1,Emma\n", items) == 0
    assert shop.rows == [{"item_id": "1", "title": "Emma", "category": "books"}]


def test_what_the_config_skips_is_left_out_and_counted(shop, capsys):
    items = 'path: i.csv, skip: {is_delisted: "True", title: [POST, ""]}'
    assert shop.upsert("new.csv", "item_id,title,is_delisted\n1,Hat,False\n2,Cap,True\n3,POST,False\n", items) == 0
    said = "1 accepted (0 new), 0 refused; left out as data.items says: 1 by skip.is_delisted, 1 by skip.title\n"
    assert capsys.readouterr().out == said and shop.rows == [{"item_id": "1", "title": "Hat"}]
    rows = {"item_id": "4", "price": 3}, {"item_id": "5", "title": None}, {"item_id": "6", "is_delisted": "True"}
    assert shop.upsert("prices.jsonl", lines(*rows), items) == 0
    assert shop.rows[1:] == [{"item_id": "4", "price": 3.0}]
    assert shop.upsert("prices.csv", "item_id,price\n7,4\n", items) == 0 and shop.rows[-1]["item_id"] == "7"
    assert shop.upsert("gone.csv", "item_id,is_delisted\n8,True\n", items) == 0
    assert "0 accepted (0 new), 0 refused; left out" in capsys.readouterr().out and len(shop.rows) == 3


LATIN = {
    "new.csv": b"item_id,title\n1,Hat\n2,Caf\xe9\n3,Cap\n",
    "new.jsonl": b'{"item_id": "1"}\n{"item_id": "2", "title": "Caf\xe9"}\n{"item_id": "3"}\n',
    "half.jsonl": b'{"item_id": "1"}\n{"item_id": "2", "title": "Caf\\ud83d"}\n{"item_id": "3"}\n',
}


@pytest.mark.parametrize("items", ["", "path: i.csv"])
@pytest.mark.parametrize("name", LATIN)
def test_a_row_that_is_not_utf_8_is_told_and_not_sent(shop, capsys, name, items):
    assert shop.upsert(name, LATIN[name], items) == 1
    said = capsys.readouterr()
    assert "row 2, item '2': Expected UTF-8 in " in said.err and "encoding" in said.err
    assert [row["item_id"] for row in shop.rows] == ["1", "3"] and "2 accepted (0 new), 1 refused" in said.out


def test_bytes_of_parquet_that_are_no_text(shop, capsys):
    bad = pa.array([b"Hat", b"Caf\xe9"], pa.binary())
    text = pa.Array.from_buffers(pa.string(), 2, bad.buffers())
    for name, column in (("text", text), ("bytes", bad)):
        pq.write_table(pa.table({"item_id": ["1", "2"], "title": column}), shop.folder / f"{name}.parquet")
        assert shop.send(str(shop.folder / f"{name}.parquet")) == 1
        assert "row 2, item '2': Expected" in capsys.readouterr().err
    assert shop.rows == [{"item_id": "1", "title": "Hat"}] * 2


@pytest.mark.parametrize(
    "row",
    [
        '{"item_id": "2", "image": [0.1, NaN]}',
        '{"item_id": "2", "price": Infinity}',
        '{"item_id": "2", "price": 1e999}',
        f'{{"item_id": "2", "title": {"[" * 600}"x"{"]" * 600}}}',
        f'{{"item_id": "2", "title": {"[" * 2000}"x"{"]" * 2000}}}',
        f'{{"item_id": "2", "title": "{"x" * (ROW_BYTES + 1)}"}}',
        '{"item_id": "2", "title": "x',
        "[2]",
        "2",
    ],
    ids=["nan", "infinity", "beyond", "deep", "deeper", "large", "torn", "list", "number"],
)
@pytest.mark.parametrize("items", ["", "path: i.csv"])
def test_a_bad_line_costs_no_other_one(shop, capsys, row, items):
    rows = [f'{{"item_id": "{n}", "title": "x", "price": NaN}}' for n in range(ROWS * 2)]
    assert shop.upsert("new.jsonl", "\n".join([*rows[:3], row, *rows[3:]]), items) == 1
    said = capsys.readouterr()
    (told,) = [line for line in said.err.splitlines() if not line.startswith("Rows of an item that the file has")]
    assert "row 4" in told
    assert len(shop.rows) == ROWS * 2 and f"{ROWS * 2:,} accepted (0 new), 1 refused" in said.out
    assert shop.rows[0] == {"item_id": "0", "title": "x", "price": None} and ROW_BYTES < MAX_BODY_BYTES - 100


@pytest.mark.parametrize("items", ["", "path: i.csv"])
def test_a_vector_of_parquet_that_holds_no_number_costs_its_row(shop, capsys, items):
    images = pa.array([[0.1, 0.2], [0.1, float("nan")], [0.1, float("inf")]], pa.list_(pa.float32()))
    pq.write_table(pa.table({"item_id": ["1", "2", "3"], "image": images}), shop.folder / "new.parquet")
    assert shop.send(str(shop.folder / "new.parquet"), items=items) == 1
    said = capsys.readouterr()
    assert "row 2, item '2': " in said.err and "row 3, item '3': " in said.err and "1 accepted" in said.out
    assert [row["item_id"] for row in shop.rows] == ["1"] and shop.calls == 1


@pytest.mark.parametrize("keys", ["encoding: cp1252", 'delimiter: "::"', "header: [item_id, title]"])
def test_what_says_how_the_csv_of_a_config_is_written_is_not_for_other_formats(shop, keys):
    items = f"path: i.csv, {keys}"
    assert shop.send("--item", '{"item_id": "1", "title": "Hüt"}', items=items) == 0
    assert shop.upsert("new.jsonl", lines({"item_id": "2", "title": "Hat"}), items) == 0
    pq.write_table(pa.table({"item_id": ["3"]}), shop.folder / "new.parquet")
    assert shop.send(str(shop.folder / "new.parquet"), items=items) == 0
    assert shop.rows == [{"item_id": "1", "title": "Hüt"}, {"item_id": "2", "title": "Hat"}, {"item_id": "3"}]


@pytest.mark.parametrize(
    ("path", "name"),
    [("items.psv", "new.psv"), ("items.psv", "news"), ("u.item", "u.item"), ("u.item.gz", "v.item"), ("i", "new.psv")],
)
def test_the_format_of_a_config_is_that_of_a_file_whose_name_tells_no_other(shop, capsys, path, name):
    items = f'path: {path}, format: csv, delimiter: "|", header: [item_id, title], encoding: latin-1'
    assert shop.upsert(name, "1|Hüt\n2|Cap|x\n".encode("latin-1"), items) == 1
    told = "row 2: Expected a cell for each column in a row. Received: '2|Cap|x'"
    assert shop.rows == [{"item_id": "1", "title": "Hüt"}] and told in capsys.readouterr().err
    assert shop.upsert("new.csv", "3|Hat\n", items) == 0, "a name that tells another goes by that"
    assert shop.upsert("new.jsonl", lines({"item_id": "4"}), items) == 0
    assert [row["item_id"] for row in shop.rows] == ["1", "3", "4"]


def test_the_encoding_of_a_config_reads_a_csv(shop):
    assert shop.upsert("new.csv", LATIN["new.csv"], "path: i.csv, encoding: cp1252") == 0
    assert shop.rows[1] == {"item_id": "2", "title": "Café"}


def test_of_several_files_a_row_is_told_with_its_file(shop, capsys):
    folder = shop.folder / "feeds"
    folder.mkdir()
    (folder / "a.csv").write_text("item_id,price\n1,3\n2,3\n")
    (folder / "b.csv").write_text("item_id,price\n3,3\n4,dear\n")
    assert shop.send(str(folder)) == 1
    assert "row 2 of b.csv, item '4': " in capsys.readouterr().err and len(shop.rows) == 3
    (folder / "a.csv").write_text("item_id,price\n" + "1,3\n" * (ROWS + 1))
    (folder / "b.csv").write_text("id,price\n3,3\n")
    assert shop.send(str(folder)) == 2
    assert f"stopped after row {ROWS} of a.csv: {ROWS} accepted, 0 refused" in capsys.readouterr().err


def test_a_column_of_which_there_are_two_is_told(shop, capsys):
    assert shop.upsert("new.csv", "item_id,title,title\n1,Hat,Cap\n") == 2
    assert "two named title" in capsys.readouterr().err and not shop.rows


def test_a_server_of_another_data_set_gets_no_second_call(shop, capsys):
    """Its reasons name the columns that it has, which says nothing of these."""
    items = f"{ITEMS.replace('cost', 'cost, created_at: since')}, timestamp_unit: s"
    assert shop.upsert("new.csv", "sku,labels\n1,red\n", items) == 0 and not capsys.readouterr().err
    shop.release, shop.check = "movielens_100k-0123456789ab", ItemCheck({"title": Kind.TEXT}, {})
    rows = "".join(f"{n},red,2026-11-27\n" for n in range(2 * ROWS))
    assert shop.upsert("new.csv", f"sku,labels,since\n{rows}", items) == 2
    *reasons, last, told = capsys.readouterr().err.splitlines()
    assert "Expected a column of items to be one of" in reasons[0] and "timestamp_unit" not in reasons[0]
    assert (len(reasons), last) == (ROWS, f"stopped after row {ROWS}: 0 accepted, {ROWS} refused")
    assert f"a server of shop, the data set of {shop.folder / 'config.yaml'}. Received: {shop.url}" in told
    assert f"which serves {shop.release}" in told and shop.calls == 2
