"""A Kubernetes API on 127.0.0.1 that implements the interface: what a rollout sees of it, and no cluster behind it.

Namespaces, pods, events and InferenceServices with create, get, list by selectors, merge patch, server-side apply,
delete and the status subresource; bearer tokens with RBAC rules; Status objects for errors; `generation`,
`resourceVersion` and `managedFields`. Native objects are checked against the published OpenAPI schemas
(kubernetes-validate), InferenceServices against the models of the kserve package, and both against the rules of
KServe's validating webhook. The tests talk to a base URL, so that they can run against a real API server as well.
"""

from __future__ import annotations

import copy
import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.kserve_webhook import refusal
from tests.kubernetes_objects import problems
from tests.server_side_apply import Conflict, Owners, apply, fields_v1, merged, updated

KINDS = {"pods": "Pod", "events": "Event", "inferenceservices": "InferenceService", "namespaces": "Namespace"}
GROUPS = {"api/v1": "", "apis/serving.kserve.io/v1beta1": "serving.kserve.io"}
VERBS = {"POST": "create", "PATCH": "patch", "DELETE": "delete"}
EVERYTHING = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]


class Failure(Exception):
    """An answer that is no success: a Status object, or text where `reason` is empty."""

    def __init__(self, code: int, reason: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.code, self.reason, self.message, self.details = code, reason, message, details


class KubernetesApi:
    """The state behind the server.

    Args:
        tokens: bearer token -> RBAC rules.
        kserve: whether the InferenceService resource is installed.
    """

    def __init__(self, tokens: dict[str, list[dict[str, Any]]], kserve: bool = True) -> None:
        self.tokens, self.kserve = tokens, kserve
        self.outage = 0  # a status code that every request gets
        self.requests: list[tuple[str, str]] = []
        self._objects: dict[tuple[str, str, str], dict[str, Any]] = {}
        self._owners: dict[tuple[str, str, str], Owners] = {}
        self._version = 0
        self._lock = threading.Lock()

    def handle(self, method: str, target: str, headers: Any, body: bytes) -> dict[str, Any]:
        """One request: authentication, authorisation, then the verb."""
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query))
        with self._lock:
            self.requests.append((method, target))
            if self.outage:
                raise Failure(self.outage, "ServiceUnavailable", "the server is currently unable to handle the request")
            rules = self.tokens.get(headers.get("Authorization", "").removeprefix("Bearer "))
            if rules is None:
                raise Failure(401, "Unauthorized", "Unauthorized")
            group, namespace, resource, name, sub = self._route(parts.path)
            verb = VERBS.get(method, "get" if name else "list")
            content = headers.get("Content-Type", "")
            key = (resource, namespace, name)
            self._allow(rules, verb, group, resource + (f"/{sub}" if sub else ""), namespace)
            document = json.loads(body) if body else {}
            if method == "GET":
                return self._get(key) if name else self._list(resource, namespace, query)
            if method == "DELETE":
                return self._delete(key)
            if method == "POST":
                return self._create((resource, namespace, document["metadata"]["name"]), document)
            if content == "application/apply-patch+yaml":
                if key not in self._objects:
                    self._allow(rules, "create", group, resource, namespace)
                return self._apply(key, document, query)
            return self._merge(key, document, query.get("fieldManager", "unknown"), sub)

    def _route(self, path: str) -> tuple[str, str, str, str, str]:
        """Group, namespace, resource, name and subresource of a path."""
        for prefix, group in GROUPS.items():
            if path.startswith(f"/{prefix}/namespaces") and (self.kserve or not group):
                words = path.removeprefix(f"/{prefix}/namespaces").strip("/").split("/")
                if len(words) == 1:
                    return group, "", "namespaces", words[0], ""
                namespace, resource, name, sub = [*words, "", "", ""][:4]
                if resource in KINDS:
                    return group, namespace, resource, name, sub
        raise Failure(404, "", "404 page not found")

    def _allow(self, rules: list[dict[str, Any]], verb: str, group: str, resource: str, namespace: str) -> None:
        wanted = {"apiGroups": group, "resources": resource, "verbs": verb}
        if not any(all({value, "*"} & set(rule[key]) for key, value in wanted.items()) for rule in rules):
            message = (
                f'{resource}{"." + group if group else ""} is forbidden: User "tester" cannot {verb} resource '
                f'"{resource}" in API group "{group}" in the namespace "{namespace}"'
            )
            raise Failure(403, "Forbidden", message, kind=resource, group=group)

    def _get(self, key: tuple[str, str, str]) -> dict[str, Any]:
        if key not in self._objects:
            resource, _, name = key
            raise Failure(404, "NotFound", f'{resource} "{name}" not found', name=name, kind=resource)
        return self._shown(key)

    def _list(self, resource: str, namespace: str, query: dict[str, str]) -> dict[str, Any]:
        items = [self._shown(key) for key in self._objects if key[:2] == (resource, namespace)]
        for selector, root in (("labelSelector", ("metadata", "labels")), ("fieldSelector", ())):
            for term in filter(None, query.get(selector, "").split(",")):
                path, _, value = term.partition("=")
                places = (*root, path) if root else tuple(path.split("."))
                items = [item for item in items if _at(item, places) == value]
        metadata = {"resourceVersion": str(self._version)}
        return {"kind": f"{KINDS[resource]}List", "apiVersion": "v1", "metadata": metadata, "items": items}

    def _delete(self, key: tuple[str, str, str]) -> dict[str, Any]:
        self._get(key)
        del self._objects[key]
        self._owners.pop(key, None)
        return {"kind": "Status", "apiVersion": "v1", "status": "Success"}

    def _create(self, key: tuple[str, str, str], document: dict[str, Any]) -> dict[str, Any]:
        if key in self._objects:
            raise Failure(409, "AlreadyExists", f'{key[0]} "{key[2]}" already exists', name=key[2], kind=key[0])
        document.pop("status", None) if key[0] != "events" else None
        return self._store(key, document, updated({}, {}, "creator", document))

    def _apply(self, key: tuple[str, str, str], document: dict[str, Any], query: dict[str, str]) -> dict[str, Any]:
        manager = query.get("fieldManager")
        if not manager:
            raise Failure(400, "BadRequest", "PatchOptions.fieldManager: Required value: is required for apply patch")
        if unknown := [line for line in problems(document) if "no such field" in line]:
            raise Failure(500, "InternalError", f"failed to create typed patch object: {unknown[0]}")
        live = self._objects.get(key, {"apiVersion": document["apiVersion"], "kind": document["kind"], "metadata": {}})
        try:
            result, owners = apply(
                live, self._owners.get(key, {}), manager, document, force=query.get("force") == "true"
            )
        except Conflict as conflict:
            causes = [
                {
                    "reason": "FieldManagerConflict",
                    "message": f'conflict with "{owner}" using {document["apiVersion"]}',
                    "field": "." + ".".join(path),
                }
                for owner, path in conflict.fields
            ]
            message = f"Apply failed with {len(causes)} conflict(s)"
            raise Failure(409, "Conflict", message, causes=causes) from conflict
        result["metadata"].update(name=key[2], namespace=key[1])
        return self._store(key, result, owners)

    def _merge(self, key: tuple[str, str, str], patch: dict[str, Any], manager: str, sub: str) -> dict[str, Any]:
        live = self._get(key)
        version = patch.get("metadata", {}).get("resourceVersion")
        if version and version != live["metadata"]["resourceVersion"]:
            raise Failure(
                409, "Conflict", "the object has been modified; please apply your changes to the latest version"
            )
        live = self._objects[key]
        part = {"status": patch.get("status")} if sub == "status" else {k: v for k, v in patch.items() if k != "status"}
        result = merged(live, part)
        return self._store(key, result, updated(live, self._owners.get(key, {}), manager, result))

    def _store(self, key: tuple[str, str, str], document: dict[str, Any], owners: Owners) -> dict[str, Any]:
        """Checks an object as the API server and KServe's webhook do, and keeps it."""
        resource, namespace, name = key
        if namespace and ("namespaces", "", namespace) not in self._objects:
            raise Failure(404, "NotFound", f'namespaces "{namespace}" not found', name=namespace, kind="namespaces")
        if wrong := problems(document):
            raise Failure(422, "Invalid", f'{KINDS[resource]} "{name}" is invalid: {wrong[0]}')
        before = self._objects.get(key)
        if resource == "inferenceservices" and (why := refusal(document, before)):
            webhook = "inferenceservice.kserve-webhook-server.validator"
            raise Failure(403, "Forbidden", f'admission webhook "{webhook}" denied the request: {why}')
        metadata = document.setdefault("metadata", {})
        old = before["metadata"] if before else {}
        if before and _content(before) == _content(document) and before.get("status") == document.get("status"):
            self._owners[key] = owners
            return self._shown(key)
        self._version += 1
        changed = before is None or before.get("spec") != document.get("spec")
        metadata.update(
            uid=old.get("uid", str(uuid.uuid4())),
            creationTimestamp=old.get("creationTimestamp", datetime.now(UTC).isoformat().replace("+00:00", "Z")),
            generation=old.get("generation", 0) + changed,
            resourceVersion=str(self._version),
        )
        self._objects[key], self._owners[key] = document, owners
        return self._shown(key)

    def _shown(self, key: tuple[str, str, str]) -> dict[str, Any]:
        document = copy.deepcopy(self._objects[key])
        document["metadata"]["managedFields"] = fields_v1(self._owners.get(key, {}), document["apiVersion"])
        return document


def _content(document: dict[str, Any]) -> Any:
    """What a client writes."""
    metadata = {key: document["metadata"].get(key) for key in ("labels", "annotations")}
    return metadata, {key: value for key, value in document.items() if key not in ("metadata", "status")}


def _at(document: Any, path: tuple[str, ...]) -> Any:
    for part in path:
        document = document.get(part, {}) if isinstance(document, dict) else {}
    return document


class _Handler(BaseHTTPRequestHandler):
    api: KubernetesApi
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body in one packet

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            code, text = 200, json.dumps(self.api.handle(self.command, self.path, self.headers, body))
        except Failure as failure:
            status = {
                "kind": "Status",
                "apiVersion": "v1",
                "metadata": {},
                "status": "Failure",
                "message": failure.message,
                "reason": failure.reason,
                "details": failure.details,
                "code": failure.code,
            }
            code, text = failure.code, json.dumps(status) if failure.reason else failure.message
        answer = text.encode("utf-8", "surrogateescape")
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serving(api: KubernetesApi) -> Iterator[str]:
    """Serves `api` on a free port; gives its base URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"api": api}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
