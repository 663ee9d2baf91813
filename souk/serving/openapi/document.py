"""The document: one path for each route, under the model's own name."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from souk import __version__
from souk.serving.openapi.schemas import Schema, of_answers, of_requests, ref
from souk.serving.protocol.refusals import MAX_BODY_BYTES, MAX_REQUEST_BYTES
from souk.serving.protocol.token import FREE_PATHS
from souk.serving.releases import Releases
from souk.serving.request import MAX_BODY_EVENTS, MAX_BODY_ITEMS, MAX_TIMEOUT_MS
from souk.spec import FeatureSpec

ABOUT = (
    "A marketplace recommender. Every well-formed request is answered, or sent away with 429; a request that is wrong "
    f"gets 400 and a text that says what was expected. Bodies have at most {MAX_REQUEST_BYTES} bytes, those of "
    f"items and events {MAX_BODY_BYTES}; all instances of a body have at most {MAX_BODY_EVENTS} events, and slates of "
    f"{MAX_BODY_ITEMS} items. See docs/serving.md."
)
TIMEOUT: Schema = {
    "name": "x-souk-timeout-ms",
    "in": "header",
    "description": "How long the answer may take, for instances that do not say; rows of items are not taken later.",
    "schema": {"type": "integer", "minimum": 1, "maximum": MAX_TIMEOUT_MS},
}
EXAMPLES: dict[str, Any] = {
    "PredictRequest": {"instances": [{"user_id": "42", "k": 5}, {"item_id": "50", "k": 5}]},
    "ExplainRequest": {"instances": [{"user_id": "42", "item_id": "50"}]},
    "ItemsRequest": {"items": [{"item_id": "new-1", "title": "Red boots"}]},
    "EventsRequest": {
        "event_id": "e1",
        "user_id": "42",
        "item_id": "50",
        "event_type": "click",
        "timestamp": 1_700_000_000_000,
    },
    "InferRequest": {"inputs": [{"name": "user_id", "datatype": "BYTES", "shape": [1], "data": ["42"]}]},
}
CALLS = (
    ("/v1/models/souk:predict", "predict", "Slates for users, sessions, or items", "Predict", True, ()),
    ("/v1/models/souk:explain", "explain", "Why an item has its score", "Explain", True, ("503",)),
    ("/v2/models/souk/infer", "infer", "Slates as tensors (Open Inference Protocol)", "Infer", True, ()),
    ("/v1/items:upsert", "upsertItems", "Items for the running server", "Items", True, ("503",)),
    ("/v1/events", "sendEvents", "What users do", "Events", False, ("503",)),
)  # path, operation, summary, name of its schemas, whether a header may say its timeout, what else it may answer
LOOKS = (
    ("/", "live", "Whether the process answers"),
    ("/v2/health/live", "healthLive", "The same"),
    ("/v2/health/ready", "healthReady", "Whether the release is loaded and its golden requests passed"),
    ("/v1/models/souk", "modelStatus", "Whether the model is ready"),
    ("/v2/models/souk", "modelMetadata", "Its tensors"),
)
ERRORS = {
    "400": "The request is wrong",
    "401": "No token, or another",
    "403": "A browser makes this call for another site's page",
    "429": "More is asked than can be answered in time",
    "503": "The disk does not take it, or TensorFlow's process does not answer, or not in the call's time; ask again",
}


def document(spec: FeatureSpec, slate_size: int, max_slate_size: int, release: str, secured: bool = False) -> Schema:
    """The OpenAPI document of a release.

    Args:
        spec: its feature specification: the columns of requests, items and events.
        slate_size: items of a slate that says nothing of it.
        max_slate_size: the most.
        release: its name.
        secured: whether calls need a token.
    """
    calls: dict[str, Any] = {}
    refused = "401" if secured else "403"  # souk.own_pages looks where no token is asked for
    for path, name, summary, schemas, timed, codes in CALLS:
        answers = {"200": _json(f"{schemas}Response", "The answer"), "400": _error("400"), "429": _error("429")}
        if schemas == "Events":
            answers["400"] = _json("EventsError", ERRORS["400"])
        answers |= {code: _error(code) for code in codes} | {refused: _error(refused)}
        body: Schema = {"required": True, "content": {"application/json": {"schema": ref(f"{schemas}Request")}}}
        body["content"]["application/json"]["example"] = EXAMPLES[f"{schemas}Request"]
        call = {
            "operationId": name,
            "summary": summary,
            "requestBody": body,
            "responses": dict(sorted(answers.items())),
        }
        calls[path] = {"post": call | ({"parameters": [TIMEOUT]} if timed else {})}
    for path, name, summary in LOOKS:
        anything = {"description": "Yes", "content": {"application/json": {"schema": {"type": "object"}}}}
        calls[path] = {"get": {"operationId": name, "summary": summary, "responses": {"200": anything}}}
        if "ready" in path or path == "/v1/models/souk":
            calls[path]["get"]["responses"]["503"] = {"description": "Not yet"}
    text = {"description": "Prometheus' text", "content": {"text/plain": {"schema": {"type": "string"}}}}
    calls["/metrics"] = {"get": {"operationId": "metrics", "summary": "Metrics", "responses": {"200": text}}}
    made: Schema = {
        "openapi": "3.1.0",
        "info": {"title": "Souk", "version": __version__, "description": ABOUT, "x-souk-release": release},
        "paths": calls,
        "components": {"schemas": of_requests(spec, slate_size, max_slate_size) | of_answers()},
    }
    if secured:
        made["components"]["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
        for path, methods in calls.items():
            next(iter(methods.values()))["security"] = [] if path in FREE_PATHS else [{"bearer": []}]
    return made


class ApiDocument:
    """Describes the release that answers, at `/openapi.json`.

    Args:
        releases: that which answers.
        secured: whether calls need a token.
    """

    def __init__(self, releases: Releases, secured: bool) -> None:
        self._releases, self._secured = releases, secured
        self._known: tuple[str, Schema] = ("", {})

    def register(self, app: FastAPI) -> None:
        """Has the application serve it in the place of what it would say of its routes itself."""
        app.openapi = self.now  # type: ignore[method-assign]  # as FastAPI has it extended

    def now(self) -> Schema:
        """The document; made anew when another release answers."""
        bundle = self._releases.now.bundle
        if self._known[0] != bundle.name:
            settings = bundle.settings
            own = document(bundle.spec, settings.slate_size, settings.max_slate_size, bundle.name, self._secured)
            self._known = bundle.name, own
        return self._known[1]


def _json(schema: str, said: str) -> Schema:
    return {"description": said, "content": {"application/json": {"schema": ref(schema)}}}


def _error(code: str) -> Schema:
    made = _json("Error", ERRORS[code])
    if code == "429":
        whole: Schema = {"type": "integer", "minimum": 1}
        units = {"Retry-After": "Seconds", "Retry-After-Ms": "The same in milliseconds"}
        made["headers"] = {name: {"description": unit, "schema": whole} for name, unit in units.items()}
    return made
