"""How a server starts, with what it lacks and with what it refuses; and that its end writes what it answered."""

import json
import shutil
import threading

import pyarrow.dataset as ds
import pytest

from souk.release.manifest import read_manifest, write_manifest
from tests.serving_bodies import ANN
from tests.serving_fixtures import IDS, write_workspace
from tests.serving_process import JSON, V1, fails, own, serving

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return write_workspace(tmp_path_factory.mktemp("started") / "workspace")


def ids(slate):
    return [item["item_id"] for item in slate["items"]]


def test_a_server_without_the_index_and_the_store_answers(workspace, tmp_path):
    broken = own(workspace, tmp_path)
    shutil.rmtree(broken.feast)
    shutil.rmtree(broken.milvus, ignore_errors=True)
    broken.milvus.write_text("no folder")
    with serving(broken.root, tmp_path / "log", "--index", "milvus") as server:
        (slate,) = server.slates({**ANN, "k": 50})
    assert slate["degraded"] == ["features_unavailable", "index_unavailable"]
    assert len(ids(slate)) == 50 and set(ids(slate)) < set(IDS)


def test_the_end_answers_what_it_took_and_writes_what_it_answered(workspace, tmp_path):
    place = own(workspace, tmp_path)
    answered, failed = [], []
    with serving(place.root, tmp_path / "log", "--flush-seconds", "3600") as server:
        going = threading.Event()

        def ask():
            while True:
                try:
                    status, body = server.call(V1, json.dumps({"instances": [ANN]}), JSON)
                except OSError:
                    return  # the door is closed
                (answered if status == 200 else failed).append(json.loads(body))
                if len(answered) > 50:
                    going.set()

        clients = [threading.Thread(target=ask) for _ in range(4)]
        for client in clients:
            client.start()
        assert going.wait(60)
        assert server.stop() == 0
        for client in clients:
            client.join()
    rows = ds.dataset(place.impressions, format="parquet").to_table(columns=["request_id"])["request_id"].to_pylist()
    assert not failed
    assert len(rows) == len(set(rows)) and {a["predictions"][0]["request_id"] for a in answered} <= set(rows)


def test_a_release_with_a_changed_byte_is_refused_by_name(workspace, tmp_path):
    place = own(workspace, tmp_path)
    path = place.current / "vectors.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert "changed vectors.npy" in fails(place.root)


def test_a_release_that_answers_otherwise_is_refused(workspace, tmp_path):
    place = own(workspace, tmp_path)
    golden = place.current / "golden.jsonl"
    lines = [json.loads(line) for line in golden.read_text().splitlines()]
    lines[0]["answer"]["items"][0]["score"] += 0.1
    golden.write_text("".join(json.dumps(line) + "\n" for line in lines))
    manifest = read_manifest(place.current)
    write_manifest(place.current, manifest["name"], manifest["content"], manifest["lineage"])
    assert "the golden answer on line 1 of" in fails(place.root)


def test_a_workspace_without_a_release_is_refused(tmp_path):
    assert "a release at" in fails(tmp_path)
