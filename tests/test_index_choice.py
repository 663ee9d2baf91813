"""Which index answers a bundle's requests, and where its lists or its graph come from."""

import contextlib
import os
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from souk.errors import SoukError
from souk.index import hnsw, ivf, late, server
from souk.index.choice import IVF_FILE, IVF_ITEMS, KINDS, chosen
from souk.index.collections import connect
from souk.index.exact import ExactIndex
from souk.index.hnsw import HnswIndex
from souk.index.interface import IndexUnavailable
from souk.index.ivf import IvfIndex
from souk.index.milvus import MilvusIndex
from souk.index.partial import read, write
from souk.release.in_use import KEPT_SECONDS, say_searched, searched
from souk.serving import served
from souk.serving.budget import Guards
from souk.serving.served import Reader, open_index
from souk.steps import deploy
from souk.steps import load_index as step
from souk.store.feast_store import Access
from souk.workspace import Workspace
from tests.release_fixtures import write_features, write_models
from tests.serving_fixtures import write_shop
from tests.test_index_contract import catalogue, milvus_server
from tests.test_release_deploy import config


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_shop(tmp_path_factory.mktemp("bundle") / "shop", 20)


def one_ended(bundle):
    """The bundle, whose first item had ended when the models were fitted."""
    until = pa.array([bundle.settings.trained_until - 1, *[None] * (len(bundle.items) - 1)], pa.int64())
    items = bundle.items.set_column(bundle.items.column_names.index("available_until"), "available_until", until)
    return replace(bundle, items=items)


def test_the_size_chooses_where_nobody_does():
    assert [chosen("auto", n) for n in (1, IVF_ITEMS - 1, IVF_ITEMS)] == ["exact", "exact", "ivf"]
    assert chosen("auto", 1, "http://milvus:19530") == "milvus", "who names a server wants it searched"
    assert chosen("exact", 1, "http://milvus:19530") == "exact"
    assert [chosen(kind, 1) for kind in KINDS[1:]] == ["exact", "ivf", "hnsw", "milvus"]
    with pytest.raises(SoukError, match=r"'hnsv'.*Did you mean 'hnsw'"):
        chosen("hnsv", 1)


def test_exact_is_without_an_index_and_milvus_is_built(bundle, tmp_path):
    workspace = Workspace(tmp_path)
    assert open_index(workspace, bundle, "", print) is None
    assert not workspace.milvus.exists()
    index = open_index(workspace, bundle, "", print, "milvus")
    assert isinstance(index, MilvusIndex) and len(index.search(bundle.vectors[:1], 5)[0][0]) == 5
    index.close()


@pytest.mark.parametrize("opens", ["a server", "the deployment"])
def test_a_collection_is_opened_with_what_it_has(bundle, tmp_path, monkeypatch, opens):
    """What had ended when the models were fitted is not available in it, though the catalogue has it so."""
    ended, given = one_ended(bundle), []

    def opened(uri, collection, vectors, available, report):
        given.append(available)
        raise IndexUnavailable("an index", "none") if opens == "a server" else StopIteration

    monkeypatch.setattr(served if opens == "a server" else deploy, "open_or_build", opened)
    if opens == "a server":
        given.append(open_index(Workspace(tmp_path), ended, "", print, "milvus").available)
    else:
        with pytest.raises(StopIteration):
            deploy._load_collection(ended, Workspace(tmp_path), tmp_path / "index", "")
    assert ended.available[0] and all(not available[0] and available[1] for available in given)


def test_what_a_server_searches_on_a_milvus_server_is_in_use(bundle, tmp_path):
    """Of a release that nobody deploys now: one that was rolled back to, or named."""
    workspace, collection = Workspace(tmp_path / "workspace"), bundle.settings.collection
    with milvus_server(tmp_path / "milvus.db") as (uri, _):
        open_index(workspace, bundle, uri, print).close()
        assert searched(workspace, time.time()) == {collection}
        with contextlib.closing(connect(uri)) as client:
            (mark,) = client.list_aliases(collection)["aliases"]
            assert mark == f"souk_{server.owner(workspace.milvus)}_{collection}"
            client.drop_alias(mark)
            reader = Reader(workspace, "auto", uri, Access(), 100, Guards(), lambda: 0, print)
            reader.keep([SimpleNamespace(bundle=bundle)])
            assert client.list_aliases(collection)["aliases"] == [mark], "as it says from time to time"
        assert server.sweep(uri, set(), "another", 2**50) == []
    reader.keep([SimpleNamespace(bundle=bundle)])  # a server that is gone is logged


@pytest.mark.parametrize("there", [False, True])
def test_milvus_that_is_away_at_the_start_is_opened_by_a_later_search(bundle, tmp_path, monkeypatch, there):
    def away(*args):
        raise IndexUnavailable("Milvus to answer", "nothing")

    workspace, said = Workspace(tmp_path / "workspace"), []
    with milvus_server(tmp_path / "milvus.db") as (uri, _):
        if there:
            open_index(workspace, bundle, uri, print).close()
        monkeypatch.setattr(served, "open_or_build", away)
        monkeypatch.setattr(late, "AGAIN_SECONDS", 0.0)
        with contextlib.closing(open_index(workspace, bundle, uri, said.append)) as index:
            wanted = ExactIndex(bundle.vectors, bundle.indexed).search(bundle.vectors, 5)[0]
            np.testing.assert_array_equal(index.search(bundle.vectors, 5, timeout=60)[0], wanted)
        assert (f"building {bundle.settings.collection}" in said) is not there
        with contextlib.closing(connect(uri)) as client:
            assert client.list_aliases(bundle.settings.collection)["aliases"]


def test_who_is_no_longer_heard_of_searches_nothing(tmp_path):
    workspace, now = Workspace(tmp_path), time.time()
    assert searched(workspace, now) == set()
    for name in ("items_one", "items_two"):
        say_searched(workspace, name)
    os.utime(workspace.milvus / "searched" / "items_one", (now, now - KEPT_SECONDS - 1))
    assert searched(workspace, now) == {"items_two"}
    assert [path.name for path in (workspace.milvus / "searched").iterdir()] == ["items_two"]


def test_the_lists_of_a_bundle_are_read_and_those_that_it_lacks_are_built(bundle, tmp_path):
    said = []
    index = open_index(Workspace(tmp_path), bundle, "", said.append, "ivf")
    assert isinstance(index, IvfIndex) and said == [f"putting {len(bundle.vectors)} vectors into lists"]
    write(ivf.build(bundle.vectors), bundle.ivf)
    try:
        there = open_index(Workspace(tmp_path), bundle, "", said.append, "ivf")
        assert len(said) == 1
        wanted = ExactIndex(bundle.vectors, bundle.available).search(bundle.vectors, 5)[0]
        for one in (index, there):
            one._built.nprobe, one._always = one._built.nlist, True
            np.testing.assert_array_equal(one.search(bundle.vectors, 5)[0], wanted)
    finally:
        bundle.ivf.unlink()


def test_the_graph_of_a_bundle_of_before_is_read(bundle, tmp_path):
    said = []
    write(hnsw.build(bundle.vectors), bundle.graph)
    try:
        index = open_index(Workspace(tmp_path), bundle, "", said.append, "hnsw")
    finally:
        bundle.graph.unlink()
    assert isinstance(index, HnswIndex) and not said
    assert isinstance(open_index(Workspace(tmp_path), bundle, "", said.append, "hnsw"), HnswIndex)
    assert said == [f"building the graph of {len(bundle.vectors)} vectors"]


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
def test_what_has_ended_is_found_for_a_time_before_its_end(bundle, tmp_path, kind):
    """Each has each item of the catalogue: who asks of a moment says in a mask what is there then."""
    ended = one_ended(bundle)
    index = open_index(Workspace(tmp_path), ended, "", print, kind)
    then = ended.available & (np.arange(len(ended.vectors)) < 3)
    assert set(index.search(ended.vectors[:1], 3, allowed=[then])[0][0].tolist()) == {0, 1, 2}


def test_an_index_that_is_none_or_of_other_vectors_is_refused(tmp_path):
    (tmp_path / "lists").write_bytes(b"none")
    with pytest.raises(SoukError, match="an index of FAISS at"):
        read(tmp_path / "lists")
    vectors, _ = catalogue(50)
    with pytest.raises(SoukError, match=r"an index of 49 × 16 vectors. Received: 50 × 16"):
        HnswIndex(hnsw.build(vectors), vectors[1:])


def test_a_large_catalogue_gets_lists_that_are_measured(tmp_path, monkeypatch):
    """The bar holds for the lists as for the collection, and the release takes it along (test_release_package)."""
    features, (towers, _) = write_features(tmp_path / "features"), write_models(tmp_path)
    arguments = (config().for_step("load_index"), str(features), str(towers), str(tmp_path / "index"))
    monkeypatch.setattr(step, "IVF_ITEMS", 41)
    step.load_index(*arguments)
    assert not (tmp_path / "index" / IVF_FILE).exists()
    monkeypatch.setattr(step, "IVF_ITEMS", 40)
    assert step.load_index(*arguments)["recall_at_100"] == 1
    assert read(tmp_path / "index" / IVF_FILE).ntotal == 36  # the rest is not available
    other = ivf.build(np.load(towers / "vectors.npy")[::-1])
    monkeypatch.setattr(ivf, "build", lambda *given: other)
    monkeypatch.setattr(ivf, "EACH", 0)
    monkeypatch.setattr(step, "RECALL_AT", 5)
    with pytest.raises(SoukError, match=r"recall@5 of at least 0\.95"):
        step.load_index(*arguments)
