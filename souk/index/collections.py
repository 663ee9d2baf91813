"""Collections of item vectors in any Milvus: a client, how they are filled, and how many rows they have."""

from __future__ import annotations

import contextlib
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
STALLED_SECONDS = 1800.0  # without another row in the index: a gigabyte of vectors is put into its graph at once
FINISHED, FAILED = "Finished", "Failed"
LINKS = {"M": 32, "efConstruction": 256}  # of HNSW
VECTOR = "vector"
Report = Callable[[str], None]


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
        IndexUnavailable: it does not go on with the index.
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
    client.flush(collection, timeout=STALLED_SECONDS)
    index = client.prepare_index_params()
    index.add_index(VECTOR, index_type=index_type, metric_type="IP", params=LINKS if index_type == "HNSW" else {})
    client.create_index(collection, index, sync=False)  # what waits there waits for ever, and says nothing
    _wait_for_index(client, collection, len(vectors), report)
    client.load_collection(collection, timeout=STALLED_SECONDS)


def _wait_for_index(client: Any, collection: str, rows: int, report: Report) -> None:
    """Waits for an index for as long as more and more rows are in it.

    Raises:
        IndexUnavailable: it failed, or there is no more of it than STALLED_SECONDS ago.
    """
    told, since = -1, time.monotonic()
    while True:
        state = client.describe_index(collection, VECTOR)
        left = int(state.get("pending_index_rows", 0))
        if not left and state.get("state", FINISHED) == FINISHED:
            return
        if left != told:
            report(f"{left:,} of {rows:,} vectors wait for the index of {collection}")
            told, since = left, time.monotonic()
        if state.get("state") == FAILED or time.monotonic() - since > STALLED_SECONDS:
            stalled = f"{state.get('state')}, and {left:,} rows wait"
            raise IndexUnavailable(f"{collection} to be indexed", stalled, "See the log of Milvus.")
        time.sleep(POLL_SECONDS)
