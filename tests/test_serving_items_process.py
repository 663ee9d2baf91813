"""Items sent to a real server that is then killed: what it answered for is there when it comes back."""

import json
import subprocess
import sys

import pytest

from souk.serving.batch import recommend_file
from tests.serving_fixtures import NOW, write_workspace
from tests.serving_process import JSON, serving

pytestmark = pytest.mark.slow
ROUTE = "/v1/items:upsert"
ASKED = {"user_id": "ann", "k": 5, "timestamp": NOW}
DEAR = {"item_id": "new", "category": "all/g1", "price": 99.5, "title": "Gilded boots", "created_at": NOW - 1000}


def test_what_a_killed_server_answered_for_is_there_when_it_comes_back(tmp_path):
    workspace = write_workspace(tmp_path / "workspace")
    with serving(workspace.root, tmp_path / "first.log") as server:
        assert server.slates(ASKED)[0]["items"][0]["item_id"] != "new"
        status, body = server.call(ROUTE, json.dumps({"items": [DEAR, {"item_id": "bad", "price": "x"}]}), JSON)
        answer = json.loads(body)
        assert (status, answer["accepted"], answer["created"], len(answer["refused"])) == (200, 1, 1, 1)
        (slate,) = server.slates(ASKED)
        assert slate["items"][0]["item_id"] == "new" and slate["degraded"] == []
        assert answer["release"] == slate["release"] == workspace.current_release()
        assert server.call(ROUTE, "{}", JSON)[0] == 400
        url = f"http://127.0.0.1:{server.http}"
        deleted = subprocess.run(
            [sys.executable, "-m", "souk", "items", "delete", slate["items"][1]["item_id"], "--url", url],
            capture_output=True, text=True,
        )  # fmt: skip
        assert deleted.returncode == 0 and deleted.stdout == "1 hidden, 0 refused\n", deleted.stderr
        server.process.kill()  # at once: no flush, no farewell
        server.process.wait()
    with workspace.item_log.open("ab") as log:
        log.write(b'00000000 {"at":1,"item":{"item')  # a write that was cut off
    with serving(workspace.root, tmp_path / "second.log") as server:
        (after,) = server.slates(ASKED)
        found = [item["item_id"] for item in after["items"]]
        assert found[0] == "new" and slate["items"][1]["item_id"] not in found and after["degraded"] == []
        assert server.metric('souk_item_log_rows{state="torn"}') == 1.0
        assert server.metric('souk_item_log_rows{state="taken"}') == 2.0
    requests, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    requests.write_text(json.dumps(ASKED) + "\n")
    recommend_file(workspace.root, requests, output, NOW)
    assert json.loads(output.read_text())["items"] == found
