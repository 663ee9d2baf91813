"""User states in this process's memory."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

from souk.spec import FeatureSpec
from souk.state import UserState
from souk.state_rows import from_row, to_row
from souk.store.interface import Change


class MemoryStore:
    """An `OnlineStore` that lives and ends with the process. It keeps rows, as the others do."""

    def __init__(self, spec: FeatureSpec) -> None:
        self._spec = spec
        self._rows: dict[str, dict[str, object]] = {}
        self._alone = threading.Lock()

    def read(self, user_ids: Sequence[str]) -> list[UserState | None]:
        """See `OnlineStore.read`."""
        rows = (self._rows.get(user_id) for user_id in user_ids)
        return [from_row(row, self._spec) if row is not None else None for row in rows]

    def write(self, states: Iterable[UserState], now: int) -> None:
        """See `OnlineStore.write`."""
        self._rows.update({state.user_id: to_row(state, self._spec) for state in states})

    def update(self, user_ids: Sequence[str], change: Change, now: int) -> None:
        """See `OnlineStore.update`."""
        with self._alone:
            self.write(change(self.read(user_ids)), now)
