"""The V1 predict call takes a way of its own past FastAPI and KServe: it has to say what the long way says."""

import http.client
import json

import pytest

from tests.serving_fixtures import NOW, write_workspace
from tests.serving_process import JSON, V1, serving

pytestmark = pytest.mark.slow
LONG = {"content-type": "application/octet-stream"}  # JSON to KServe, and nothing that is answered directly
ANN = {"user_id": "ann", "k": 5, "timestamp": NOW}
BODIES = {
    "one": {"instances": [ANN]},
    "several": {"instances": [ANN, {"user_id": "bob", "k": 3, "timestamp": NOW}, {"item_id": "g1-03", "k": 2}]},
    "none": {"instances": []},
    "a wrong field": {"instances": [{"user_id": "ann", "kk": 5}]},
    "no object": [],
    "another field": {"instances": [ANN], "parameters": {}},
    "no instances": {"signature_name": "serve"},
    "a number": {"instances": 5},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    workspace = write_workspace(tmp_path_factory.mktemp("served") / "workspace")
    with serving(workspace.root, tmp_path_factory.mktemp("log") / "serve.log") as running:
        yield running


def answer(server, body, headers):
    """Status, headers that say something, and the body without the ids of requests."""
    connection = http.client.HTTPConnection("127.0.0.1", server.http, timeout=60)
    connection.request("POST", V1, body, headers)
    found = connection.getresponse()
    told, said = json.loads(found.read()), dict(found.getheaders())
    connection.close()
    for slate in told.get("predictions", []):
        slate["request_id"] = len(slate["request_id"])
    return found.status, {name: said.get(name) for name in ("content-type", "x-souk-release", "retry-after")}, told


@pytest.mark.parametrize("name", BODIES)
def test_both_ways_say_the_same(server, name):
    body = json.dumps(BODIES[name])
    assert answer(server, body, JSON) == answer(server, body, LONG)


PREDICTED = 'request_predict_seconds_count{model_name="souk"}'  # KServe's, of the long way alone


@pytest.mark.parametrize(
    ("headers", "direct"),
    [
        (JSON, True),
        ({}, True),
        ({"content-type": "Application/JSON; charset=utf-8"}, True),
        ({"content-type": "application/x-www-form-urlencoded"}, True),
        (LONG, False),
        ({"content-type": "text/plain"}, False),
    ],
    ids=str,
)
def test_which_way_a_call_takes(server, headers, direct):
    before, body = server.metric(PREDICTED), json.dumps(BODIES["several"])
    assert answer(server, body, headers) == answer(server, body, LONG)
    assert server.metric(PREDICTED) == before + (1 if direct else 2)


@pytest.mark.parametrize("values", [("5000", "soon"), ("soon", "5000")])
def test_of_a_header_twice_the_last_one_counts_on_both_ways(server, values):
    found = []
    for headers in (JSON, LONG):
        connection = http.client.HTTPConnection("127.0.0.1", server.http, timeout=60)
        connection.putrequest("POST", V1)
        body = json.dumps(BODIES["one"]).encode()
        given = [*headers.items(), ("content-length", str(len(body))), *(("x-souk-timeout-ms", v) for v in values)]
        for name, value in given:
            connection.putheader(name, value)
        connection.endheaders(body)
        found.append(connection.getresponse().status)
        connection.close()
    assert found == ([400, 400] if values[-1] == "soon" else [200, 200])


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b'{"instances": [NaN]}'])
def test_both_ways_refuse_what_is_no_json(server, body):
    (status, _, said), (other, _, _) = answer(server, body, JSON), answer(server, body, LONG)
    assert status == other == 400 and said["error"].startswith("Expected")


def test_both_ways_know_of_the_deadline_and_count_the_call(server):
    counted = 'souk_requests_total{code="%d",protocol="v1"}'
    for headers in (JSON, LONG):
        before = [server.metric(counted % code) for code in (200, 400)]
        body = json.dumps(BODIES["one"])
        assert answer(server, body, headers)[0] == 200
        status, _, said = answer(server, body, {**headers, "x-souk-timeout-ms": "soon"})
        assert status == 400 and "x-souk-timeout-ms" in said["error"]
        assert [server.metric(counted % code) for code in (200, 400)] == [count + 1 for count in before]


def test_a_body_in_pieces_is_one_body(server):
    body = json.dumps(BODIES["several"]).encode()
    connection = http.client.HTTPConnection("127.0.0.1", server.http, timeout=60)
    connection.request("POST", V1, (body[at : at + 7] for at in range(0, len(body), 7)), JSON, encode_chunked=True)
    found = connection.getresponse()
    assert found.status == 200 and len(json.loads(found.read())["predictions"]) == 3
    connection.close()


def test_a_body_that_is_too_large_is_refused_by_both_ways(server):
    body = json.dumps({"instances": [{**ANN, "exclude": ["x" * 100] * 60_000}]})
    for headers in (JSON, LONG):
        status, _, said = answer(server, body, headers)
        assert status == 400 and "bytes" in said["error"]
