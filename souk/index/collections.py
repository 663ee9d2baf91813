"""Collections of item vectors in any Milvus: a client, how they are filled, and how many rows they have."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
from pymilvus import DataType, MilvusClient
from pymilvus.exceptions import MilvusException

from souk.errors import shown
from souk.index.interface import IndexUnavailable
from souk.index.place import is_lite

INSERT_ROWS = 5_000
LITE_STARTS = 3
LOAD_TIMEOUT = 30.0  # seconds
POLL_SECONDS = 0.5
CALL_TIMEOUT = 600.0  # seconds; for as long a call is repeated, too, where the server is away
STALLED_SECONDS = 1800.0  # without more that is indexed or loaded: a gigabyte is put into its graph at once
DONE, OVER = {"Finished", "Loaded"}, {"Failed", "NotLoad", "NotExist"}
LINKS = {"M": 32, "efConstruction": 256}  # of HNSW
VECTOR = "vector"
Report = Callable[[str], None]

# They log a traceback for every failed call, which the caller gets as an exception anyway; grpc._server is Lite's, for
# calls of pymilvus that Lite lacks and pymilvus does without. Behind its import, which sets the level of its own.
for _name in ("pymilvus", "pymilvus.milvus_client", "milvus_lite", "grpc._server"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)


def connect(uri: str) -> Any:
    """A client of Milvus at `uri`. Lite starts a server of its own for it, which a busy machine may start too late."""
    with unavailable_on_error(uri):
        for _ in range(LITE_STARTS - 1 if is_lite(uri) else 0):
            with contextlib.suppress(MilvusException):
                return MilvusClient(uri, timeout=LOAD_TIMEOUT)
        return MilvusClient(uri, timeout=LOAD_TIMEOUT)


def count(client: Any, collection: str, consistency: str, timeout: float) -> int:
    """The rows that a loaded collection really has, within `timeout` seconds. Lite knows no consistency but the
    strongest."""
    answer = client.query(collection, output_fields=["count(*)"], consistency_level=consistency, timeout=timeout)
    return int(answer[0]["count(*)"])


@contextlib.contextmanager
def unavailable_on_error(uri: str) -> Iterator[None]:
    """Whatever Milvus, gRPC or the disk raises becomes `IndexUnavailable`."""
    try:
        yield
    except (MilvusException, grpc.RpcError, OSError, ValueError) as error:
        text = error.details() if isinstance(error, grpc.Call) else str(error)
        raise IndexUnavailable(f"Milvus to answer at {shown(uri)}", f"{type(error).__name__}: {text}") from error


def fill(
    client: Any, collection: str, vectors: np.ndarray, available: np.ndarray, report: Report, index_type: str
) -> None:
    """Makes a new collection of all rows, with its index, loaded.

    The index comes after the rows and before the load: a collection that has an index from the start counts as indexed
    while it is empty, and what is loaded before its index is whole is searched by a makeshift one of the server's until
    it is loaded again. No parameter of a search mends the recall of that.

    Raises:
        MilvusException: of the server.
        IndexUnavailable: it does not go on with the index, or with loading it.
    """
    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("position", DataType.INT64, is_primary=True)
    schema.add_field("available", DataType.BOOL)
    schema.add_field(VECTOR, DataType.FLOAT_VECTOR, dim=vectors.shape[1])
    client.create_collection(collection, schema=schema)
    for start in range(0, len(vectors), INSERT_ROWS):
        stop = min(start + INSERT_ROWS, len(vectors))
        rows = [{"position": p, "available": bool(available[p]), "vector": vectors[p]} for p in range(start, stop)]
        client.insert(collection, rows)
        report(f"{stop:,} of {len(vectors):,} vectors in {collection}")
    client.flush(collection, timeout=CALL_TIMEOUT)
    index = client.prepare_index_params()
    index.add_index(VECTOR, index_type=index_type, metric_type="IP", params=LINKS if index_type == "HNSW" else {})

    def indexed() -> tuple[str, int]:
        found = client.describe_index(collection, VECTOR)
        return found.get("state", "Finished"), int(found.get("pending_index_rows", 0))

    def loaded() -> tuple[str, int]:
        found = client.get_load_state(collection)
        return found["state"].name, 100 - int(found.get("progress", 100))

    # What waits within these two calls says nothing, and not when it stands still.
    client.create_index(collection, index, sync=False)
    _wait(indexed, f"of {len(vectors):,} vectors wait for the index of {collection}", report)
    client.load_collection(collection, timeout=CALL_TIMEOUT, _async=True)
    _wait(loaded, f"% of {collection} wait to be loaded", report)


def _wait(asked: Callable[[], tuple[str, int]], words: str, report: Report) -> None:
    """Waits for what the server does for as long as it comes on.

    Args:
        asked: gives the state of that, and how much is left.
        words: of what so much is left.
        report: is told so.

    Raises:
        IndexUnavailable: it failed, or as much is left as STALLED_SECONDS ago.
    """
    told, since = -1, time.monotonic()
    while True:
        state, left = asked()
        if not left and state in DONE:
            return
        if left != told:
            report(f"{left:,} {words}")
            told, since = left, time.monotonic()
        if state in OVER or time.monotonic() - since > STALLED_SECONDS:
            raise IndexUnavailable("Milvus to go on", f"{state}: {left:,} {words}", "See the log of Milvus.")
        time.sleep(POLL_SECONDS)
