"""What asks the servers of the usual chain: `python -m benchmarks.serving.chain_transformer PORT WORKSPACE SERVERS`.

A KServe model; the servers are given as NAME=PORT: `features`, `tower`, `index` and `ranker`.
"""

from __future__ import annotations

import os

from benchmarks.serving.process import HOST

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))  # as `souk serve` has it

import asyncio
import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
from feast import FeatureStore
from kserve import Model

from benchmarks.empty_server import LoopbackServer
from souk.index.milvus import MilvusIndex
from souk.items import ItemTable
from souk.pairs import pair_features
from souk.release.bundle import Bundle
from souk.serving.catalogue import Catalogue
from souk.serving.filters import Filters
from souk.serving.inputs import pair_query, query_inputs
from souk.serving.kept_out import KeptOut
from souk.serving.request import Request
from souk.slate_score import log_chances, log_scores
from souk.spec import FeatureSpec
from souk.state import UserState, features_at
from souk.state_rows import from_row, state_columns
from souk.store.definitions import repo_config, view_name
from souk.workspace import Workspace

JSON = {"content-type": "application/json"}
ALIVE = httpx.Limits(max_connections=256, max_keepalive_connections=256)


class Transformer(Model):
    """Features, tower, candidates of the index, pair features, ranker, order, slate: a call to each server in turn.

    The item table is here, in process: the usual chain would read the candidates' features from a store as well.

    Args:
        workspace: whose states were published.
        bundle: its release.
        ports: of `features`, `tower`, `index` and `ranker`.
    """

    def __init__(self, workspace: Workspace, bundle: Bundle, ports: Mapping[str, int]) -> None:
        super().__init__("chain")
        self._spec, self._settings = bundle.spec, bundle.settings
        columns = bundle.items.to_pydict()
        filters = Filters.of(columns, len(bundle.items), self._spec)
        self._catalogue = Catalogue.of(bundle.item_ids, bundle.titles, bundle.available, filters)
        parts = bundle.items, bundle.counters, bundle.vectors, self._spec, bundle.rules, bundle.segments
        self._items = ItemTable.of(*parts, form=bundle.settings.form, ease=bundle.ease)
        view = view_name(self._spec)
        self._columns = [f"{view}:{name}" for name in columns_of(workspace, view)]
        self._urls = {name: f"http://{HOST}:{port}" for name, port in ports.items()}
        self._index = MilvusIndex(self._urls["index"], bundle.settings.collection, bundle.indexed).open()
        self._http: httpx.AsyncClient | None = None
        self.ready = True

    async def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:
        """A slate for each instance."""
        return {"predictions": await asyncio.gather(*(self._slate(instance) for instance in payload["instances"]))}

    async def _slate(self, instance: Mapping[str, Any]) -> dict[str, Any]:
        user, now = instance["user_id"], instance.get("timestamp") or time.time_ns() // 1_000_000
        k = instance.get("k", self._settings.slate_size)
        state = await self._state(user)
        features = features_at(state, now, self._spec, {})
        inputs = query_inputs([features], self._spec)
        tower = await self._asked("tower", "/v1/models/tower:predict", {"inputs": inputs})
        vector = np.array(tower["outputs"]["vector"], np.float32)
        out = KeptOut.of(Request(user, k, now), state, self._catalogue, self._spec)
        found, _ = await asyncio.to_thread(self._index.search, vector, self._settings.candidates, [out.all])
        positions = found[0][found[0] >= 0]
        scores, request = self._items.vectors[positions] @ vector[0], np.zeros(len(positions), np.int64)
        query = pair_query(state, features, now, self._items, self._spec)
        pair = pair_features(self._items, [query], request, positions, scores)
        asked = {"inputs": {**inputs, "positions": positions, "pair": pair, "request": request}}
        outputs = (await self._asked("ranker", "/v1/models/ranker:predict", asked))["outputs"]
        heads = {name: np.array(values, np.float32).reshape(-1) for name, values in outputs.items()}
        logs = log_scores(log_chances(heads), self._settings.objectives)
        items = [
            {
                "item_id": self._catalogue.ids[positions[place]],
                "title": self._catalogue.titles[positions[place]],
                "score": float(np.exp(logs[place])),
                "heads": {head: float(values[place]) for head, values in heads.items()},
            }
            for place in np.argsort(-logs, kind="stable")[:k].tolist()
        ]
        return {"user_id": user, "items": items, "degraded": []}

    async def _state(self, user: str) -> UserState:
        asked = {"features": self._columns, "entities": {"user_id": [user]}}
        answer = await self._asked("features", "/get-online-features", asked)
        values = [result["values"][0] for result in answer["results"]]
        row = dict(zip(answer["metadata"]["feature_names"], values, strict=True))
        return from_row(with_nan(row, self._spec), self._spec)

    async def _asked(self, server: str, path: str, body: Any) -> Any:
        if self._http is None:  # of the loop that serves
            self._http = httpx.AsyncClient(limits=ALIVE, timeout=60, trust_env=False)
        answer = await self._http.post(self._urls[server] + path, content=packed(body), headers=JSON)
        answer.raise_for_status()
        return orjson.loads(answer.content)


def columns_of(workspace: Workspace, view: str) -> list[str]:
    """The features of a view, as they were published."""
    store = FeatureStore(config=repo_config(workspace.feast))
    return [field.name for field in store.get_feature_view(view).features]


def packed(body: Any) -> bytes:
    """JSON, arrays as lists; NaN is null."""
    return orjson.dumps(body, default=lambda array: array.tolist(), option=orjson.OPT_SERIALIZE_NUMPY)


def with_nan(row: Mapping[str, Any], spec: FeatureSpec) -> dict[str, Any]:
    """A row of Feast's JSON, which has no NaN, with NaN where numbers of a list are missing."""
    lists = {name for name, kind in state_columns(spec).items() if kind == "list<double>"}
    return {
        name: [math.nan if entry in (None, "NaN") else entry for entry in value] if name in lists and value else value
        for name, value in row.items()
    }


def main() -> None:
    """Serves until SIGTERM."""
    port, workspace = int(sys.argv[1]), Workspace(Path(sys.argv[2]))
    ports = {name: int(number) for name, number in (word.split("=") for word in sys.argv[3:])}
    model = Transformer(workspace, Bundle.load(workspace.served_folder()), ports)
    LoopbackServer(http_port=port, enable_grpc=False, workers=1, enable_latency_logging=False).start([model])


if __name__ == "__main__":
    main()
