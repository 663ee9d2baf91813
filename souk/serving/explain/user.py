"""An explanation for a user of a workspace: the server's, without the server."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from souk.errors import SoukError
from souk.release.bundle import Bundle
from souk.release.manifest import verify
from souk.schema import Kind
from souk.serving.explain.gradients import Explainer
from souk.serving.explain.words import ago, to_json
from souk.serving.fields import identifier
from souk.serving.recommender import Recommender
from souk.serving.request import RequestParser
from souk.serving.served import open_store, with_logs
from souk.state import UserState
from souk.store.feast_store import Access, FeastStore
from souk.store.interface import STALE_HOURS
from souk.values import quoted
from souk.workspace import Workspace

PUBLISH = "`souk users publish` writes those of the newest run"


def explain_user(
    workspace: str | Path,
    user: str,
    item: str,
    at: int,
    release: str = "",
    profile: Sequence[str] = (),
    context: Sequence[str] = (),
) -> dict[str, Any]:
    """Why an item has its score. The last sentence says what is wrong with the user's history, if anything is.

    Args:
        workspace: the workspace folder.
        user: the user's id; one who is not known is explained from the moment and the item.
        item: the item's id; "" for the first of the slate.
        at: the moment, UTC epoch milliseconds.
        release: a release's folder; "" for the workspace's current one.
        profile: declared columns of the user, `NAME=VALUE`, in the place of what the store has.
        context: declared columns of the moment, likewise.

    Raises:
        SoukError: no release, no such item, an id or moment that is none, a column that is not declared, or a release
            that cannot explain.
    """
    place = Workspace(Path(workspace))
    folder = place.served_folder(release)
    verify(folder)
    bundle = Bundle.load(folder)
    parser = RequestParser.of(bundle)
    columns = bundle.spec.columns
    stated = {
        "profile": _typed("--profile", profile, columns.users),
        "context": _typed("--context", context, columns.events),
    }
    request = parser.parse({"user_id": user, "timestamp": at, **stated}, at, path="request")
    wanted = identifier("item", item) if item else ""
    store = _Watched(open_store(place, bundle, Access(stale_ms=int(STALE_HOURS * 3_600_000))))
    loaded = Recommender.load(bundle, None, store)
    recommender = with_logs(place, bundle, loaded, lambda: at)[0].current
    found = to_json(Explainer(recommender).explain(request, wanted))
    return {**found, "sentences": [*found["sentences"], *store.told(user, found["degraded"])]}


def _typed(option: str, given: Sequence[str], kinds: Mapping[str, Kind]) -> dict[str, Any]:
    """Values as a request has them: JSON for a number, a vector or a list (whose entries may be given one by one), text
    for any other column; what is no JSON stays text, for the request to be told of.

    Raises:
        SoukError: no NAME=VALUE, or one name twice.
    """
    values: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise SoukError(f"{option} NAME=VALUE", quoted(text), f"For example {option} city=Bern.")
        kind = kinds.get(name)
        entry: Any = value
        if kind in (Kind.NUMERIC, Kind.LIST, Kind.VECTOR):
            with contextlib.suppress(ValueError):
                entry = json.loads(value)
        if kind is Kind.LIST and not isinstance(entry, list):
            entry = [*values.get(name, ()), value]
        elif name in values:
            raise SoukError(f"{option} {name} once", f"{quoted(values[name])} and {quoted(entry)}", "Give one of them.")
        values[name] = entry
    return values


class _Watched:
    """A store that remembers what was wrong: a command has no log to say it."""

    def __init__(self, store: FeastStore) -> None:
        self._store, self._error = store, "no answer in time"
        self._damaged, self._age = False, 0.0
        store.aged, store.damaged = self._note_age, self._note_damaged

    def read(self, user_ids: Sequence[str]) -> list[UserState | None]:
        """See `OnlineStore.read`."""
        try:
            return self._store.read(user_ids)
        except Exception as error:
            self._error = str(error)
            raise

    def told(self, user: str, degraded: Sequence[str]) -> list[str]:
        """Why a user's history is not what it should be; nothing where it is."""
        if "features_unavailable" in degraded:
            return [f"The store of user states did not answer. {self._error}"]
        if self._damaged:
            return [
                f"What the store has of {quoted(user)} is no state: an event of the user replaces it, and {PUBLISH}."
            ]
        if "unknown_user" in degraded:
            return [f"The store has no state of {quoted(user)}: look for a typing error; {PUBLISH}."]
        if "stale_features" in degraded:
            return [f"The user's state was written {ago(int(1000 * self._age))}; {PUBLISH}."]
        return []

    def _note_age(self, seconds: float) -> None:
        self._age = seconds

    def _note_damaged(self) -> None:
        self._damaged = True
