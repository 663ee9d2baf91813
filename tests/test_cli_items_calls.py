"""`souk items`: redirects, ports that speak no HTTP, connections that break off."""

import http.client
import socket
import threading
import urllib.error
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from souk.cli import main
from souk.cli.items import _said
from souk.cli.options import authorization


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_gets_no_token(status, tmp_path, capsys):
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(status)
            self.send_header("location", f"http://user:pass@localhost:{self.server.server_port}/login?secret")
            self.end_headers()

        def do_GET(self):
            seen.append(self.headers["authorization"])
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"accepted": 1, "created": 0, "refused": []}')

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    (tmp_path / "token").write_text("t" * 20)
    url = f"http://127.0.0.1:{server.server_port}"
    assert main(["items", "delete", "7", "--url", url, "--token-file", str(tmp_path / "token")]) == 2
    server.shutdown()
    said = capsys.readouterr()
    assert seen == [] and said.out == ""
    assert f"status {status}, a redirect to http://localhost:{server.server_port}. Give" in said.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("geheim-schlüssel-0123456789\n", "with others in it"),
        ("two words-0123456789\n", "with others in it"),
        ("\n \n", "which is empty"),
        ("", "which is empty"),
    ],
)
def test_a_token_that_no_header_can_carry(text, said, tmp_path, capsys):
    (tmp_path / "token").write_text(text)
    words = ["items", "delete", "7", "--url", "http://127.0.0.1:9", "--token-file", str(tmp_path / "token")]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert f"{tmp_path / 'token'}, {said}" in error and "geheim" not in error


def test_the_first_token_of_a_file(tmp_path):
    (tmp_path / "token").write_text("\n new-0123456789 \nold-0123456789\n")
    assert authorization(str(tmp_path / "token")) == {"authorization": "Bearer new-0123456789"}


def test_a_port_that_speaks_no_http(capsys):
    with socket.create_server(("127.0.0.1", 0)) as other:  # as the gRPC port does
        held = []

        def speak():
            held.append(other.accept()[0])
            held[0].sendall(b"\0\0\0\n")

        threading.Thread(target=speak, daemon=True).start()
        assert main(["items", "delete", "7", "--url", f"http://127.0.0.1:{other.getsockname()[1]}"]) == 2
    assert "an answer that is no HTTP" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (urllib.error.URLError(BrokenPipeError(32, "Broken pipe")), "a connection that broke off"),
        (http.client.IncompleteRead(b""), "a connection that broke off"),
        (urllib.error.URLError(ConnectionRefusedError(111, "refused")), "[Errno 111] refused"),
    ],
)
def test_what_came_in_the_place_of_an_answer(error, said):
    assert _said(error) == said


def test_a_server_that_is_killed_in_a_call(capsys):
    with socket.create_server(("127.0.0.1", 0)) as other:
        threading.Thread(target=lambda: other.accept()[0].close(), daemon=True).start()
        assert main(["items", "delete", "7", "--url", f"http://127.0.0.1:{other.getsockname()[1]}"]) == 2
    assert "Received: a connection that broke off." in capsys.readouterr().err
