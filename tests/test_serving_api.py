"""A real server with a token: its routes for items and sessions, hides, its own description, and the client."""

import asyncio
import json
import os

import grpc
import httpx
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc as rpc
from openapi_spec_validator import OpenAPIV31SpecValidator

from souk.cli import main
from souk.client import AsyncClient, Client, Event, Refused, Request
from souk.serving.openapi import document
from souk.serving.protocol.token import FREE_PATHS
from tests.serving_bodies import contents, message, tensor
from tests.serving_fixtures import NOW, SPEC, write_workspace
from tests.serving_process import JSON, V1, V2, serving

pytestmark = pytest.mark.slow
TOKEN, NEXT = "a-token-of-the-tests-0001", "a-token-of-the-tests-0002"
BEARER = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    (folder / "token").write_text(TOKEN + "\n")
    return write_workspace(folder / "workspace"), folder / "token", folder / "log"


@pytest.fixture(scope="module")
def server(place):
    workspace, token, log = place
    with serving(workspace.root, log, "--flush-seconds", "0.2", "--token-file", str(token)) as running:
        yield running


@pytest.fixture(scope="module")
def url(server):
    return f"http://127.0.0.1:{server.http}"


@pytest.fixture
def souk(url):
    with Client(url, TOKEN, timeout=60) as client:
        yield client


def ids(slate):
    return [item.item_id for item in slate.items]


def test_items_and_sessions_are_the_same_on_all_protocols(server, souk):
    clicks = [Event("g3-00", "click", NOW - 5), Event("g3-01", "click", NOW - 4)]
    north = Request(events=clicks, k=5, timestamp=NOW, profile={"region": "north"})
    wanted = [Request(item_id="g2-03", k=5, timestamp=NOW), north]
    slates = souk.slates(wanted)
    assert [slate.user_id for slate in slates] == [None, None] and all(len(slate.items) == 5 for slate in slates)
    assert all(item.source != "popular" for item in slates[0].items) and not slates[0].degraded + slates[1].degraded
    texts = json.dumps([{"item_id": e.item_id, "event_type": "click", "timestamp": e.timestamp} for e in clicks])
    assert ids(slates[1]) != ids(souk.slate(Request(events=clicks, k=5, timestamp=NOW)))
    columns = {"item_id": ["g2-03", ""], "events": ["", texts], "profile": ["", '{"region": "north"}']}
    inputs = [tensor(name, "BYTES", values) for name, values in columns.items()]
    inputs += [tensor("k", "INT32", [5, 5]), tensor("timestamp", "INT64", [NOW, NOW])]
    status, body = server.call(V2, json.dumps({"inputs": inputs}), JSON | BEARER)
    outputs = {output["name"]: output for output in json.loads(body)["outputs"]}
    assert status == 200 and outputs["item_id"]["data"] == ids(slates[0]) + ids(slates[1])
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc}") as channel:
        asked = [
            contents("item_id", "BYTES", [2], bytes_contents=[b"g2-03", b""]),
            contents("events", "BYTES", [2], bytes_contents=[b"", texts.encode()]),
            contents("profile", "BYTES", [2], bytes_contents=[b"", b'{"region": "north"}']),
            contents("k", "INT32", [2], int_contents=[5, 5]),
            contents("timestamp", "INT64", [2], int64_contents=[NOW, NOW]),
        ]
        metadata = [("authorization", f"Bearer {TOKEN}")]
        answer = rpc.GRPCInferenceServiceStub(channel).ModelInfer(message(*asked), metadata=metadata)
    (found,) = (output for output in answer.outputs if output.name == "item_id")
    assert [text.decode() for text in found.contents.bytes_contents] == ids(slates[0]) + ids(slates[1])


def test_a_hide_is_in_no_slate_from_its_answer_on(souk):
    def hide(number, item, **more):
        event = {"event_id": f"h{number}", "user_id": "bob", "item_id": item, "event_type": "hide", "timestamp": NOW}
        return souk.send_events([event | more])

    first = ids(souk.slate(Request(user_id="bob", k=3)))
    assert hide(1, first[0]).accepted == 1
    then = ids(souk.slate(Request(user_id="bob", k=3)))
    assert first[0] not in then and then[:2] == first[1:]
    assert first[0] in ids(souk.slate(Request(user_id="ann", k=50))), "for nobody else"
    hide(2, first[0], value=0.0, timestamp=NOW + 1)
    assert ids(souk.slate(Request(user_id="bob", k=3))) == first
    hide(3, first[0], timestamp=NOW + 2)


def test_it_describes_itself(server, url):
    status, body = server.call("/openapi.json", headers=BEARER, method="GET")
    made = json.loads(body)
    OpenAPIV31SpecValidator(made).validate()
    release = made["info"]["x-souk-release"]
    assert status == 200 and made == json.loads(json.dumps(document(SPEC, 10, 50, release, secured=True)))
    for path, methods in made["paths"].items():
        (method,) = methods
        answer = httpx.request(method, url + path, headers=BEARER, timeout=60)
        assert str(answer.status_code) in methods[method]["responses"], (path, answer.text)


@pytest.mark.parametrize(
    "given", ["", "Bearer", "Bearer wrong-token-0123456789", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x"]
)
def test_without_the_token_there_is_nothing(server, given):
    headers = {"authorization": given} if given else {}
    for path in (
        V1,
        V2,
        "/v1/events",
        "/v1/items:upsert",
        "/v2/models/souk",
        "/v2/repository/models/souk/load",
        "/nowhere",
    ):
        status, body = server.call(path, b"x" * 100, JSON | headers)
        assert status == 401 and "Authorization: Bearer" in json.loads(body)["error"], path
        assert TOKEN not in body.decode()
    for path in ("/openapi.json", "//metrics", "/metrics/", "/V1/models"):
        assert server.call(path, headers=headers, method="GET")[0] == 401, path
    before = server.metric('souk_requests_total{code="401",protocol="v1"}')
    server.call(V1, b"{}", headers)
    assert server.metric('souk_requests_total{code="401",protocol="v1"}') == before + 1
    others = server.metric('souk_requests_total{code="401",protocol="other"}')
    for path in ("/openapi.json", "/nowhere", "/v2/repository/models/souk/load"):
        server.call(path, b"{}", headers)
    assert server.metric('souk_requests_total{code="401",protocol="other"}') == others + 3


def test_whoever_looks_whether_it_is_well_needs_none(server):
    assert {path: server.call(path, method="GET")[0] for path in FREE_PATHS} == dict.fromkeys(FREE_PATHS, 200)


def test_grpc_without_the_token_is_unauthenticated(server):
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc}") as channel:
        stub = rpc.GRPCInferenceServiceStub(channel)
        assert stub.ServerReady(pb.ServerReadyRequest()).ready and stub.ServerLive(pb.ServerLiveRequest()).live
        user = contents("user_id", "BYTES", [1], bytes_contents=[b"ann"])
        for metadata in ((), [("authorization", "Bearer wrong-token-0123456789")], [("authorization", TOKEN)]):
            for call, asked in (
                (stub.ModelInfer, message(user)),
                (stub.ModelMetadata, pb.ModelMetadataRequest(name="souk")),
                (stub.RepositoryModelUnload, pb.RepositoryModelUnloadRequest(model_name="souk")),
            ):
                with pytest.raises(grpc.RpcError) as error:
                    call(asked, metadata=metadata)
                assert error.value.code() is grpc.StatusCode.UNAUTHENTICATED
    counted = [
        server.metric(f'souk_requests_total{{code="UNAUTHENTICATED",protocol="{p}"}}') for p in ("grpc", "other")
    ]
    assert counted == [3, 6]


def test_tokens_are_changed_without_a_restart(place, server, url):
    _, token, log = place

    def write(text):
        fresh = token.with_name("fresh")
        fresh.write_text(text)
        os.replace(fresh, token)

    def status(value):
        return httpx.get(f"{url}/openapi.json", headers={"authorization": f"Bearer {value}"}, timeout=60).status_code

    write(f"{TOKEN}\n\n{NEXT}\n")
    assert [status(TOKEN), status(NEXT), status("x")] == [200, 200, 401]
    write(NEXT)
    assert [status(TOKEN), status(NEXT)] == [401, 200]
    for broken in ("", "short"):
        write(broken)
        assert [status(TOKEN), status(NEXT)] == [401, 200], "a mistake in the file closes nothing and opens nothing"
    token.unlink()
    assert [status(TOKEN), status(NEXT)] == [401, 200]
    write(TOKEN)
    assert [status(TOKEN), status(NEXT)] == [200, 401]
    assert TOKEN not in log.read_text() and NEXT not in log.read_text()


def test_the_client_against_the_server(place, url, souk, capsys):
    with Client(url, timeout=30) as stranger, pytest.raises(Refused) as error:
        stranger.slate(Request(user_id="ann"))
    assert error.value.status == 401
    with pytest.raises(Refused, match=r"instances\[0\]\.k to be a whole number from 1 to 50"):
        souk.slate(Request(user_id="ann", k=99))

    async def many():
        async with AsyncClient(url, lambda: TOKEN, timeout=60) as client:
            return await asyncio.gather(
                *(client.slate(Request(user_id="ann", k=n, timestamp=NOW)) for n in range(1, 9))
            )

    longest = ids(souk.slate(Request(user_id="ann", k=8, timestamp=NOW)))
    assert [ids(slate) for slate in asyncio.run(many())] == [longest[:n] for n in range(1, 9)]
    taken = souk.upsert_items([{"item_id": "client-1", "title": "By the client", "category": "all/g1"}, {"item_id": 5}])
    assert (taken.accepted, taken.created, len(taken.refused)) == (1, 1, 1)
    assert main(["items", "delete", "client-1", "--url", url, "--token-file", str(place[1])]) == 0
    assert main(["items", "delete", "client-1", "--url", url]) == 2
    told = capsys.readouterr().err
    assert "status 401" in told and "Give a token that the server knows: --token-file FILE." in told


def test_the_call_that_the_server_prints_has_a_place_for_the_token(server):
    line = server.process.stdout.readline()
    assert line.startswith("curl http://") and ':predict -H "Authorization: Bearer $TOKEN" -d \'{' in line


def test_a_hide_outlives_the_server(place, server, souk):
    """The last: it ends the server of this file."""
    workspace, token, log = place
    first = ids(souk.slate(Request(user_id="bob", k=1)))[0]
    event = {"event_id": "h9", "user_id": "bob", "item_id": first, "event_type": "hide", "timestamp": NOW + 9}
    assert souk.send_events([event]).accepted == 1
    assert server.stop() == 0
    with serving(workspace.root, log, "--token-file", str(token)) as again:
        client = Client(f"http://127.0.0.1:{again.http}", TOKEN, timeout=60)
        slates = client.slates([Request(user_id=user, k=50) for user in ("bob", "ann")])
        client.close()
    assert first not in ids(slates[0]) and first in ids(slates[1])
