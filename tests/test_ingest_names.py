"""Names of columns with umlauts and accents: as `souk init` writes them, and in both forms that Unicode has of them."""

import json
import unicodedata
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from souk.config import Source, parse_config
from souk.ingest.profile import Column
from souk.readers import read_batches
from souk.schema import EventType, Kind
from tests.ingest_fixtures import read_rows
from tests.test_ingest_first_config import init, write
from tests.test_ingest_init_items import clicks

SHOP = {"name": "shop", "objectives": {key: {"events": ["click"]} for key in ("engaged", "satisfied")}}
TWO_SIGNS = unicodedata.normalize("NFD", "größe")


@pytest.mark.parametrize(
    ("name", "snake", "plain"),
    [
        ("größe", "groesse", "groesse"),
        (TWO_SIGNS, "groesse", "groesse"),
        ("Größe", "groesse", "groesse"),
        ("GRÖẞE", "groesse", "groesse"),
        ("größeCm", "groesse_cm", "groessecm"),
        ("menüName", "menue_name", "menuename"),
        ("läuftÄb", "laeuft_aeb", "laeuftaeb"),
        ("catégorie", "categorie", "categorie"),
        (unicodedata.normalize("NFD", "Catégorie Été"), "categorie_ete", "categorieete"),
        ("VisitorID", "visitor_id", "visitorid"),
        ("цена", "column", ""),
        ("24h_delivery", "c_24h_delivery", "24hdelivery"),
        ("245$a", "c_245_a", "245a"),
        ("2023", "c_2023", "2023"),
    ],
)
def test_a_name_without_umlauts_and_accents(name: str, snake: str, plain: str) -> None:
    column = Column(name, pa.array(["1"]))
    assert (column.snake, column.plain) == (snake, plain)


@pytest.mark.parametrize("name", ["gültig bis", unicodedata.normalize("NFD", "gültig bis")])
def test_a_first_config_knows_a_name_in_both_forms_and_reads_the_file(tmp_path: Path, name: str) -> None:
    goods = [{"item": f"a{n}", name: "2024-05-31", TWO_SIGNS: "SML"[n % 3]} for n in range(30)]
    events, items = write(clicks(), tmp_path / "e.csv"), write(goods, tmp_path / "i.csv")
    _, config = init(tmp_path, events, items)
    assert config.data.items is not None
    assert config.data.items.columns["available_until"] == "gültig bis"
    assert config.columns.items == {"groesse": Kind.CATEGORICAL} and config.data.items.columns["groesse"] == "größe"
    assert read_rows("items", config.data.items, config.columns.items).table["groesse"].to_pylist()[:3] == list("SML")


def written(folder: Path, kind: str, names: list[str]) -> str:
    """A file of one column, of which each line of JSON has another name of the list."""
    path = folder / f"i.{kind}"
    if kind == "parquet":
        parquet.write_table(pa.table({"item_id": ["1", "2"], names[0]: ["S", "M"]}), path)
    elif kind == "csv":
        path.write_text(f"item_id,{names[0]}\n1,S\n2,M\n")
    else:
        lines = zip("12", names, "SM", strict=True)
        path.write_text("".join(json.dumps({"item_id": item, name: size}) + "\n" for item, name, size in lines))
    return str(path)


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
@pytest.mark.parametrize("names", [["größe", TWO_SIGNS], [TWO_SIGNS, "größe"]])
@pytest.mark.parametrize("configured", ["größe", TWO_SIGNS])
def test_a_column_is_read_by_a_name_of_either_form(
    tmp_path: Path, kind: str, names: list[str], configured: str
) -> None:
    path = written(tmp_path, kind, names)
    for keys, target, expected in (
        ({"columns": {"size": configured}}, "size", ["S", "M"]),
        ({"templates": {"size": f"{{{configured}}}"}}, "size", ["S", "M"]),
        ({"columns": {"size": configured}, "skip": {configured: "S"}}, "size", ["M"]),
    ):
        values = SHOP | {"data": {"events": {"path": "e"}, "items": {"path": path, **keys}}}
        config = parse_config(json.dumps(values | {"columns": {"items": {target: "categorical"}}}))
        assert config.data.items is not None
        (declared,) = config.columns.items
        found = read_rows("items", config.data.items, config.columns.items)
        assert found.table[declared].to_pylist() == expected and found.ignored == []


def test_names_of_a_header_are_composed_and_cells_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "i.csv").write_text(f"1,{TWO_SIGNS}\n")
    source = Source(path=str(tmp_path / "i.csv"), header=("item_id", TWO_SIGNS))
    (batch,) = read_batches(source)
    assert batch.table.to_pydict() == {"item_id": ["1"], "größe": [TWO_SIGNS]}
    data = {"events": {"path": TWO_SIGNS, "event_types": {TWO_SIGNS: "click"}, "skip": {TWO_SIGNS: TWO_SIGNS}}}
    events = parse_config(json.dumps(SHOP | {"data": data})).data.events
    assert (events.path, events.event_types) == (TWO_SIGNS, {TWO_SIGNS: EventType.CLICK}), "as the files have them"
    assert events.skip == {"größe": (TWO_SIGNS,)}
