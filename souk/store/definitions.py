"""Feast's objects, made from the feature specification. `feature_repo/` and the pipeline apply these same ones.

Files of a workspace's `feast/` folder: `registry.db`, `online.db` (sqlite, where no Redis holds the states) and its
`states.lock`, `specs/<hash>.json` for every published specification and `specs/<hash>.uri` with the address of its
states, `user_state_<hash>.parquet` (the offline file of its view) and `feature_store.yaml`. The hash is that of
`FeatureSpec.of_states`. Who publishes holds `publish.lock`, and keeps a `publication.begun` until the end.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Array, FeastType, Float64, Int64, String

from souk.publication import ADDRESS, REGISTRY, SPECS, stopped
from souk.spec import FeatureSpec, read_spec
from souk.state_rows import state_columns
from souk.store.address import address, online_store, with_password

PROJECT = "souk"
ONLINE = "online.db"
SETTINGS = "feature_store.yaml"
VIEW = "user_state_{}"
NOT_STATED = (OSError, yaml.YAMLError, TypeError, KeyError)
WRITE_ROWS = 5000  # a transaction of `feast materialize`, which no step calls
# Both say when a state was written: its age is told by them, and the events in it have times of their own.
EVENT_TIME, WRITTEN_TIME = "event_timestamp", "created_timestamp"
TYPES: dict[str, FeastType] = {
    "string": String,
    "int64": Int64,
    "double": Float64,
    "list<string>": Array(String),
    "list<int64>": Array(Int64),
    "list<double>": Array(Float64),
}


def view_name(spec: FeatureSpec) -> str:
    """The feature view that holds the states of `spec`: another specification never reads it."""
    return VIEW.format(spec.of_states.hash)


def user_entity() -> Entity:
    """The user."""
    return Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING, description="A user")


def user_state_view(spec: FeatureSpec, folder: Path) -> FeatureView:
    """The feature view of the user states of `spec`, over its offline file in `folder`."""
    name = view_name(spec)
    fields = [Field(name=column, dtype=TYPES[kind]) for column, kind in state_columns(spec).items()]
    source = FileSource(
        name=name,
        path=str(offline_file(spec, folder)),
        timestamp_field=EVENT_TIME,
        created_timestamp_column=WRITTEN_TIME,
    )
    return FeatureView(
        name=name,
        entities=[user_entity()],
        schema=fields,
        source=source,
        ttl=timedelta(0),  # a state never expires: `features_at` knows its age
        online=True,
        tags={"dataset": spec.dataset},
    )


def offline_file(spec: FeatureSpec, folder: Path) -> Path:
    """The Parquet file behind the view of `spec`."""
    return folder / f"{view_name(spec)}.parquet"


def published_specs(folder: Path) -> list[FeatureSpec]:
    """Every specification whose states were published into `folder`, but for those of versions of Souk that named the
    same features otherwise: of their views this one knows nothing."""
    found = {path.stem: read_spec(path) for path in sorted((folder / SPECS).glob("*.json"))}
    return [spec for name, spec in found.items() if spec.hash == name]


def published_views(folder: Path) -> list[FeatureView]:
    """The view of every specification in `specs/`. Those that versions of Souk named otherwise are what the registry
    says, as a release may still be served from them."""
    views = {view.name: view for view in (user_state_view(spec, folder) for spec in published_specs(folder))}
    others = {VIEW.format(path.stem) for path in (folder / SPECS).glob("*.json")} - {*views}
    if others and (folder / REGISTRY).exists():  # Feast would make one
        found = FeatureStore(config=repo_config(folder)).list_feature_views()
        views |= {view.name: view for view in found if view.name in others}
    return list(views.values())


def repo_config(
    folder: Path, uri: str = "", timeout_ms: int = 0, registry: Path | None = None, again: bool = False
) -> RepoConfig:
    """Feast's configuration for a workspace's `feast/` folder.

    Args:
        folder: absolute path.
        uri: the address of a Redis; "" for sqlite in the folder.
        timeout_ms: the longest wait for a Redis; 0 for Feast's own.
        registry: another registry file than the folder's own.
        again: as of `online_store`.
    """
    values = settings(folder, uri, timeout_ms, registry, again)
    return RepoConfig(**{**values, "online_store": with_password(values["online_store"])}, repo_path=folder)


def settings(
    folder: Path, uri: str = "", timeout_ms: int = 0, registry: Path | None = None, again: bool = False
) -> dict[str, Any]:
    """The content of a `feature_store.yaml`. A registry is read when it is asked to be."""
    return {
        "project": PROJECT,
        "provider": "local",
        "registry": {"path": str(registry or folder / REGISTRY), "cache_ttl_seconds": 0},
        "online_store": online_store(uri, str(folder / ONLINE), timeout_ms, again=again),
        "offline_store": {"type": "file"},
        "materialization": {"online_write_batch_size": WRITE_ROWS},
        "entity_key_serialization_version": 3,
    }


def publication(folder: Path, spec: FeatureSpec) -> str:
    """Names the states that stand under the view of `spec`: another name after each publication into `folder`, and
    after one that stopped midway."""
    try:
        status = (folder / REGISTRY).stat()
    except OSError:
        return f"{view_name(spec)} nowhere"
    name = f"{view_name(spec)} {published_uri(folder, spec) or ONLINE} {status.st_ino}-{status.st_mtime_ns}"
    return f"{name} {midway}" if (midway := stopped(folder)) else name


def published_uri(folder: Path, spec: FeatureSpec | None = None) -> str:
    """Where the last publication into `folder`, or that of `spec`, put the states: the address of a Redis, or "" for
    sqlite."""
    try:
        return stated_uri(folder, spec)
    except NOT_STATED:
        return ""


def stated_uri(folder: Path, spec: FeatureSpec | None = None) -> str:
    """The same, of a folder that says so.

    Raises:
        OSError, yaml.YAMLError, TypeError, KeyError: the NOT_STATED: it does not.
    """
    path = address_file(folder, spec)
    text = path.read_text(encoding="utf-8")
    return address(yaml.safe_load(text)["online_store"]) if path.name == SETTINGS else text


def address_file(folder: Path, spec: FeatureSpec | None = None) -> Path:
    """What says where the states of `spec` are, or those that were published last: the same where an earlier version
    published them."""
    own = folder / SPECS / f"{spec.of_states.hash}{ADDRESS}" if spec else None
    return own if own and own.exists() else folder / SETTINGS
