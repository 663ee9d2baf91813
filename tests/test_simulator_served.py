"""`souk simulate --policy http://...`: a served release as the policy, and servers that are none."""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from souk.cli import main
from souk.simulator.served_policy import Served
from souk.simulator.slates import WHOLE, Requests
from souk.simulator.truth import read_truth
from tests.test_simulator_cli import refused

SMALL = ("--users", "40", "--items", "30", "--days", "5")


class Answers(BaseHTTPRequestHandler):
    """Answers every call with the server's `status` and `body`, and notes its token."""

    def do_POST(self) -> None:
        self.server.token = self.headers["authorization"]  # type: ignore[attr-defined]
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.end_headers()
        self.wfile.write(self.server.body)  # type: ignore[attr-defined]

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("served") / "data"
    assert main(["simulate", *SMALL, "--output", str(path)]) == 0
    return path


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as answering:
        thread = threading.Thread(target=answering.serve_forever, daemon=True)
        thread.start()
        yield answering
        answering.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "body", "wanted"),
    [
        (400, b'{"error": "Expected instances[0].k"}', 'status 400: {"error": "Expected instances[0].k"}'),
        (200, b"<html>", "another answer"),
        (200, b"{}", "another answer"),
        (200, b"[]", "another answer"),
        (200, b'{"predictions": [{"items": []}]}', "Received: 0 items"),
        (200, b'{"predictions": [{"items": [{"item_id": "shoe"}]}]}', "'shoe', which is not"),
        (200, b'{"predictions": [{"items": [1]}]}', "another answer"),
        (200, b'{"predictions": [1]}', "another answer"),
        (200, b'{"predictions": []}', "another number"),
    ],
)
def test_a_server_that_is_no_recommender(server, status, body, wanted, tmp_path, capsys) -> None:
    server.status, server.body = status, body
    address = f"http://127.0.0.1:{server.server_port}/v1/models/souk"
    assert wanted in refused(capsys, *SMALL, "--policy", address, "--output", tmp_path / "data")
    assert not (tmp_path / "data").exists()
    assert not list(tmp_path.glob(".*.partial"))


def test_a_server_that_wants_a_token(server, tmp_path, capsys) -> None:
    server.status, server.body = 401, b""
    address = f"http://127.0.0.1:{server.server_port}/v1/models/souk"
    words = [*SMALL, "--policy", address, "--output", tmp_path / "data"]
    assert "--token-file FILE" in refused(capsys, *words)
    (tmp_path / "token").write_text("t" * 20)
    refused(capsys, *words, "--token-file", tmp_path / "token")
    assert server.token == f"Bearer {'t' * 20}"


def test_the_chances_that_a_server_tells_are_kept(server, folder) -> None:
    world = read_truth(folder).world
    told = [{"item_id": item, "propensity": 1 / (1 + n)} for n, item in enumerate(world.items.ids[:4].tolist())]
    server.status, server.body = 200, json.dumps({"predictions": [{"items": told}]}).encode()
    served = Served(f"http://127.0.0.1:{server.server_port}/v1/models/souk", world)
    served.open_day([np.arange(30)] * (WHOLE + 1))
    one = np.zeros(1, np.int64)
    found = served.slates(Requests(one, one, one + WHOLE, one > 0, one), 4, np.random.default_rng(0))
    assert (found.items.tolist(), found.propensity.tolist()) == ([[0, 1, 2, 3]], [[1, 1 / 2, 1 / 3, 1 / 4]])


def test_a_server_that_is_down(tmp_path, capsys) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}/v1/models/souk"
    error = refused(capsys, *SMALL, "--policy", address, "--output", tmp_path / "data")
    assert f"a recommender at {address}" in error
    assert "souk serve" in error
    assert not (tmp_path / "data").exists()
