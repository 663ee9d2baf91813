"""Engagements beside the dates of their items: told where many lie outside, refused where nearly all come too late."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from souk.errors import SoukError
from souk.ingest.lifetimes import Lifetimes, until_sold, until_taken
from souk.schema import DAY_MS
from tests.test_ingest_step import CONFIG, GOOD, Shop


def clicks(table: pa.Table) -> np.ndarray:
    return np.asarray(table["event_type"].to_numpy() == "click")


def lives(
    folder: Path,
    until: list[int | None],
    times: list[int],
    born: list[int | None] | None = None,
    last: int = 99,
) -> Lifetimes:
    """The first event is of the first item, the others are of the second; an impression counts for nothing."""
    ids = [f"i{n}" for n in range(len(until))]
    dates = {"available_until": until, "created_at": born or [None] * len(ids)}
    times_of_items = {name: pa.array(column, pa.int64()) for name, column in dates.items()}
    items = pa.table({"item_id": ids, **times_of_items, "available": [True] * len(ids)})
    of = ["i0", "i0"] + ["i1"] * (len(times) - 1)
    kinds = ["impression"] + ["click"] * len(times)
    events = pa.table({"item_id": of, "timestamp": pa.array([200, *times], pa.int64()), "event_type": kinds})
    parquet.write_table(events, folder / "events.parquet")
    return Lifetimes.of(folder / "events.parquet", items, clicks, last)


@pytest.mark.parametrize(
    ("until", "times", "told"),
    [
        ([None, None], [98, 99], []),
        ([99, 120], [98, 99], []),
        ([97, 120], [98, 99], ["1 of 2 engagements come after the available_until of their item"]),
        ([97, 120], [98] + [99] * 98, ["1 of 99 engagements"]),
        ([97, 120], [98] + [99] * 99, []),  # no more than one in a hundred
        ([98, 100], [98, 99], []),  # the last moment is one; 100 is that after the last event
        ([98, 99], [98, 99], ["none of 2 is available after the last event"]),
    ],
)
def test_what_is_told_of_ends(tmp_path: Path, until: list[int | None], times: list[int], told: list[str]) -> None:
    found = list(lives(tmp_path, until, times).notices())
    assert len(found) == len(told) and all(words in line for words, line in zip(told, found, strict=True)), found


@pytest.mark.parametrize(("times", "refused"), [([98] + [99] * 9, True), ([96] + [99] * 8, False), ([96, 97], False)])
def test_ends_that_nearly_all_engagements_come_after_are_refused(
    tmp_path: Path, times: list[int], refused: bool
) -> None:
    found = lives(tmp_path, [97, 97], times)
    if not refused:
        found.check("published")
        return
    with pytest.raises(SoukError, match=r"Received: 10 of 10 after it\..*Is published when .* map it to created_at"):
        found.check("published")


@pytest.mark.parametrize(
    ("born", "told"),
    [
        ([5, 6], ""),  # each after its own, or at its very time
        ([5, 7], "4 of 5 engagements come before the created_at of their item, 4 of them by less than a day: is it"),
        ([5, 3 * DAY_MS], "4 of 5 engagements come before the created_at of their item, 0 of them"),
        ([6, 5], ""),  # one of five is no more than a fifth
        ([6, None], "1 of 1 engagements come before"),
        ([5, 5 + DAY_MS], "4 of them by less than a day"),
        ([5, 6 + DAY_MS], "0 of them by less than a day"),
        ([5, 6 * DAY_MS], "4 of 5 engagements"),  # a day after the last event is not to come yet
        ([5, 6 * DAY_MS + 1], ""),  # it is to come, which is told
        ([7, 7], ""),  # of an import
        ([None, None], ""),
    ],
)
def test_engagements_before_an_item_came_to_be(tmp_path: Path, born: list[int | None], told: str) -> None:
    """The last event is of day 5."""
    found = lives(tmp_path, [None] * 3, [5, 6, 6, 6, 6], [*born, 4 * DAY_MS], 5 * DAY_MS)
    lines = list(found.notices())
    assert len(lines) == bool(told) and all(told in line for line in lines), lines


def test_an_end_is_moved_to_what_was_taken_within_a_minute_after_it(tmp_path: Path) -> None:
    """Of five ends one is the very moment, one is early by a minute, one by more, one is of what is only shown."""
    times = [("i0", 50_000, "click"), ("i1", 1, "click"), ("i1", 60_000, "click"), ("i2", 60_001, "click")]
    times += [("i3", 9, "impression"), ("i4", 70_000, "click")]
    columns = dict(zip(("item_id", "timestamp", "event_type"), map(list, zip(*times, strict=True)), strict=True))
    parquet.write_table(pa.table(columns), tmp_path / "events.parquet")
    until = pa.array([50_000, 0, 0, 0, None], pa.int64())
    items = pa.table({"item_id": [f"i{n}" for n in range(5)], "available_until": until, "available": [True] * 5})
    found, moved = until_taken(tmp_path / "events.parquet", items, clicks)
    assert found["available_until"].to_pylist() == [50_000, 60_000, 0, 0, None] and moved == 1
    assert found.drop_columns("available_until") == items.drop_columns("available_until")
    unmoved = items.set_column(1, "available_until", pa.nulls(5, pa.int64()))
    assert until_taken(tmp_path / "none", unmoved, clicks) == (unmoved, 0)


def test_what_is_sold_once_ends_with_its_purchase(tmp_path: Path) -> None:
    """Of six items one is only looked at, one has a later end, one an earlier, one is bought twice, one has no end, and
    one was put up again: what was bought days before is of its earlier listing, what was an hour before is not."""
    times = [("i0", 9, "click"), ("i1", 5, "purchase"), ("i1", 7, "click"), ("i2", 5, "purchase")]
    times += [("i3", 5, "purchase"), ("i3", 8, "purchase"), ("i4", 6, "purchase"), ("i4", 9, "return")]
    times += [("i5", 2 * DAY_MS, "purchase"), ("i5", 4 * DAY_MS, "purchase"), ("i5", 5 * DAY_MS, "purchase")]
    columns = dict(zip(("item_id", "timestamp", "event_type"), map(list, zip(*times, strict=True)), strict=True))
    parquet.write_table(pa.table(columns), tmp_path / "events.parquet")
    until, born = [None, 6, 4, 99, None, None], [None] * 5 + [4 * DAY_MS + DAY_MS // 24]
    names = [f"i{n}" for n in range(6)]
    times = {name: pa.array(each, pa.int64()) for name, each in (("available_until", until), ("created_at", born))}
    items = pa.table({"item_id": names, **times, "available": [True] * 6})
    found, sold = until_sold(tmp_path / "events.parquet", items, 5 * DAY_MS)
    assert found["available_until"].to_pylist() == [None, 5, 4, 5, 6, 4 * DAY_MS] and sold == 4
    assert found.drop_columns("available_until") == items.drop_columns("available_until")


def test_goods_of_which_there_are_several_are_not_sold_once() -> None:
    with pytest.raises(SoukError, match=r"95 of 100 engagements\. .*leave repeat\.sold_once out"):
        Lifetimes(100, 0, 0, 0, 95, 9, False).check("available_until", once=True)
    Lifetimes(100, 0, 0, 0, 89, 9, False).check("available_until", once=True)


@pytest.mark.slow  # imports TensorFlow Data Validation
@pytest.mark.parametrize("repeat", ["", "repeat: {sold_once: true}\n"])
def test_a_purchase_ends_its_item_where_the_config_says_so(
    tmp_path: Path, repeat: str, capfd: pytest.CaptureFixture[str]
) -> None:
    shop = Shop(tmp_path, CONFIG + repeat)
    shop.write("b1,u1,i1,purchase,1700000500,web", "b2,u2,i10,purchase,1700000501,web")  # i10 has no row
    shop.ingest()
    items = parquet.read_table(tmp_path / "1/tables/items.parquet").to_pylist()
    ends = {row["item_id"]: row["available_until"] for row in items if row["available_until"] is not None}
    assert ends == ({"i1": 1_700_000_500_000, "i10": 1_700_000_501_000} if repeat else {})
    assert ("end with their purchase (repeat.sold_once)" in "".join(capfd.readouterr())) == bool(repeat)


@pytest.mark.slow  # imports TensorFlow Data Validation
def test_the_time_of_a_sale_in_whole_seconds_is_an_end(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """What is sold once: the log has its purchase in milliseconds, the list of items in seconds."""
    shop = Shop(tmp_path, CONFIG.replace("timestamp_unit: s", "timestamp_unit: ms"))
    shop.config = shop.config.replace("{path: items.jsonl}", "{path: items.jsonl, columns: {available_until: sold_at}}")
    sold = [1_700_000_000 + 60 * n for n in range(400)]
    events = [f"u{n % 7},i{n},purchase,{1000 * time + 999}" for n, time in enumerate(sold)]
    (tmp_path / "events.csv").write_text("\n".join(["user_id,product,event_type,timestamp", *events]) + "\n")
    goods = [{"item_id": f"i{n}", "price": n, "colour": "red", "sold_at": 1000 * t} for n, t in enumerate(sold)]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in goods))
    shop.config = shop.config.replace("  events: {device: categorical}\n", "")
    shop.ingest()
    told = "".join(capfd.readouterr())
    assert "items: 400 available_until come less than a minute before" in told and "after the available" not in told
    ends = parquet.read_table(tmp_path / "1/tables/items.parquet")
    assert sorted(ends["available_until"].to_pylist()) == [1000 * time + 999 for time in sold]


@pytest.mark.slow  # imports TensorFlow Data Validation
def test_an_end_that_is_made_of_several_columns_is_named_by_them(tmp_path: Path) -> None:
    made = '{path: items.jsonl, templates: {available_until: "{listed} {born}"}}'
    shop = Shop(tmp_path, CONFIG.replace("{path: items.jsonl}", made))
    shop.write()
    goods = [{"item_id": f"i{n}", "price": n, "colour": "red", "born": 1_690_000_000_000, "listed": None}
             for n in range(11)]  # fmt: skip
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in goods))
    with pytest.raises(SoukError, match="Is listed or born when an item came to be"):
        shop.ingest()


@pytest.mark.slow  # imports TensorFlow Data Validation
def test_a_publication_as_an_end_stops_the_step_and_stands_in_the_report(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shop = Shop(
        tmp_path, CONFIG.replace("{path: items.jsonl}", "{path: items.jsonl, columns: {available_until: born}}")
    )
    shop.write()
    goods = [{"item_id": f"i{n}", "price": n, "colour": "red", "born": 1_690_000_000_000 + n} for n in range(11)]
    (shop.folder / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in goods))
    told = f"items: {GOOD} of {GOOD} engagements come after the available_until of their item"
    with pytest.raises(SoukError, match="Is born when an item came to be"):
        shop.ingest()
    assert told in "".join(capfd.readouterr()) and told in (shop.folder / "1/report.html").read_text()
    shop.config = shop.config.replace("available_until: born", "created_at: born")
    assert shop.ingest(run="2")["items"] == 11
    shop.config = shop.config.replace("created_at: born", "available_until: born")
    shop.config += "split: {protocol: leave_last_out}\n"
    assert shop.ingest(run="3")["items"] == 11, "their dates are dropped"
