"""Deletes user states that nothing reads any more: whole views, online, in the registry and offline."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from feast import FeatureStore, FeatureView

from souk.errors import shown
from souk.publication import ADDRESS, REGISTRY, SPECS, publishing
from souk.spec import read_spec
from souk.state_rows import state_columns
from souk.store.definitions import NOT_STATED, ONLINE, VIEW, repo_config, stated_uri
from souk.store.forget import Tell, forget, written
from souk.store.publish import clean, staged
from souk.store.redis_errors import said

Unread = Callable[[], Collection[str]]
BUSY = "somebody publishes or deletes states at this moment"
LATELY = "some were written within a week: a server or another workspace has them in use"


def drop(folder: Path, unread: Unread, since: int, tell: Tell = lambda line: None) -> dict[str, str]:
    """Deletes states that nothing reads; returns of each specification why they stay, "" where they are gone.

    A view leaves the registry before its first state goes: a deploy that looks for its states from then on finds none
    and publishes, and of one that found them before, `unread` knows its release. Killed in between, `specs/<hash>.json`
    is left, and the next call completes it.

    Args:
        folder: the workspace's `feast/` folder.
        unread: tells the hashes of the specifications whose states nothing reads; asked with publications kept out.
        since: UTC epoch milliseconds. Where a state was written since then they stay: another workspace may have them.
        tell: takes a line of progress.
    """
    folder = folder.absolute()
    try:
        with publishing(folder, wait=False):
            clean(folder)
            told, places = dict[str, str](), defaultdict[str, list[str]](list)
            for states in unread():
                try:
                    places[_uri(folder, states)].append(states)
                except NOT_STATED as error:
                    told[states] = f"nothing says where they are: {type(error).__name__}"
            for uri, hashes in places.items():
                told |= _dropped(folder, uri, hashes, unread, since, tell)
            return told
    except BlockingIOError:
        return dict.fromkeys(unread(), BUSY)


def holding(folder: Path, states: str) -> str:
    """What there is of a specification, as its files tell."""
    try:
        file = _offline(folder, states)
        users, size, uri = pq.ParquetFile(file).metadata.num_rows, file.stat().st_size, _uri(folder, states)
    except (*NOT_STATED, pa.ArrowInvalid) as error:
        return f"not known: {type(error).__name__}"
    return f"{users:,} users in {shown(uri) or ONLINE}, {size / 1e6:.1f} MB beside"


def _dropped(folder: Path, uri: str, hashes: Sequence[str], unread: Unread, since: int, tell: Tell) -> dict[str, str]:
    """Those of one address."""
    try:
        lately = written(folder, uri, [VIEW.format(states) for states in hashes], since, tell)
        told = dict.fromkeys(hashes, LATELY)
        old = [states for states in hashes if VIEW.format(states) not in lately]
        views = _unregister(folder, {VIEW.format(states) for states in old})
        now = unread()
        _register(folder, [view for view in views if view.name not in {VIEW.format(states) for states in now}])
        told |= dict.fromkeys(old, "something reads them by now")
        gone = [states for states in old if states in now]
        if gone:
            forget(folder, uri, {VIEW.format(states): _columns(folder, states) for states in gone}, tell)
    except Exception as error:  # whatever Feast or its database raises: the next call completes it
        return dict.fromkeys(hashes, f"{shown(uri) or folder / ONLINE}: {type(error).__name__}: {said(error)}")
    for states in gone:
        for path in _files(folder, states):
            path.unlink(missing_ok=True)
    return told | dict.fromkeys(gone, "")


def _unregister(folder: Path, names: Collection[str]) -> list[FeatureView]:
    """Takes views out of the registry; returns those that were in it."""
    if not (folder / REGISTRY).exists():  # Feast would make one
        return []
    found = FeatureStore(config=repo_config(folder)).list_feature_views()
    views = [view for view in found if view.name in names]
    if views:  # servers take a registry that is replaced for a publication
        with staged(folder / REGISTRY) as registry:
            store = FeatureStore(config=repo_config(folder, registry=registry))
            for view in views:
                store.registry.delete_feature_view(view.name, store.project)
    return views


def _register(folder: Path, views: Iterable[FeatureView]) -> None:
    """Puts views back."""
    if views:
        with staged(folder / REGISTRY) as registry:
            store = FeatureStore(config=repo_config(folder, registry=registry))
            for view in views:
                store.registry.apply_feature_view(view, store.project)


def _columns(folder: Path, states: str) -> set[str]:
    """What states have by this version of Souk, and by the one that published them last."""
    own = state_columns(read_spec(folder / SPECS / f"{states}.json"))
    file = _offline(folder, states)
    return {*own, *(pq.read_schema(file).names if file.exists() else ())}


def _files(folder: Path, states: str) -> list[Path]:
    """What there is of a specification; the last one says that there is anything."""
    specs = folder / SPECS
    return [_offline(folder, states), specs / f"{states}{ADDRESS}", specs / f"{states}.json"]


def _offline(folder: Path, states: str) -> Path:
    return folder / f"{VIEW.format(states)}.parquet"


def _uri(folder: Path, states: str) -> str:
    own = folder / SPECS / f"{states}{ADDRESS}"
    return own.read_text(encoding="utf-8") if own.exists() else stated_uri(folder)
