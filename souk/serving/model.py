"""The KServe model: V1 and V2 requests to slates."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

import orjson
from kserve import InferRequest, InferResponse, Model
from kserve.errors import InvalidInput

from souk.errors import SoukError, nearest
from souk.serving import logs
from souk.serving.beside import Run, here
from souk.serving.experiments.arms import Arms
from souk.serving.explain.gradients import Explainer
from souk.serving.explain.in_time import as_long_as, by
from souk.serving.explain.words import to_json
from souk.serving.fields import TOO_DEEP
from souk.serving.impressions.log import ImpressionLog
from souk.serving.line import Line
from souk.serving.metrics import ServingMetrics
from souk.serving.protocol import tensors
from souk.serving.protocol.tracing import Tracing
from souk.serving.request import MAX_INSTANCES, MAX_TIMEOUT_MS, Request
from souk.serving.room import Room
from souk.serving.slate import Slate
from souk.serving.subjects import check_explained, check_subjects
from souk.stages import heard
from souk.values import quoted

NAME = "souk"
TIMEOUT = "x-souk-timeout-ms"
SMALL_BYTES = 16 << 10  # of a body
SMALL_VALUES = 256  # of all tensors of a body
SMALL_ITEMS = 1_000  # of an answer
MOST_EXPLAINED = 16  # calls at a time: each takes as long as some hundred slates
EXPLAINED_SECONDS = 10.0  # that the slate to explain may take: no caller waits for one that hangs
MOST_PARSED = 64  # large bodies at a time
# Until when the caller waits, where its protocol says so (gRPC), monotonic seconds: a deadline, however long, asks for
# no more time than the server gives, as a stated `timeout_ms` may.
waits_until: ContextVar[float] = ContextVar("waits_until", default=math.inf)


@dataclass(frozen=True)
class Checked:
    """The requests of a checked body, and the V2 request, where it is one.

    Args:
        requests: of the body.
        v2: the request.
        until: the earliest deadline that the caller stated, monotonic seconds; the server's own is none.
    """

    requests: list[Request]
    v2: InferRequest | None
    until: float = math.inf


class SoukModel(Model):
    """Parses, recommends, answers and records.

    The models run in a thread of their own, where requests in flight are answered together (souk.serving.line), so that
    the event loop stays free to read and refuse requests.

    Args:
        arms: answers, by the release and the experiments over it.
        impressions: open logs.
        metrics: counters.
        clock: UTC epoch milliseconds.
        request_ids: gives a new id with each call.
        tracing: of calls and stages.
        run: where TensorFlow computes explanations.
    """

    def __init__(
        self,
        arms: Arms,
        impressions: Sequence[ImpressionLog],
        metrics: ServingMetrics,
        clock: Callable[[], int],
        request_ids: Callable[[], str],
        tracing: Tracing,
        run: Run = here,
    ) -> None:
        super().__init__(NAME, return_response_headers=True)
        self._arms = arms
        self._impressions = impressions
        self._metrics = metrics
        self._clock = clock
        self._request_ids = request_ids
        self._tracing = tracing
        self._run = run
        self.line = Line(self._answer, arms.safe)
        self.parsing, self.explaining = Room("parse", MOST_PARSED), Room("explain", MOST_EXPLAINED)
        self._apart = ThreadPoolExecutor(max_workers=1, thread_name_prefix="writer")

    async def preprocess(self, payload: Any, headers: dict[str, str] | None = None) -> Any:
        """The checked requests.

        Raises:
            InvalidInput: the request is wrong; the text says expected, received, remedy.
            Overloaded: too many large bodies wait, or for longer than this one can.
        """
        began, arrived, headers = time.perf_counter(), time.monotonic(), headers or {}
        until = waits_until.get()
        try:
            if is_small(payload, headers):
                checked = self._checked(payload, headers, arrived, until)
            else:
                left = self._arms.now.main.parser.patience(timeout_of(headers), rows_of(payload))
                left = min(left, until - arrived)
                checked = await self.parsing.run(self._checked, payload, headers, arrived, until, left=left)
        except SoukError as error:
            raise InvalidInput(str(error)) from error
        except RecursionError as error:
            raise InvalidInput(TOO_DEEP) from error
        self._tracing.remember(checked.requests)
        logs.about(self._ids(checked.requests))
        self._metrics.stages({"parse": time.perf_counter() - began})
        return checked

    def validate(self, payload: Any) -> Any:
        """`preprocess` has checked it."""
        return payload

    async def predict(
        self, payload: Any, headers: dict[str, str] | None = None, response_headers: dict[str, str] | None = None
    ) -> tuple[list[Slate], InferRequest | None]:
        """The slates of checked requests.

        Raises:
            InvalidInput: a request is for an explanation.
            Overloaded: there is more to do than can be done in time.
        """
        try:
            check_subjects(payload.requests)
        except SoukError as error:
            raise InvalidInput(str(error)) from error
        began = time.perf_counter()
        slates = await self.line.slates(payload.requests)
        self._metrics.stages({"line": time.perf_counter() - began})
        self._arms.count(payload.requests, slates)
        if response_headers is not None:
            response_headers["x-souk-release"] = slates[0].release
        return slates, payload.v2

    async def postprocess(
        self, result: Any, headers: dict[str, str] | None = None, response_headers: dict[str, str] | None = None
    ) -> dict[str, Any] | InferResponse:
        """The answer in the protocol of the request; from here on it counts as shown."""
        if isinstance(result, dict):  # explanations
            return result
        slates, v2 = result
        if sum(len(slate.items) for slate in slates) <= SMALL_ITEMS:
            answer = written(slates, v2)
        else:
            answer = await asyncio.get_running_loop().run_in_executor(self._apart, written, slates, v2)
        self._metrics.count(slates)
        began = time.perf_counter()
        for log in self._impressions:
            log.record(slates)
        self._metrics.stages({"impression": time.perf_counter() - began})
        return answer

    def _answer(self, requests: Sequence[Request]) -> list[Slate]:
        """The slates of requests that are answered together, in the line's thread."""
        with logs.concerning(self._ids(requests)), heard() as stages:
            slates = self._arms.recommend(requests)
        self._metrics.stages(stages.seconds)
        self._tracing.batch(requests, stages)
        return slates

    def _ids(self, requests: Sequence[Request]) -> list[tuple[str, str]]:
        return [(request.request_id, self._tracing.trace_id(request)) for request in requests]

    async def explain(self, payload: Any, headers: dict[str, str] | None = None) -> dict[str, Any]:
        """Why an item has its score, for each request (souk.serving.explain), in a thread beside that of slates.

        Raises:
            InvalidInput: too many requests, an unknown item, or a release that cannot explain.
            Overloaded: too many wait, or for longer than this one can.
            Unanswered: the caller's time is over, or TensorFlow does not answer.
        """
        left = payload.until - time.monotonic()
        try:
            check_explained(payload.requests)
            explained = await by(payload.until, self.explaining.run(self._explain, payload, left=left))
        except SoukError as error:
            raise InvalidInput(str(error)) from error
        return {"explanations": explained}

    def get_input_types(self) -> list[dict[str, Any]]:
        """The V2 inputs; each may be left out, but that one of user_id, item_id and events says for whom a slate is."""
        return [{"name": name, "datatype": types[0], "shape": [-1]} for name, types in tensors.INPUTS.items()]

    def get_output_types(self) -> list[dict[str, Any]]:
        """The V2 outputs."""
        shapes = {"slate": [-1]}
        return [
            {"name": name, "datatype": datatype, "shape": shapes.get(name, [-1, -1])}
            for name, datatype in tensors.OUTPUTS.items()
        ]

    def _checked(self, payload: Any, headers: Mapping[str, str], arrived: float, until: float) -> Checked:
        v2 = payload if isinstance(payload, InferRequest) else None
        instances = tensors.instances_of(v2) if v2 else instances_of(payload)
        bound = self._arms.now  # of one moment: whatever changes until the answer, it is all theirs
        parse_all, timeout = bound.main.parser.parse_all, timeout_of(headers)
        requests = parse_all(instances, self._clock(), self._request_ids, timeout, bound, arrived)
        both = zip(requests, instances, strict=True)
        stated = (request.deadline for request, own in both if timeout or own.get("timeout_ms") is not None)
        if until < max(request.deadline for request in requests):
            requests = [replace(request, deadline=min(request.deadline, until)) for request in requests]
        return Checked(requests, v2, min(stated, default=math.inf))

    def _explain(self, payload: Checked) -> list[dict[str, Any]]:
        run = as_long_as(payload.until, self._run)
        explainer = Explainer(payload.requests[0].bound.main.live.current, run)
        return [
            to_json(explainer.explain(replace(request, deadline=time.monotonic() + EXPLAINED_SECONDS), request.item_id))
            for request in payload.requests
        ]


def is_small(payload: Any, headers: Mapping[str, str]) -> bool:
    """Whether a body is checked in a few milliseconds.

    Others are checked in a thread of their own, so that the event loop goes on reading and refusing meanwhile.
    """
    if isinstance(payload, InferRequest) and payload.from_grpc:
        if len(payload.inputs) > len(tensors.INPUTS):
            return True  # refused before anything is looked at
        no_json = all(tensor.name not in tensors.JSON_INPUTS for tensor in payload.inputs)
        return no_json and tensors.elements(payload) <= SMALL_VALUES
    length = headers.get("content-length", "")
    return length.isascii() and length.isdigit() and len(length) < 9 and int(length) <= SMALL_BYTES


def rows_of(payload: Any) -> int:
    """The requests of a body that was not checked, as it says; 1 where it says nothing."""
    if isinstance(payload, InferRequest):
        return max((tensors.rows(tensor) for tensor in payload.inputs[: len(tensors.INPUTS)]), default=1)
    instances = payload.get("instances") if isinstance(payload, dict) else None
    return min(len(instances), MAX_INSTANCES) if isinstance(instances, list) and instances else 1


def written(slates: Sequence[Slate], v2: InferRequest | None) -> dict[str, Any] | InferResponse:
    """The answer in the protocol of the request."""
    return tensors.response_of(slates, v2) if v2 else {"predictions": [slate.to_json() for slate in slates]}


def timeout_of(headers: Mapping[str, str]) -> int | None:
    """The milliseconds that the header `x-souk-timeout-ms` gives a call; None without it.

    Raises:
        SoukError: it is no whole number from 1 to MAX_TIMEOUT_MS.
    """
    text = headers.get(TIMEOUT)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and 0 < int(text[:9]) <= MAX_TIMEOUT_MS and len(text) < 9):
        raise SoukError(f"{TIMEOUT}: a whole number from 1 to {MAX_TIMEOUT_MS}", quoted(text), "Leave it out.")
    return int(text)


def instances_of(payload: Any) -> Any:
    """The instances of a V1 body.

    Raises:
        SoukError: the body is not a JSON object with `instances` and nothing else.
    """
    if isinstance(payload, bytes | str):
        try:
            payload = orjson.loads(payload)
        except orjson.JSONDecodeError as error:
            raise SoukError("a JSON body", f"{len(payload)} bytes that are none ({error})", EXAMPLE) from error
    if not isinstance(payload, dict):
        raise SoukError("the body to be an object with instances", quoted(payload), EXAMPLE)
    for name in payload:
        if name != "instances":
            meant = nearest(name, {"instances"} - {*payload})
            raise SoukError("the body to have instances alone", quoted(name), meant or EXAMPLE)
    if "instances" not in payload:
        raise SoukError("the body to have instances", "an empty object", EXAMPLE)
    return payload["instances"]


EXAMPLE = 'For example {"instances": [{"user_id": "42", "k": 10}]}.'
