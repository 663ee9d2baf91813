"""Candidates of a window: none that repeat keeps out or that did not exist, and their recall."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from souk.config import Repeat
from souk.models.draw import draw_examples
from souk.models.retrieve import item_vectors, query_vectors, write_candidates
from souk.schema import DAY_MS
from tests.models_fixtures import cycle_market, cycle_spec
from tests.towers_fixtures import Market


@pytest.mark.slow
def test_candidates_obey_the_repeat_rule_and_time(tmp_path):
    events, items, users = cycle_market(users=6, items=40, length=20)
    items.loc[items["item_id"] == "i39", "created_at"] = 30_000 * DAY_MS  # after everything
    over = int(events["timestamp"].quantile(0.85))
    again = (events["user_id"] == "u000") & (events["timestamp"] > events["timestamp"].quantile(0.5))
    events.loc[again, "item_id"] = "i00"  # that this user had first
    items.loc[items["item_id"] == "i38", "available_until"] = over
    market = Market(tmp_path, events, items, users, cycle_spec(repeat=Repeat(rule="never")))
    model = market.towers()
    window = market.windows["validation_start"], market.windows["test_start"]
    queries, vectors = query_vectors(model, market.sequences, *window), item_vectors(model, market.catalogue)
    drawn = draw_examples(market.folder, *window, 0)
    share = write_candidates(
        tmp_path / "c.parquet",
        market.folder,
        "validation_start",
        drawn,
        queries,
        vectors,
        market.catalogue,
        market.sequences,
    )
    found = pq.read_table(tmp_path / "c.parquet").to_pylist()
    examples = pq.read_table(tmp_path / "examples.parquet").to_pylist()
    examples = [row for row in examples if window[0] <= row["timestamp"] < window[1]]
    assert [row["event_id"] for row in found] == [row["event_id"] for row in examples]
    assert examples[0]["timestamp"] <= over < examples[-1]["timestamp"]
    for row, example in zip(found, examples, strict=True):
        past = events[(events["user_id"] == example["user_id"]) & (events["timestamp"] < example["timestamp"])]
        assert not set(row["items"]) & set(past["item_id"])
        gone = {"i38"} if example["timestamp"] > over else set()
        assert set(row["items"]) | set(past["item_id"]) | {"i39"} | gone == set(items["item_id"])
        assert gone.isdisjoint(row["items"])
        query = queries[row["event_id"]]
        own = vectors[[market.catalogue.ids.index(item) for item in row["items"]]] @ query
        assert row["scores"] == pytest.approx(own.tolist(), abs=1e-6)
        assert row["scores"][0] == max(row["scores"]), "the nearest item has the first place"
        place = market.catalogue.ids.index(example["item_id"])
        assert row["own_score"] == pytest.approx(float(vectors[place] @ queries[row["event_id"]]), abs=1e-6)
    assert np.mean([e["item_id"] in f["items"] for e, f in zip(examples, found, strict=True)]) < 0.95
    assert share == 1.0, "all that may be recommended are candidates"
