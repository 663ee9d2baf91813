"""A server of the test's own process that answers JSON."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any


@contextmanager
def answering(take: Callable[[str, bytes], tuple[int, Any]]) -> Iterator[str]:
    """Its address; `take` is asked with the path and the body of each POST for a status and the answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status, answer = take(self.path, self.rfile.read(int(self.headers["content-length"])))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
