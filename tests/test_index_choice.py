"""Which index answers a bundle's requests, and where its graph comes from."""

import numpy as np
import pytest

from souk.errors import SoukError
from souk.index import hnsw
from souk.index.choice import GRAPH_FILE, GRAPH_ITEMS, chosen
from souk.index.exact import ExactIndex
from souk.index.hnsw import HnswIndex
from souk.index.milvus import MilvusIndex
from souk.serving.served import open_index
from souk.steps import load_index as step
from souk.workspace import Workspace
from tests.serving_fixtures import write_shop
from tests.test_index_contract import catalogue


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_shop(tmp_path_factory.mktemp("bundle") / "shop", 20)


def test_the_size_chooses_where_nobody_does():
    assert [chosen("auto", n) for n in (1, GRAPH_ITEMS - 1, GRAPH_ITEMS)] == ["exact", "exact", "hnsw"]
    assert chosen("auto", 1, "http://milvus:19530") == "milvus", "who names a server wants it searched"
    assert chosen("exact", 1, "http://milvus:19530") == "exact"
    assert [chosen(kind, 1) for kind in ("exact", "hnsw", "milvus")] == ["exact", "hnsw", "milvus"]
    with pytest.raises(SoukError, match=r"'hnsv'.*Did you mean 'hnsw'"):
        chosen("hnsv", 1)


def test_exact_is_without_an_index_and_milvus_is_built(bundle, tmp_path):
    workspace = Workspace(tmp_path)
    assert open_index(workspace, bundle, "", print) is None
    assert not workspace.milvus.exists()
    index = open_index(workspace, bundle, "", print, "milvus")
    assert isinstance(index, MilvusIndex) and len(index.search(bundle.vectors[:1], 5)[0][0]) == 5
    index.close()


def test_the_graph_of_a_bundle_is_read_and_one_that_it_lacks_is_built(bundle, tmp_path):
    said = []
    index = open_index(Workspace(tmp_path), bundle, "", said.append, "hnsw")
    assert isinstance(index, HnswIndex) and said == [f"building the graph of {len(bundle.vectors)} vectors"]
    hnsw.write(hnsw.build(bundle.vectors), bundle.graph)
    try:
        read = open_index(Workspace(tmp_path), bundle, "", said.append, "hnsw")
        assert len(said) == 1
        wanted = ExactIndex(bundle.vectors, bundle.available).search(bundle.vectors, 5)[0]
        for one in (index, read):
            walk = HnswIndex(one._graph, bundle.vectors, bundle.available, step=0)
            np.testing.assert_array_equal(walk.search(bundle.vectors, 5)[0], wanted)
    finally:
        bundle.graph.unlink()


def test_a_graph_that_is_none_or_of_other_vectors_is_refused(tmp_path):
    (tmp_path / "graph").write_bytes(b"none")
    with pytest.raises(SoukError, match="a graph of FAISS at"):
        hnsw.read(tmp_path / "graph")
    vectors, _ = catalogue(50)
    with pytest.raises(SoukError, match=r"a graph of 49 × 16 vectors. Received: 50 × 16"):
        HnswIndex(hnsw.build(vectors), vectors[1:])


def test_a_large_catalogue_gets_a_graph_that_is_measured(tmp_path, monkeypatch):
    """The bar holds for the graph as for the collection, and the release takes it along (test_release_package)."""
    from tests.test_release_deploy import config, write_features, write_models

    features, (towers, _) = write_features(tmp_path / "features"), write_models(tmp_path)
    arguments = (config().for_step("load_index"), str(features), str(towers), str(tmp_path / "index"))
    monkeypatch.setattr(step, "GRAPH_ITEMS", 41)
    step.load_index(*arguments)
    assert not (tmp_path / "index" / GRAPH_FILE).exists()
    monkeypatch.setattr(step, "GRAPH_ITEMS", 40)
    assert step.load_index(*arguments)["recall_at_100"] == 1
    assert hnsw.read(tmp_path / "index" / GRAPH_FILE).ntotal == 40
    other = hnsw.build(np.load(towers / "vectors.npy")[::-1])
    monkeypatch.setattr(hnsw, "build", lambda vectors: other)
    monkeypatch.setattr(step, "RECALL_AT", 5)
    with pytest.raises(SoukError, match=r"recall@5 of at least 0\.95"):
        step.load_index(*arguments)
