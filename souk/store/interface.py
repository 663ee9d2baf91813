"""What an online store of user states can do, and the one error of all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from souk.errors import SoukError
from souk.state import UserState

STALE_HOURS = 168.0  # for a pipeline that publishes each day: it stood still for a week


class StoreError(SoukError):
    """The store does not answer, or not with states: a server goes on without them and says `degraded`."""


class Locked(StoreError):
    """Another changes these states, or did when it was killed: its lock ends soon."""


Change = Callable[[list[UserState | None]], list[UserState]]


class OnlineStore(Protocol):
    """User states by user id. Safe to use from several threads."""

    def read(self, user_ids: Sequence[str]) -> list[UserState | None]:
        """The states of `user_ids`, in their order, in one call; None for an unknown user, and for one whose row is no
        state: the others of the call have theirs.

        Raises:
            StoreError: the store is missing, locked, damaged as a whole, or lacks the view of this specification.
        """

    def write(self, states: Iterable[UserState], now: int) -> None:
        """Replaces the states of these users; `now` is UTC epoch milliseconds.

        Raises:
            StoreError: as for `read`.
        """

    def update(self, user_ids: Sequence[str], change: Change, now: int) -> None:
        """Reads states, and writes those that `change` makes of them; no other update of these users comes between.

        Args:
            user_ids: each once.
            change: from the states, in their order, to those that are others now.
            now: UTC epoch milliseconds.

        Raises:
            StoreError: as for `read`.
            Locked: another update holds these users up.
        """
