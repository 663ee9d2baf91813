"""Tables of several files, of which each may have columns of its own: an app's log beside the shop's orders."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from souk.config import Source, parse_config
from souk.errors import SoukError
from souk.ingest import profile, reading
from souk.ingest.guess.first_config import first_config
from souk.ingest.mapping import TableSource
from souk.ingest.notices import absent
from souk.ingest.reading import Reading, look
from souk.readers import batches
from souk.readers.batches import read_batches
from souk.readers.raw import RawBatch
from tests.ingest_fixtures import read_rows

LOG = "user_id,item_id,event_type,timestamp,page\nu,i,click,1700000000000,home\n"
ORDERS = "user_id,item_id,event_type,timestamp,paid\nu,i,purchase,1700000060000,3.5\n"
KEYS = {"columns": {"price": "paid", "surface": "page"}}


def folder(tmp_path: Path, **files: str) -> Path:
    for name, text in files.items():
        (tmp_path / f"{name}.csv").write_text(text)
    return tmp_path


def test_a_file_of_several_may_lack_what_a_row_may_lack(tmp_path: Path) -> None:
    path = folder(tmp_path, log=LOG, orders=ORDERS)
    rows = read_rows("events", Source(path=str(path), **KEYS), {}).table
    assert rows["price"].to_pylist() == [None, 3.5]
    assert rows["surface"].to_pylist() == ["home", None]
    parquet.write_table(pa.table({"user_id": ["v"], "item_id": ["i"], "event_type": ["click"]}), path / "z.parquet")
    with pytest.raises(SoukError, match=r"timestamp for events\.timestamp in z\.parquet, too"):  # no row may lack it
        read_rows("events", Source(path=str(path), **KEYS), {})


def test_a_file_of_several_with_other_names_is_told_which_to_write(tmp_path: Path) -> None:
    """A mapping is for all files."""
    path = folder(tmp_path, log=LOG.replace("user_id", "customer"), orders=ORDERS.replace("user_id", "CustomerNo"))
    source = Source(path=str(path), columns={"user_id": "customer"})
    told = (
        r"customer for events\.user_id in orders\.csv, too\. Received: CustomerNo, .*: "
        r"in this one, rename what is customer\. Did you mean 'CustomerNo'\?"
    )
    with pytest.raises(SoukError, match=told):
        look(TableSource("events", source, {}))


def test_a_file_of_something_else_in_the_folder_is_told_to_be_left_out(tmp_path: Path) -> None:
    path = folder(tmp_path, log=LOG, prices="listing,old_amount,new_amount\nl1,300,290\n")
    with pytest.raises(
        SoukError, match=r"in prices\.csv, too.* Where it holds something else, .*, leave it out of the"
    ):
        look(TableSource("events", Source(path=str(path)), {}))


def test_what_no_file_of_several_has_is_refused(tmp_path: Path) -> None:
    source = Source(path=str(folder(tmp_path, log=LOG, orders=ORDERS)), columns={"price": "payd"})
    for read in (look, lambda table: list(Reading(table))):  # at once, and whatever was looked at
        with pytest.raises(SoukError, match=r"a column for events\.price.*'payd'.*Did you mean 'paid'"):
            read(TableSource("events", source, {}))


def test_one_file_is_refused_at_its_first_rows(tmp_path: Path) -> None:
    source = Source(path=str(folder(tmp_path, log=LOG)), **KEYS)
    with pytest.raises(SoukError, match=r"a column for events\.price in log\.csv"):
        next(iter(Reading(TableSource("events", source, {}))))


def test_the_files_that_lack_a_column_are_told(tmp_path: Path) -> None:
    """A name that one monthly file writes otherwise is missing there: nothing else would say so."""
    other = LOG.replace("page", "pages")
    path = folder(tmp_path, log=LOG, log2=other, log3=other, log4=other, log5=other, orders=ORDERS)
    table = TableSource("events", Source(path=str(path), **KEYS), {})
    reading = Reading(table)
    assert sum(rows.table.num_rows for rows in reading) == 6
    said = list(absent(table, reading.absent))
    logs = "log.csv, log2.csv, log3.csv and 2 more"
    assert said[0] == f"events: no column paid in {logs}: price of these rows is missing"
    assert (
        said[1] == "events: no column page in log2.csv, log3.csv, log4.csv and 2 more: surface of these rows is missing"
    )
    assert len(said) == 2
    assert look(table) == "", "the orders have it"


def test_parts_of_templates_and_columns_of_skip_are_told_and_no_id_may_lack_one(tmp_path: Path) -> None:
    skips = {"skip": {"paid": ["0"]}}
    source = Source(path=str(folder(tmp_path, log=LOG, orders=ORDERS)), templates={"surface": "{page}/x"}, **skips)
    reading = Reading(table := TableSource("events", source, {}))
    assert len(list(reading)) == 2
    assert list(absent(table, reading.absent)) == [
        "events: no column paid in log.csv: paid of these rows is missing",
        "events: no column page in orders.csv: page of these rows is missing",
    ]
    source = Source(path=str(tmp_path), templates={"item_id": "{item_id}-{page}"})
    for read in (look, lambda table: list(Reading(table))):
        with pytest.raises(SoukError, match=r"templates\.item_id to name columns of orders\.csv.*'page'"):
            read(TableSource("events", source, {}))


def test_no_more_files_are_opened_than_it_takes_to_know_the_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A year of days has them all in the first."""
    path = folder(tmp_path, a=LOG, b=ORDERS, c=LOG, d=LOG)
    opened: list[str] = []
    monkeypatch.setattr(reading, "read_batches", lambda *given, **more: _noted(opened, *given, **more))
    assert look(TableSource("events", Source(path=str(path), **KEYS), {})) == ""
    assert opened == ["a.csv", "b.csv", *("a.csv", "b.csv")], "the first two batches, and who has the columns"


def _noted(opened: list[str], *given: Any, **more: Any) -> Iterator[RawBatch]:
    for batch in read_batches(*given, **more):
        opened.append(batch.file)
        yield batch


def test_a_file_that_tells_nothing_new_is_not_read_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "SAMPLE_ROWS", 2)
    monkeypatch.setattr(batches, "BATCH_ROWS", 1)
    row = {"user_id": ["u"] * 4, "item_id": ["i"] * 4}
    for name, more in (("a", {}), ("b", {}), ("c", {"paid": [1] * 4})):
        parquet.write_table(pa.table(row | more), tmp_path / f"{name}.parquet")
    opened: list[str] = []
    monkeypatch.setattr(profile, "read_batches", lambda *given, **more: _noted(opened, *given, **more))
    columns, _ = profile.sample(Source(path=str(tmp_path)))
    assert {column.name: len(column.texts) for column in columns} == {"user_id": 4, "item_id": 4, "paid": 2}
    assert opened == ["a.parquet"] * 2 + ["b.parquet"] + ["c.parquet"] * 2


def test_the_first_config_sees_the_orders_behind_a_long_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "SAMPLE_ROWS", 20)
    log = LOG + "".join(f"u{n},i{n},click,17000000{n:05d},home\n" for n in range(30))
    path = folder(tmp_path, log=log, more=log, orders=ORDERS)
    columns, _ = profile.sample(Source(path=str(path)))
    assert {column.name: len(column.texts) for column in columns} == {
        **dict.fromkeys(("user_id", "item_id", "event_type", "timestamp"), 31 + 1),  # `more` tells nothing else
        "page": 31,
        "paid": 1,
    }
    text = first_config(str(path), None, None, "shop").text
    assert "purchase: purchase" in text
    assert "price: paid" not in text  # that is no price by its name
    assert parse_config(text).data.events.columns["surface"] == "page"


def test_the_first_config_sees_a_log_that_lacks_what_the_orders_before_it_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no column that they have not: none of its types was seen, and a run refused all of its rows."""
    monkeypatch.setattr(profile, "SAMPLE_ROWS", 20)
    bought = "user_id,item_id,event_type,timestamp,paid\n"
    bought += "".join(f"u{n},i{n},purchase,17000000{n:05d},5\n" for n in range(30))
    looks = "user_id,item_id,event_type,timestamp\n" + "".join(f"u{n},i{n},view,17000000{n:05d}\n" for n in range(9))
    text = first_config(str(folder(tmp_path, a_orders=bought, b_log=looks, c_log=looks)), None, None, "shop").text
    assert "view: click" in text and "in the sample: 9 click, 30 purchase" in text


def test_the_first_config_of_a_log_in_csv_beside_orders_in_parquet(tmp_path: Path) -> None:
    log = LOG + "".join(f"{n % 9},{n % 20},click,{1700000000000 + n},home\n" for n in range(90))
    times = pa.array([1700000060000 + n for n in range(40)], pa.timestamp("ms"))
    orders = {"user_id": [n % 9 for n in range(40)], "item_id": [n % 20 for n in range(40)], "timestamp": times}
    parquet.write_table(pa.table(orders | {"event_type": ["purchase"] * 40}), tmp_path / "orders.parquet")
    text = first_config(str(folder(tmp_path, log=log)), None, None, "shop").text
    assert "in the sample: 91 click, 40 purchase" in text, text
    read = list(Reading(TableSource("events", parse_config(text).data.events, {})))
    assert [rows.table.num_rows for rows in read] == [91, 40] and not any(rows.faults for rows in read)
    parquet.write_table(pa.table(orders | {"event_type": [["purchase"]] * 40}), tmp_path / "orders.parquet")
    with pytest.raises(SoukError, match=r"one type of event_type in all files.*list.*, and string"):
        profile.sample(Source(path=str(tmp_path)))
