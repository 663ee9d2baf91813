"""What a web page has a browser send is refused where no token is asked for, and nothing that programs send is."""

from types import SimpleNamespace

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from souk.own_pages import OwnPages
from souk.serving.protocol.rest import RestServer


def app():
    made = FastAPI()
    made.add_middleware(OwnPages)
    made.add_api_route("/v1/events", lambda: {"accepted": 1}, methods=["POST", "GET"])
    return TestClient(made, base_url="http://127.0.0.1:8080")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"sec-fetch-site": "cross-site", "origin": "https://other.example"}, 403),
        ({"sec-fetch-site": "cross-site", "content-type": "text/plain"}, 403),
        ({"sec-fetch-site": "same-origin", "origin": "http://127.0.0.1:8080"}, 200),
        ({"sec-fetch-site": "same-site", "origin": "http://localhost:3000", "host": "localhost:8080"}, 200),
        ({"sec-fetch-site": "none"}, 200),
        ({"origin": "https://other.example"}, 403),
        ({"origin": "http://10.0.0.5:3000", "host": "10.0.0.5:8080"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://[::1"}, 403),
        ({"origin": "http://Souk.example:8080", "host": "souk.example:8080"}, 200),
    ],
)
def test_a_page_of_another_site_writes_nothing(headers, status):
    answer = app().post("/v1/events", content=b"{}", headers=headers)
    assert answer.status_code == status and ("error" in answer.json()) == (status == 403)
    assert app().get("/v1/events", headers=headers).status_code == 200, "which a page cannot read"


@pytest.mark.parametrize("tokens", [None, object()])
def test_a_server_looks_where_it_asks_for_no_token(tokens):
    """A page cannot send a token that it does not have."""
    of = SimpleNamespace(
        dataplane=SimpleNamespace(model_registry=SimpleNamespace(get_model=None)),
        _tokens=tokens, _metrics=None, _tracing=None, _drain=None, _worker=None,
    )  # fmt: skip
    made = FastAPI()
    RestServer._add_middlewares(of, made)
    assert (OwnPages in [each.cls for each in made.user_middleware]) == (tokens is None)
