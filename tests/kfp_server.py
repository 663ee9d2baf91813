"""A Kubeflow Pipelines API server over HTTP on 127.0.0.1, for tests of what talks to one.

Each request and answer is checked against the published OpenAPI (tests/kfp_openapi.py): an unknown path is 404, an
unknown field or parameter 400. What it does with a request follows backend/src/apiserver of kubeflow/pipelines: unique
names, pagination, filters, who may do what, which runs are valid.
"""

import email
import json
import ssl
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.kfp_openapi import Invalid, Operation, check, check_query, find
from tests.kfp_service import Json, Kubeflow, Refused

CODES = {400: 3, 401: 16, 403: 7, 404: 5, 409: 6, 500: 13}  # gRPC's code of each status


class Handler(BaseHTTPRequestHandler):
    """HTTP around a `Kubeflow`: routes, checks and answers."""

    kubeflow: Kubeflow
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def _serve(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urllib.parse.urlsplit(self.path)
        upload = url.path.startswith("/apis/v2beta1/pipelines/upload")
        try:
            operation, parameters = self._find(url.path)
            if self.kubeflow.token and self.headers.get("Authorization") != f"Bearer {self.kubeflow.token}":
                raise Refused(401, "Unauthenticated: Request header error: there is no user identity header.")
            if operation.name in self.kubeflow.broken:
                status, text = self.kubeflow.broken[operation.name]
                return self._send(status, text, "text/html" if text.startswith("<") else "application/json")
            query = dict(urllib.parse.parse_qsl(url.query))
            self._send(200, json.dumps(self._run(operation, parameters, query, content)))
        except Refused as error:
            words = {"error_message": str(error), "error_details": str(error)}
            if not upload:
                words = {"error": str(error), "code": CODES[error.status], "message": str(error), "details": []}
            self._send(error.status, json.dumps(words))
        except Exception as error:
            self.kubeflow.faults.append(error)
            self._send(500, "")

    def _find(self, path: str) -> tuple[Operation, dict[str, str]]:
        try:
            return find(self.command, urllib.parse.unquote(path))
        except Invalid as error:
            raise Refused(404, f"Not Found: {error}") from error

    def _run(self, operation: Operation, parameters: dict[str, str], query: Json, content: bytes) -> Json:
        given: dict[str, Any] = {}
        try:
            check_query(operation, query)
            check(json.loads(query.get("filter", "{}")), "V2beta1Filter", "filter")
            if operation.body:
                given["body"] = json.loads(content)
                check(given["body"], operation.body)
            elif operation.upload:
                given["file"] = self._file(content)
        except (Invalid, ValueError) as error:
            raise Refused(400, f"proto: {error}") from error
        self.kubeflow.requests.append((operation.name, given.get("body", query)))
        do: Callable[..., Json] = getattr(self.kubeflow, operation.name)
        answer = do(query=query, **given, **parameters)
        check(answer, operation.answer, "answer")
        return answer

    def _file(self, content: bytes) -> bytes:
        """The part `uploadfile` of a multipart form; its name tells the server how to read it."""
        message = email.message_from_bytes(
            b"Content-Type: " + self.headers["Content-Type"].encode() + b"\r\n\r\n" + content
        )
        for part in message.walk():
            if part.get_param("name", header="Content-Disposition") == "uploadfile":
                if not str(part.get_filename()).endswith((".yaml", ".yml", ".json")):
                    raise Refused(400, "Failed to read a pipeline spec file: unexpected file format")
                payload = part.get_payload(decode=True)
                assert isinstance(payload, bytes)
                return payload
        raise Refused(400, "Failed to read pipeline from file")

    def _send(self, status: int, text: str, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if 300 <= status < 400:
            self.send_header("Location", text)
        content = text.encode("utf-8", "surrogateescape")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serve(kubeflow: Kubeflow, certificate: str = "") -> Iterator[str]:
    """The URL of a server on a free port, over TLS where there is a file with a `certificate` and its key."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"kubeflow": kubeflow}))
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http{'s' if certificate else ''}://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
    assert not kubeflow.faults, kubeflow.faults
