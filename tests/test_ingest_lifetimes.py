"""Engagements beside the dates of their items: told where many lie outside, refused where nearly all come too late."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from souk.errors import SoukError
from souk.ingest.lifetimes import Lifetimes
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
        ([5, 9 * DAY_MS], ""),  # it is to come, which is told
        ([7, 7], ""),  # of an import
        ([None, None], ""),
    ],
)
def test_engagements_before_an_item_came_to_be(tmp_path: Path, born: list[int | None], told: str) -> None:
    """The last event is of day 5."""
    found = lives(tmp_path, [None] * 3, [5, 6, 6, 6, 6], [*born, 4 * DAY_MS], 5 * DAY_MS)
    lines = list(found.notices())
    assert len(lines) == bool(told) and all(told in line for line in lines), lines


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
