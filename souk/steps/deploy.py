"""The step that makes a release the one that is served: everything is in place and checked before the pointer moves."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from souk.config import OnlineStore, Rollout, parse_step_config
from souk.errors import SoukError
from souk.folders import clear, placed
from souk.index import lite
from souk.index.interface import IndexUnavailable
from souk.index.milvus import open_or_build
from souk.index.place import SEAL
from souk.index.server import mark, owner, sweep
from souk.progress import report
from souk.publication import stopped
from souk.release.bundle import Bundle
from souk.release.cluster import Cluster, connect
from souk.release.collections import collections_in_use
from souk.release.in_use import needed, say_needed, searched
from souk.release.inference_service import releases_of
from souk.release.manifest import verify
from souk.release.pointer import kept_back, promote
from souk.release.rollout import check_kept, roll_out
from souk.spec import FeatureSpec
from souk.state import UserState
from souk.state_rows import from_row, to_row
from souk.store.feast_store import Access, FeastStore
from souk.store.interface import StoreError
from souk.store.publish import publish
from souk.workspace import Workspace

ASKED = 50  # users whose states Feast must give back


def deploy(config: str, workspace: str, release: str, features: str, index: str) -> dict[str, float]:
    """Copies the release, its collection and its user states into the workspace, then moves `current`.

    Where `rollout.target` is a cluster, its InferenceService gets the release in between, and `current` moves only if
    the release has all requests then: during a canary it stays with the release that has the rest.

    Killed anywhere, the release before it stays current and whole, and another call completes the work. What is in
    place already is left as it is. A release that somebody rolled back is not made current, nor one that the gate did
    not compare with what is current by now, as where another run has deployed meanwhile.

    Args:
        config: the step's config.
        workspace: the workspace folder.
        release: output of package_release.
        features: output of build_features; Feast is filled from it where it does not answer.
        index: output of load_index for the release's vectors.

    Returns:
        `changed` (1 where another release was current before), `files`, `states`.
    """
    settings = parse_step_config("deploy", config)
    settings.rollout.check_index(settings.load_index)
    settings.rollout.check_store(settings.online_store)
    cluster = _cluster(settings.rollout, settings.online_store)
    place = Workspace(Path(workspace))
    manifest = verify(release)
    name, before = manifest["name"], place.current_release()
    say_needed(place, name)  # from before it is there, so that nobody deletes it or its collection meanwhile
    bundle = Bundle.load(_copied(Path(release), place.releases / name))
    report(f"{name}: {len(manifest['files'])} files verified")
    _load_collection(bundle, place, Path(index), settings.load_index.uri)
    say_needed(place, name)  # each of these may take long, and the word holds for an hour
    states = _fill_store(bundle.spec, place, Path(features) / "user_state.parquet", settings.online_store.uri)
    say_needed(place, name)
    told = {"changed": 0.0, "files": float(len(manifest["files"])), "states": float(states)}
    judged = _judged(manifest["lineage"])
    why = kept_back(place, name, judged)
    if not why and cluster:
        if not roll_out(cluster, settings.rollout, name, settings.rollout.canary_percent):
            report(f"current stays {before}; `souk deploy --config FILE --release {name}` gives {name} all requests")
            return told
        judged = None  # it has all requests by now: whatever the pointer came to meanwhile, it follows them
    if why := why or promote(place, name, judged):
        again = f"souk deploy --config FILE --release {name}" if cluster else f"souk rollback {name}"
        report(f"{why}: current is {place.current_release()}; `{again}` makes {name} current all the same")
        return told
    for collection in _swept(place, settings.load_index.uri, cluster):
        report(f"deleted collection {collection}: no release in use names it")
    clear(place.releases)
    report(f"current is {name}" if name == before else f"current: {before or 'nothing'} -> {name}")
    return told | {"changed": float(name != before)}


def _judged(lineage: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The releases that one may replace: its champion, and what was current then; None where nobody noted that yet."""
    replaces = lineage.get("replaces")
    return None if replaces is None else (replaces, lineage["parent"])


def _cluster(rollout: Rollout, store: OnlineStore) -> Cluster | None:
    """The cluster to deploy to, if any; refuses one that cannot be reached or read, or whose servers do not share the
    store, before anything is done."""
    if rollout.target == "workspace":
        return None
    cluster = connect(rollout)
    check_kept(rollout, store, cluster.service())
    cluster.pods()
    return cluster


def _copied(source: Path, target: Path) -> Path:
    """A whole copy of the release at `target`; one that is there and whole is left alone."""
    try:
        verify(target)
    except SoukError:
        with placed(target) as fresh:
            shutil.copytree(source, fresh)
            verify(fresh)
    return target


def _load_collection(bundle: Bundle, place: Workspace, index: Path, server: str) -> None:
    """Sees that the release's collection is whole, and stays, where the server will look for it."""
    collection = bundle.settings.collection
    uri = server or str(place.milvus / f"{collection}.db")
    if not server:
        if lite.held_elsewhere(uri):
            report(f"collection {collection} is being served already")
            return
        try:
            lite.check(uri, collection, len(bundle.vectors))
        except IndexUnavailable:
            if (index / lite.FILE / SEAL).is_file():
                lite.copy(str(index / lite.FILE), uri)
    open_or_build(uri, collection, bundle.vectors, bundle.indexed, report).close()
    if server:
        mark(server, collection, owner(place.milvus))


def _swept(place: Workspace, server: str, cluster: Cluster | None) -> list[str]:
    """Drops the collections that no release needs any more. What that fails at is left for the next deploy."""
    try:
        now = time.time()
        others = needed(place, now)  # those that other deploys are about to make current, too
        if cluster:
            others |= set(releases_of(cluster.service()))
        used = collections_in_use(place, others) | searched(place, now)
        dropped = lite.sweep(place.milvus, used)
        if server:
            dropped += sweep(server, used, owner(place.milvus), time.time_ns() // 1_000_000)
        return dropped
    except SoukError as error:
        report(f"collections are not swept: {error}")
        return []


def _follows(found: UserState, wanted: UserState, spec: FeatureSpec) -> bool:
    """Whether a state is the one of the file, or became of it: by events, or by marks alone, which are not counted."""
    unmarked = replace(found, hidden=wanted.hidden, shown=wanted.shown, engaged=wanted.engaged)
    return found.count > wanted.count or _text(unmarked, spec) == _text(wanted, spec)


def _text(state: UserState, spec: FeatureSpec) -> str:
    """A state to compare: NaN equals NaN in it."""
    return json.dumps(to_row(state, spec), sort_keys=True)


def _fill_store(spec: FeatureSpec, place: Workspace, user_state: Path, uri: str) -> int:
    """Publishes the user states, unless Feast gives back the ones of this file; how many were published.

    The first ones tell nothing where a publication stopped midway.
    """
    rows = pq.ParquetFile(user_state).iter_batches(batch_size=ASKED)
    wanted = [from_row(row, spec) for row in next(iter(rows)).to_pylist()]
    try:
        found = FeastStore(place.feast, spec, Access(uri)).read([state.user_id for state in wanted])
    except StoreError:
        found = []
    same = len(found) == len(wanted) and all(f and _follows(f, w, spec) for f, w in zip(found, wanted, strict=True))
    if same and not stopped(place.feast):
        return 0
    report("publishing the user states to Feast")
    return publish(user_state, spec, place.feast, time.time_ns() // 1_000_000, uri, tell=report)
