"""The KServe model: V1 and V2 requests to slates."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import orjson
from kserve import InferRequest, InferResponse, Model
from kserve.errors import InvalidInput

from souk.errors import SoukError, unknown
from souk.serving import tensors
from souk.serving.explain import Explainer
from souk.serving.explain_words import to_json
from souk.serving.impressions import ImpressionLog
from souk.serving.line import Line
from souk.serving.metrics import ServingMetrics
from souk.serving.recommender import Recommender
from souk.serving.releases import Releases
from souk.serving.request import MAX_TIMEOUT_MS, Request, identifier, shown
from souk.serving.slate import Slate

NAME = "souk"
TIMEOUT = "x-souk-timeout-ms"
MAX_EXPLAINED = 8  # requests of one call: each takes as long as some hundred slates


@dataclass(frozen=True)
class Checked:
    """A checked body.

    Args:
        requests: its requests.
        items: of each the item to explain, "" for the first of the slate; empty for a V2 body.
        v2: the V2 request, where it is one.
    """

    requests: list[Request]
    items: list[str]
    v2: InferRequest | None


class SoukModel(Model):
    """Parses, recommends, answers and records.

    The models run in a thread of their own, where requests in flight are answered together (souk.serving.line), so that
    the event loop stays free to read and refuse requests.

    Args:
        releases: that which answers.
        impressions: an open log.
        metrics: counters.
        clock: UTC epoch milliseconds.
        request_ids: gives a new id with each call.
    """

    def __init__(
        self,
        releases: Releases,
        impressions: ImpressionLog,
        metrics: ServingMetrics,
        clock: Callable[[], int],
        request_ids: Callable[[], str],
    ) -> None:
        super().__init__(NAME, return_response_headers=True)
        self._releases = releases
        self._impressions = impressions
        self._metrics = metrics
        self._clock = clock
        self._request_ids = request_ids
        self.line = Line(lambda requests: self._now.recommend(requests), lambda requests: self._now.safe(requests))
        self._beside = ThreadPoolExecutor(max_workers=1, thread_name_prefix="explainer")

    async def preprocess(self, payload: Any, headers: dict[str, str] | None = None) -> Any:
        """The checked requests.

        Raises:
            InvalidInput: the request is wrong; the text says expected, received, remedy.
        """
        v2 = payload if isinstance(payload, InferRequest) else None
        try:
            instances, items = (tensors.instances_of(v2), []) if v2 else without_items(instances_of(payload))
            timeout = timeout_of(headers or {})
            parser = self._releases.now.parser
            return Checked(parser.parse_all(instances, self._clock(), self._request_ids, timeout), items, v2)
        except SoukError as error:
            raise InvalidInput(str(error)) from error

    def validate(self, payload: Any) -> Any:
        """`preprocess` has checked it."""
        return payload

    async def predict(
        self, payload: Any, headers: dict[str, str] | None = None, response_headers: dict[str, str] | None = None
    ) -> tuple[list[Slate], InferRequest | None]:
        """The slates of checked requests.

        Raises:
            Overloaded: there is more to do than can be done in time.
        """
        for place, item in enumerate(payload.items):
            if item:
                error = SoukError(f"instances[{place}] without item_id", "one", "It belongs to :explain.")
                raise InvalidInput(str(error))
        slates = await self.line.slates(payload.requests)
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
        answer = tensors.response_of(slates, v2) if v2 else {"predictions": [slate.to_json() for slate in slates]}
        self._metrics.count(slates)
        self._impressions.record(slates)
        return answer

    async def explain(self, payload: Any, headers: dict[str, str] | None = None) -> dict[str, Any]:
        """Why an item has its score, for each request (souk.serving.explain), in a thread beside that of slates.

        Raises:
            InvalidInput: too many requests, an unknown item, or a release that cannot explain.
        """
        try:
            if len(payload.requests) > MAX_EXPLAINED:
                expected = f"at most {MAX_EXPLAINED} instances to explain"
                raise SoukError(expected, f"{len(payload.requests)}", "Send several requests.")
            explained = await asyncio.get_running_loop().run_in_executor(self._beside, self._explain, payload)
        except SoukError as error:
            raise InvalidInput(str(error)) from error
        return {"explanations": explained}

    def get_input_types(self) -> list[dict[str, Any]]:
        """The V2 inputs; all but user_id may be left out."""
        return [{"name": name, "datatype": types[0], "shape": [-1]} for name, types in tensors.INPUTS.items()]

    def get_output_types(self) -> list[dict[str, Any]]:
        """The V2 outputs."""
        shapes = {"slate": [-1]}
        return [
            {"name": name, "datatype": datatype, "shape": shapes.get(name, [-1, -1])}
            for name, datatype in tensors.OUTPUTS.items()
        ]

    def _explain(self, payload: Checked) -> list[dict[str, Any]]:
        items = payload.items or [""] * len(payload.requests)
        found = zip(payload.requests, items, strict=True)
        explainer = Explainer(self._now)
        endless = ((replace(request, deadline=math.inf), item) for request, item in found)
        return [to_json(explainer.explain(request, item)) for request, item in endless]

    @property
    def _now(self) -> Recommender:
        return self._releases.now.live.current


def timeout_of(headers: Mapping[str, str]) -> int | None:
    """The milliseconds that the header `x-souk-timeout-ms` gives a call; None without it.

    Raises:
        SoukError: it is no whole number from 1 to MAX_TIMEOUT_MS.
    """
    text = headers.get(TIMEOUT)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and 0 < int(text[:9]) <= MAX_TIMEOUT_MS and len(text) < 9):
        raise SoukError(f"{TIMEOUT}: a whole number from 1 to {MAX_TIMEOUT_MS}", shown(text), "Leave it out.")
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
        raise SoukError("the body to be an object with instances", shown(payload), EXAMPLE)
    for name in payload:
        if name != "instances":
            raise unknown("body: a field", str(name)[:80], ["instances"])
    if "instances" not in payload:
        raise SoukError("the body to have instances", "an empty object", EXAMPLE)
    return payload["instances"]


def without_items(instances: Any) -> tuple[Any, list[str]]:
    """The instances of a V1 body without `item_id`, which only :explain takes, and the items.

    Raises:
        SoukError: an item is no identifier.
    """
    if not isinstance(instances, list):
        return instances, []
    items, rest = [], []
    for place, instance in enumerate(instances):
        item = instance.get("item_id") if isinstance(instance, dict) else None
        items.append("" if item is None else identifier(f"instances[{place}].item_id", item))
        rest.append({n: v for n, v in instance.items() if n != "item_id"} if isinstance(instance, dict) else instance)
    return rest, items


EXAMPLE = 'For example {"instances": [{"user_id": "42", "k": 10}]}.'
