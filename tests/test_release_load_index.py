"""The step load_index: what it measures of a collection, and below which bar it fails."""

import json
import os

import numpy as np
import pytest

from souk.errors import SoukError
from souk.index.interface import collection_name
from souk.index.place import SEAL
from souk.index.recall import sample_queries
from souk.release.bundle import write_bundle
from souk.steps.load_index import load_index
from tests.release_fixtures import BOUNDARIES, ITEM_IDS, write_features, write_models
from tests.test_release_deploy import config


def test_load_index_measures_recall_and_is_idempotent(tmp_path):
    features = write_features(tmp_path / "features")
    towers, _ = write_models(tmp_path)
    arguments = (str(features), str(towers), str(tmp_path / "index"))
    assert load_index(config().for_step("load_index"), *arguments) == {"recall_at_100": 1.0, "items": 40.0}
    record = json.loads((tmp_path / "index" / "index.json").read_text())
    assert record["uri"] == "milvus.db"
    left = np.array([position not in (0, 1, 2, 7) for position in range(40)])  # three ended, one is not available
    assert record["collection"] == collection_name(ITEM_IDS, np.load(towers / "vectors.npy"), left)
    inode = os.stat(tmp_path / "index" / "milvus.db").st_ino
    load_index(config().for_step("load_index"), *arguments)
    assert os.stat(tmp_path / "index" / "milvus.db").st_ino == inode
    (tmp_path / "index" / "milvus.db" / SEAL).unlink()
    load_index(config().for_step("load_index"), *arguments)
    assert os.stat(tmp_path / "index" / "milvus.db").st_ino != inode


def test_the_collection_of_a_twin_has_what_was_available_at_its_boundary(tmp_path):
    """Item 1 ended in the twin's window, and 2 too, which is not available any more by the items file."""
    features, (towers, ranker) = write_features(tmp_path / "features"), write_models(tmp_path)
    (towers / "training.json").write_text(json.dumps({"trained_until": BOUNDARIES["test_start"]}))
    load_index(config().for_step("load_index"), str(features), str(towers), str(tmp_path / "index"))
    name = json.loads((tmp_path / "index" / "index.json").read_text())["collection"]
    left = np.array([position not in (0, 7) for position in range(40)])
    twin = write_bundle(tmp_path / "twin", features, towers, ranker, "test_start", name)
    assert twin.indexed.tolist() == left.tolist()
    assert name == collection_name(ITEM_IDS, np.load(towers / "vectors.npy"), left)


def test_load_index_fails_below_the_bar(tmp_path, monkeypatch):
    features = write_features(tmp_path / "features")
    towers, _ = write_models(tmp_path)
    monkeypatch.setattr("souk.steps.load_index.recall_at", lambda *_: 0.94)
    with pytest.raises(SoukError, match=r"0\.95.*0\.9400"):
        load_index(config().for_step("load_index"), str(features), str(towers), str(tmp_path / "index"))
    monkeypatch.undo()
    np.save(towers / "vectors.npy", np.zeros((3, 8), np.float32))
    with pytest.raises(SoukError, match="40 items"):
        load_index(config().for_step("load_index"), str(features), str(towers), str(tmp_path / "index"))


def test_sampled_queries_are_as_long_as_items():
    vectors = np.random.default_rng(1).normal(size=(50, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    queries = sample_queries(vectors)
    assert (queries.shape, queries.dtype) == ((512, 8), np.float32)
    np.testing.assert_allclose(np.linalg.norm(queries, axis=1), 1, atol=1e-4)
    np.testing.assert_array_equal(queries, sample_queries(vectors))
