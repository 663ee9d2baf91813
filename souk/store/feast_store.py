"""User states in Feast's online store."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from feast import FeatureStore

from souk.spec import FeatureSpec
from souk.state import UserState
from souk.state_rows import from_row, state_columns, to_row
from souk.store.definitions import EVENT_TIME, ONLINE, REGISTRY, WRITTEN_TIME, repo_config, view_name
from souk.store.interface import StoreError

DTYPES: dict[str, Any] = {
    "string": "object",
    "int64": "int64",
    "double": "float64",
    "list<string>": pd.ArrowDtype(pa.list_(pa.string())),
    "list<int64>": pd.ArrowDtype(pa.list_(pa.int64())),
    "list<double>": pd.ArrowDtype(pa.list_(pa.float64())),
}


class FeastStore:
    """An `OnlineStore` that reads and writes through Feast; opened by the first call, and again after a failed one.

    Args:
        folder: the workspace's `feast/` folder.
        spec: the feature specification, which names the view.
    """

    def __init__(self, folder: str | Path, spec: FeatureSpec) -> None:
        self._folder, self._spec, self._view = Path(folder).absolute(), spec, view_name(spec)
        self._columns = [name for name in state_columns(spec) if name != "user_id"]
        self._features = [f"{self._view}:{name}" for name in self._columns]
        self._lock = threading.Lock()
        self._store: FeatureStore | None = None

    def read(self, user_ids: Sequence[str]) -> list[UserState | None]:
        """See `OnlineStore.read`."""
        if not user_ids:
            return []
        with self._lock:
            try:
                rows = [{"user_id": user_id} for user_id in user_ids]
                answer = self._opened().get_online_features(self._features, rows).to_dict()
                return [self._state(answer, index, user_id) for index, user_id in enumerate(user_ids)]
            except Exception as error:  # whatever Feast or its database raises, the store did not answer
                raise self._failed(error) from error

    def write(self, states: Iterable[UserState], now: int) -> None:
        """See `OnlineStore.write`."""
        kept = list(states)
        if not kept:
            return
        frame = self._frame(kept, now)
        with self._lock:
            try:
                self._opened().write_to_online_store(self._view, df=frame)
            except Exception as error:
                raise self._failed(error) from error

    def _frame(self, states: Sequence[UserState], now: int) -> pd.DataFrame:
        """Rows for Feast. Arrow types, because Feast reads a list of objects in which all are NaN as zeros."""
        rows = [to_row(state, self._spec) for state in states]
        columns = state_columns(self._spec).items()
        frame = pd.DataFrame(
            {name: pd.Series([row[name] for row in rows], dtype=DTYPES[kind]) for name, kind in columns}
        )
        frame[EVENT_TIME] = pd.to_datetime([last_time(state) for state in states], unit="ms", utc=True)
        frame[WRITTEN_TIME] = pd.to_datetime(now, unit="ms", utc=True)
        return frame

    def _opened(self) -> FeatureStore:
        if self._store is None:
            for name in (REGISTRY, ONLINE):
                if not (self._folder / name).is_file():
                    raise FileNotFoundError(f"no file {self._folder / name}")
            self._store = FeatureStore(config=repo_config(self._folder))
        return self._store

    def _state(self, answer: dict[str, list[Any]], index: int, user_id: str) -> UserState | None:
        if answer["count"][index] is None:
            return None
        return from_row({"user_id": user_id} | {name: answer[name][index] for name in self._columns}, self._spec)

    def _failed(self, error: Exception) -> StoreError:
        self._store = None
        if isinstance(error, StoreError):
            return error
        return StoreError(
            f"Feast to answer from {self._folder} with view {self._view}",
            f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
            "Run `souk run`, or publish the states of this release again.",
        )


def last_time(state: UserState) -> int:
    """The time of a state's last event, UTC epoch milliseconds; 0 before the first."""
    return state.events[-1].timestamp if state.events else 0
