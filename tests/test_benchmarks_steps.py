"""Benchmarks that take a data set through steps call them as they are, and the documentation names their machine.

The figures themselves are of a machine that has nothing else to do.
"""

import importlib
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import beam, heavy_user
from benchmarks.quality.peers import LAMBDAMART, PEERS
from souk.errors import SoukError
from tests.features_fixtures import CONFIG, bazaar_events, write_tables

ROOT = Path(__file__).parents[1]
DOCS = (ROOT / "docs/benchmarks.md").read_text("utf-8")
SECTIONS = {  # whose tables are of a kept record
    "### Beside the usual chain of servers": "chain",
    "### While the release changes": "swap",
    "### What each optimisation saves (`serving.without`)": "without",
    "### Amazon Beauty, leave-last-out": "quality-amazon_beauty",
}


def test_each_step_takes_what_the_heavy_user_s_shop_gives_it(tmp_path):
    given = heavy_user.calls(tmp_path, 1)
    assert list(given)[-1] == "evaluate"
    for name, words in given.items():
        step = getattr(importlib.import_module(f"souk.steps.{name}"), name)
        inspect.signature(step).bind("{}", *words)


def test_the_heavy_user_s_shop_replaces_none_but_its_own(tmp_path):
    for _ in range(2):
        heavy_user.write_shop(tmp_path / "shop", 10)
    (tmp_path / "events.parquet").write_text("mine")
    with pytest.raises(SoukError, match="what another made, which stays"):
        heavy_user.write_shop(tmp_path, 10)
    assert (tmp_path / "events.parquet").read_text() == "mine"


@pytest.mark.parametrize("words", [[], ["100"], ["many", "2"]])
def test_the_heavy_user_s_command_says_what_it_wants(words):
    done = subprocess.run([sys.executable, "-m", "benchmarks.heavy_user", *words], capture_output=True, text=True)
    assert done.returncode == 2 and "usage: python -m benchmarks.heavy_user" in done.stderr


@pytest.mark.slow
def test_the_features_are_built_with_what_the_config_leaves_to_the_data(tmp_path, monkeypatch, capsys):
    config = re.sub(r"history_length: *\d+", "history_length: auto", CONFIG)
    assert "auto" in config
    (tmp_path / "bazaar.yaml").write_text(config)
    tables = write_tables(tmp_path / "tables", bazaar_events())
    words = [str(tables), str(tmp_path / "bazaar.yaml"), str(tmp_path / "features")]
    monkeypatch.setattr(sys, "argv", ["beam", *words])
    beam.main()
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["events"] == 500


@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_names_the_processor_of_its_record(section):
    record = json.loads((ROOT / f"benchmarks/results/{SECTIONS[section]}.json").read_text("utf-8"))
    text = re.split(r"\n##+ ", DOCS.partition(f"\n{section}\n")[2])[0]
    kind = "Xeon" if "Xeon" in record["machine"]["processor"] else "EPYC"
    assert kind in text and text


WORDS = {  # of the peers, in docs/benchmarks.md
    "popularity": "popularity",
    "recent_popularity": "popularity of late",
    "personal_frequency": "personal frequency",
    "tifu_knn": "TIFU-KNN",
    "item_knn": "item-kNN",
    "item_knn_recency": "item-kNN, recency and distance of the pair",
    "first_order": "first-order transitions",
    "sequential_rules": "sequential rules",
    "ease": "EASE",
    "ease_recency": "EASE, recency",
    "als": "ALS",
    "bpr": "BPR",
    "sasrec": "SASRec",
    "tfrs_two_tower": "the tutorial's two towers",
    "lambdamart": "LambdaMART",
}
PEERS_SECTIONS = {
    "### MovieLens 100K, leave-last-out": "movielens_100k",
    "### Amazon Beauty, leave-last-out": "amazon_beauty",
    "### MovieLens 1M, leave-last-out": "movielens_1m",
    "### The Complete Journey, temporal": "complete_journey",
}


@pytest.mark.parametrize("section", PEERS_SECTIONS)
def test_a_section_names_the_peers_that_its_record_lacks(section):
    record = json.loads((ROOT / f"benchmarks/results/quality-{PEERS_SECTIONS[section]}.json").read_text("utf-8"))
    text = re.split(r"\n##+ ", DOCS.partition(f"\n{section}\n")[2])[0]
    [told] = [part for part in text.split("\n\n") if part.startswith("Not run")]
    named = set(re.split(r"[:;] ", " ".join(told.removesuffix(".").split())))
    view = record["views"]["all"]
    missing = {peer.name for peer in (*PEERS, LAMBDAMART)} - {
        *view["models"],
        *view.get("ranker", {}).get("models", ()),
    }
    assert missing and named.intersection(WORDS.values()) == {WORDS[name] for name in missing}
