"""The data sets of the quality benchmark, and where its artifacts are found."""

import gzip
import os

import pandas as pd
import pytest

from benchmarks.quality.artifacts import ARTIFACTS, find
from benchmarks.quality.prepare import prepare
from souk.config import load_config
from souk.errors import SoukError


def test_beauty_and_movielens_become_sources_that_souk_reads(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "Beauty.txt.gz").write_bytes(gzip.compress(b"1 5 3 4\n2 3 5\n"))
    (raw / "Beauty_item2attributes.json").write_text('{"3": [1, 2], "4": [], "5": [2]}', "utf-8")
    config = load_config(prepare("amazon_beauty", raw, tmp_path / "beauty"))
    assert (config.name, config.split.protocol, config.repeat.rule) == ("amazon_beauty", "leave_last_out", "never")
    events = pd.read_parquet(tmp_path / "beauty" / "events.parquet")
    assert events["item_id"].tolist() == ["5", "3", "4", "3", "5"]
    assert events[events["user_id"] == "1"]["timestamp"].is_monotonic_increasing
    assert events["event_id"].is_unique
    items = pd.read_parquet(tmp_path / "beauty" / "items.parquet")
    assert [list(words) for words in items["attributes"]] == [["1", "2"], [], ["2"]]
    assert load_config(prepare("movielens_100k", raw, tmp_path / "ml")).split.protocol == "leave_last_out"
    ratings = pd.read_parquet(tmp_path / "ml" / "events.parquet")
    assert len(ratings) == 100_000
    assert ratings["event_id"].is_monotonic_increasing  # in the order of the file
    assert ratings["timestamp"].between(874_000_000_000, 894_000_000_000).all()
    assert load_config(prepare("complete_journey", raw, tmp_path / "cj")).split.protocol == "temporal"


def test_missing_raw_files_and_unknown_data_sets_are_refused(tmp_path):
    with pytest.raises(SoukError, match=r"Beauty\.txt"):
        prepare("amazon_beauty", tmp_path, tmp_path / "out")
    with pytest.raises(SoukError, match="Did you mean 'online_retail'"):
        prepare("online_retai", tmp_path, tmp_path / "out")


def test_the_newest_artifact_of_each_step_is_found(tmp_path):
    for number, run_name in enumerate(("one", "two")):
        for place in ARTIFACTS.values():
            (tmp_path / run_name / place).mkdir(parents=True)
            os.utime(tmp_path / run_name / place, (number, number))
    assert find(tmp_path)["twin"] == tmp_path / "two" / "evaluate" / "twin"
    with pytest.raises(SoukError, match="ingest/tables"):
        find(tmp_path / "none")
