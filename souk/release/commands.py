"""What `souk release` prints."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from souk.config import load_config
from souk.errors import SoukError
from souk.release.bundle import EASE, FILES, Bundle
from souk.release.manifest import verify
from souk.release.naming import weight_changes
from souk.release.pointer import history, release_folder, release_names
from souk.workspace import Workspace

SUMMARY = "evaluation/summary.md"
QUESTIONS = ("test_start", "users", "max_users", "max_queries_per_user")  # what metrics.json says of who is asked what


def list_text(workspace: Workspace) -> str:
    """One line a release: whether it is current, its name, until when it learned and its size, or what is wrong."""
    current, before = workspace.current_release(), history(workspace)[-1:]
    lines = []
    for name in release_names(workspace):
        mark = "current" if name == current else "previous" if name in before else ""
        lines.append(f"{mark:9} {name}  {_state(workspace.releases / name)}")
    return "\n".join(lines) or f"No releases in {workspace.root}. `souk run` makes one."


def _state(folder: Path) -> str:
    """What can be seen without reading all of a release; `verify_text` reads all."""
    try:
        verify(folder, only=["bundle.json"])
    except SoukError as error:
        return f"damaged, or of another version: {error}"
    settings = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return f"learned until {_day(settings['trained_until'])}  {size / 1e6:.1f} MB"


def show_text(workspace: Workspace, name: str) -> str:
    """What a release is and where it comes from."""
    folder = release_folder(workspace, name)
    manifest, bundle = verify(folder, only=(*FILES, EASE, SUMMARY)), Bundle.load(folder)
    settings = bundle.settings
    lines = [
        f"name        {manifest['name']}",
        f"learned     until {_day(settings.trained_until)}",
        f"items       {len(bundle.vectors):,} ({int(bundle.indexed.sum()):,} available), dimension "
        f"{bundle.vectors.shape[1]}",
        f"spec        {settings.spec_hash}",
        f"collection  {settings.collection}",
        f"slate       {settings.slate_size} of {settings.candidates} candidates; weights {_plain(settings.objectives)}",
        f"files       {len(manifest['files'])}",
        "lineage",
        *_indented({k: value for k, value in _flat(manifest["lineage"], curves=False).items() if _is_told(value)}),
    ]
    summary = folder / SUMMARY
    return "\n".join([*lines, "", summary.read_text(encoding="utf-8").rstrip()] if summary.exists() else lines)


def verify_text(workspace: Workspace, name: str) -> str:
    """Checks every byte of a release."""
    manifest = verify(release_folder(workspace, name))
    return f"{manifest['name']}: {len(manifest['files'])} files as they were packaged."


def served_in_cluster(config: str | None) -> list[str]:
    """The releases that the cluster of a dataset config's `rollout` serves; none without a config or a cluster."""
    if not config or (rollout := load_config(config).rollout).target == "workspace":
        return []
    from souk.release.cluster import connect  # the Kubernetes client is slow to import
    from souk.release.inference_service import releases_of

    return releases_of(connect(rollout).service())


def prune_text(workspace: Workspace, gone: Mapping[str, int], dry: bool) -> str:
    """Which old releases were deleted: one line each, with its size.

    Args:
        workspace: of the releases.
        gone: by name, from `prune`.
        dry: they were not.
    """
    lines = [f"{'would delete' if dry else 'deleted'} {name}  {size / 1e6:.1f} MB" for name, size in gone.items()]
    names = release_names(workspace)
    kept = "one release, which is" if len(names) == 1 else f"{len(names)} releases, all"
    return "\n".join(lines) or f"Nothing to delete: {kept} among those to keep."


def diff_text(workspace: Workspace, first: str, second: str) -> str:
    """What is different between two releases: parts of the name, spec, settings, metrics, weights, lineage."""
    folders = [release_folder(workspace, name) for name in (first, second)]
    manifests = [verify(folder) for folder in folders]
    bundles = [Bundle.load(folder) for folder in folders]
    if manifests[0]["name"] == manifests[1]["name"]:
        return f"{first} and {second} are the same release."
    before, after = (manifest["content"] for manifest in manifests)
    parts = [part for part in before | after if before.get(part) != after.get(part)]
    measured = [_measured(folder) for folder in folders]
    sections = {
        "spec": [_flat(json.loads(bundle.spec.to_json())) for bundle in bundles],
        "settings": [_flat(json.loads((folder / "bundle.json").read_text(encoding="utf-8"))) for folder in folders],
        "metrics": [_metrics(each) for each in measured] if _alike(*measured) else [{}, {}],
        "lineage": [_flat(manifest["lineage"], curves=False) for manifest in manifests],
    }
    lines = [f"- {manifests[0]['name']}", f"+ {manifests[1]['name']}", f"different   {', '.join(parts)}"]
    items = [set(bundle.item_ids) for bundle in bundles]
    lines.append(f"items       {len(items[1] - items[0]):,} new, {len(items[0] - items[1]):,} gone")
    for section, (old, new) in sections.items():
        changed = [key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)]
        lines += [section] if changed else []
        lines += [f"  {key}: {old.get(key, 'none')} -> {new.get(key, 'none')}" for key in changed]
        if section == "metrics" and not _alike(*measured):
            lines.append(_apart(first, second, measured))
    return "\n".join([*lines, "weights", *(f"  {line}" for line in weight_changes(*folders))])


def _measured(folder: Path) -> dict[str, Any]:
    """The content of a release's `metrics.json`; nothing where it has none."""
    path = folder / "evaluation" / "metrics.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def _alike(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Whether two releases were asked the same questions, as far as both say."""
    one, other = ({**each, **each.get("settings", {})} for each in (first, second))
    return all(one[key] == other[key] for key in QUESTIONS if key in one and key in other)


def _apart(old: str, new: str, measured: Sequence[Mapping[str, Any]]) -> str:
    """A line in place of metrics that are not of the same questions."""
    since = " and ".join(dict.fromkeys(_day(each["test_start"]) for each in measured if "test_start" in each))
    told = f" (from {since})" if since else ""
    first, last = (each.get("test_start", 0) for each in measured)
    new, old = (old, new) if first > last else (new, old)  # the later one's window is new to both
    return f"metrics     are not of the same window and users{told}: `souk evaluate {new} --against {old}` compares"


def _metrics(measured: Mapping[str, Any]) -> dict[str, Any]:
    """The means of the slate's metrics, by protocol."""
    protocols = measured.get("protocols", {})
    slates = {name: protocol["models"].get("slate", {}) for name, protocol in protocols.items()}
    return {
        f"{protocol} {metric}": round(value["mean"], 4)
        for protocol, slate in slates.items()
        for metric, value in slate.items()
        if isinstance(value, dict)
    }


def _flat(value: Any, prefix: str = "", curves: bool = True) -> dict[str, Any]:
    """Nested objects and lists as one level of dotted names; without `curves`, a list of points (numbers or objects) is
    one value, of which no more can be seen than that it is another: number by number nobody compares these."""
    if isinstance(value, dict | list) and value:
        if not curves and isinstance(value, list) and isinstance(value[0], dict | float):
            return {prefix: f"{len(value)} points, {hashlib.sha256(json.dumps(value).encode()).hexdigest()[:6]}"}
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        return {
            k: v
            for key, entry in pairs
            for k, v in _flat(entry, f"{prefix}.{key}" if prefix else f"{key}", curves).items()
        }
    return {prefix: value}


def _is_told(value: Any) -> bool:
    """Whether it is anything: NaN is what could not be measured."""
    return value is not None and value == value


def _indented(values: dict[str, Any]) -> list[str]:
    return [f"  {key}: {value}" for key, value in values.items()]


def _plain(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in values.items())


def _day(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
