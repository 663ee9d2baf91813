"""A server that says what it is told to, and a client of either kind that asks it."""

import asyncio
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from souk.client import AsyncClient, Client
from souk.serving.slate import Slate as ServerSlate
from souk.serving.slate import SlateItem

DRAWN = SlateItem("a", "A", 0.5, {"engaged": 0.5}, "two_tower", 0, 0.25)
ANSWER = ServerSlate("r1", "ann", 5, "shop-0", "", (DRAWN,), ())
GOOD = 200, {"predictions": [ANSWER.to_json() | {"later": 1}]}, {}
BUSY = 429, {"error": "Expected less to do."}, {"retry-after": "1"}
DISK = 503, {"error": "Expected the disk."}, {}
WRONG = 400, {"error": "Expected instances[0].k."}, {}


class Script:
    """A server that says what it is told to, one answer after the other; None breaks the connection."""

    def __init__(self, answers):
        self.answers, self.calls, self.drops, self.hold = list(answers), [], 0, threading.Event()

    def next(self, path, headers, body):
        self.calls.append((path, dict(headers), json.loads(body)))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@contextmanager
def saying(*answers):
    script = Script(answers)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            answer = script.next(self.path, self.headers, body)
            if answer == "hang":
                script.hold.wait(30)
                answer = None
            if answer in ("drip", "drip headers"):
                if answer == "drip":
                    self.send_response(200)
                    self.send_header("content-length", "600")
                    self.end_headers()
                else:
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nx-long:")
                while script.drops < 600 and not script.hold.wait(0.1):
                    self.wfile.write(b" ")
                    script.drops += 1
                answer = None
            if answer is None:
                self.close_connection = True
                return
            status, values, headers = answer
            text = json.dumps(values).encode() if not isinstance(values, bytes) else values
            self.send_response(status)
            for name, value in {"content-length": str(len(text)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", script
    finally:
        script.hold.set()
        server.shutdown()
        server.server_close()


def slates_of(kind, url, request, timeout, **more):
    if kind is Client:
        with Client(url, timeout=timeout, draw=lambda: 0.1, **more) as souk:
            return souk.slate(request)

    async def ask():
        async with AsyncClient(url, timeout=timeout, draw=lambda: 0.1, **more) as souk:
            return await souk.slate(request)

    return asyncio.run(ask())


BOTH = pytest.mark.parametrize("kind", [Client, AsyncClient])
