"""A Souk release over HTTP as the logging policy: what it answers is shown, with the propensities that it gives."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from souk.direct_call import TOKEN, direct_call
from souk.errors import SoukError
from souk.simulator.behaviour import World
from souk.simulator.events import IMPRESSION, KINDS
from souk.simulator.people import REGIONS
from souk.simulator.slates import WHOLE, Requests, Slates
from souk.simulator.writer import DEVICES, SURFACES

BATCH = 16  # requests in a body: with their events and candidates below the server's limits
BODY_BYTES = 3_500_000
RECENT = 60  # events of a user that a request carries
MOST_CANDIDATES = 2_000
TIMEOUT_SECONDS = 120.0


class Served:
    """Asks a recommender (`:predict`, docs/serving.md).

    A request carries the simulated time, device, location and surface, and the user's acts of this simulation. One
    for a department names that department's items as its candidates, at most MOST_CANDIDATES of them, newest first.

    Args:
        address: the model's, `http://HOST:PORT/v1/models/souk`.
        world: the marketplace.
        headers: more ones of each call, as a token.
    """

    def __init__(self, address: str, world: World, headers: Mapping[str, str] = MappingProxyType({})) -> None:
        self.sources: list[tuple[str, str]] = [("", "")]
        self._address = address.removesuffix(":predict").rstrip("/") + ":predict"
        self._world, self._headers = world, {"Content-Type": "application/json", **headers}
        self._index = {item: place for place, item in enumerate(world.items.ids.tolist())}
        self._recent: dict[int, deque[dict[str, Any]]] = {}
        self._candidates: list[list[str]] = []
        self._offered = np.zeros(0, bool)

    def open_day(self, pools: Sequence[np.ndarray]) -> None:
        """Names the items that may be shown."""
        self._candidates = [self._world.items.ids[pool[::-1][:MOST_CANDIDATES]].tolist() for pool in pools]
        self._offered = np.zeros(len(self._index), bool)
        self._offered[pools[WHOLE]] = True

    def slates(self, requests: Requests, k: int, rng: np.random.Generator) -> Slates:
        """Answers requests.

        Raises:
            SoukError: the server is down, refuses, or answers with other items than are on offer.
        """
        instances = [self._instance(requests, row, k) for row in range(len(requests.users))]
        answers = [answer for batch in _batches(instances) for answer in self._ask(batch)]
        items = np.zeros((len(answers), k), np.int64)
        propensity = np.zeros((len(answers), k))
        source = np.zeros(len(answers), np.int64)
        for row, answer in enumerate(answers):
            try:
                items[row], propensity[row] = self._slate(answer, k)
                name = (str(answer.get("release", "")), str(answer.get("arm", "")))
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                received = f"another answer ({type(error).__name__})"
                raise SoukError(f"slates from {self._address}", received, "Name a model that Souk serves.") from error
            if name not in self.sources:
                self.sources.append(name)
            source[row] = self.sources.index(name)
        return Slates(items, propensity, source)

    def observe(self, rows: np.ndarray) -> None:
        """Remembers each user's last acts."""
        for row in rows[rows["kind"] != IMPRESSION]:
            event = {
                "item_id": str(self._world.items.ids[row["item"]]),
                "event_type": KINDS[row["kind"]],
                "timestamp": int(row["time"]),
                "context": _context(row["mobile"], row["location"], row["pool"]),
            }
            event |= {} if np.isnan(row["value"]) else {"value": float(row["value"])}
            event |= {} if np.isnan(row["dwell"]) else {"dwell_seconds": float(row["dwell"])}
            self._recent.setdefault(int(row["user"]), deque(maxlen=RECENT)).append(event)

    def close_day(self) -> None:
        """Nothing: a release learns between days only by being replaced."""

    def _instance(self, requests: Requests, row: int, k: int) -> dict[str, Any]:
        user, pool = int(requests.users[row]), int(requests.pools[row])
        instance = {
            "user_id": str(self._world.users.ids[user]),
            "k": k,
            "timestamp": int(requests.times[row]),
            "context": _context(requests.mobile[row], requests.locations[row], pool),
            "events": list(self._recent.get(user, ())),
        }
        return instance if pool == WHOLE else instance | {"candidates": self._candidates[pool]}

    def _ask(self, instances: list[str]) -> list[dict[str, Any]]:
        body = f'{{"instances": [{", ".join(instances)}]}}'.encode()
        call = urllib.request.Request(self._address, body, self._headers)
        try:
            with direct_call(call, TIMEOUT_SECONDS) as answer:  # http or https: check_policy has seen to it
                predictions: list[dict[str, Any]] = json.loads(answer.read())["predictions"]
        except urllib.error.HTTPError as error:
            received = f"status {error.code}: {error.read(500).decode(errors='replace')}"
            remedy = TOKEN if error.code == 401 else "Serve a release of this marketplace."
            raise SoukError(f"slates from {self._address}", received, remedy) from error
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            remedy = "Start it (`souk serve`), or mend the address given with --policy."
            raise SoukError(f"a recommender at {self._address}", f"{reason}", remedy) from error
        except (ValueError, KeyError, TypeError) as error:
            received = f"another answer ({type(error).__name__})"
            raise SoukError(f"predictions from {self._address}", received, "Name a model that Souk serves.") from error
        if not isinstance(predictions, list) or len(predictions) != len(instances):
            raise SoukError(
                f"{len(instances)} predictions from {self._address}", "another number", "See docs/serving.md."
            )
        return predictions

    def _slate(self, answer: dict[str, Any], k: int) -> tuple[list[int], list[float]]:
        shown = answer.get("items", [])
        items = [self._index.get(str(entry["item_id"]), -1) for entry in shown]
        wrong = [
            entry["item_id"] for entry, item in zip(shown, items, strict=True) if item < 0 or not self._offered[item]
        ]
        if wrong or len(set(items)) != k:
            received = f"{wrong[0]!r}, which is not" if wrong else f"{len(set(items))} items"
            raise SoukError(
                f"slates of {k} items on offer from {self._address}",
                received,
                "Serve a release that was trained on this marketplace, and go on from its data (--after).",
            )
        return items, [float(entry.get("propensity", 1.0)) for entry in shown]


def _context(mobile: Any, location: Any, pool: Any) -> dict[str, str]:
    return {"device": DEVICES[int(mobile)], "location": REGIONS[int(location)], "surface": SURFACES[int(pool == WHOLE)]}


def _batches(instances: list[dict[str, Any]]) -> list[list[str]]:
    """JSON texts in bodies that the server takes."""
    batches: list[list[str]] = []
    size = 0
    for text in map(json.dumps, instances):
        if not batches or len(batches[-1]) == BATCH or size + len(text) > BODY_BYTES:
            batches.append([])
            size = 0
        batches[-1].append(text)
        size += len(text) + 2
    return batches
