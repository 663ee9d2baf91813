"""The runs of a workspace: which of them a release came of, and which are kept."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from souk.folders import remove
from souk.release.manifest import NAME, read_manifest
from souk.release.pointer import history
from souk.spec import read_spec
from souk.workspace import Workspace

GONE = ".deleted."  # what a folder's name begins with from when it is no run any more


def artifacts_of(workspace: Workspace, release: Path) -> tuple[Path | None, Path | None]:
    """The tables and the features that a release's twin was fitted on, each of the run that was used last of those that
    have them, else None.

    Args:
        workspace: whose runs.
        release: the folder of a release.
    """
    data = read_manifest(release)["lineage"].get("data", {})
    key = "content" if data.get("content") else "fingerprint"  # releases of before tell the files alone
    twin = _json(release / "twin" / "bundle.json")
    tables, features = (_newest(workspace, name) for name in ("ingest/tables", "build-features/features"))
    return (
        next((path for path in tables if _json(path / "manifest.json").get(key) == data.get(key)), None),
        next((path for path in features if _belongs(path, twin, data.get("content"))), None),
    )


def newest_states(workspace: Workspace, spec_hash: str) -> Path | None:
    """The `user_state.parquet` of the run that was used last of those whose features are of a specification of states:
    what the last `souk run` or `souk tune` made, or took from the cache."""
    for path in _newest(workspace, "build-features/features/user_state.parquet"):
        spec = path.with_name("spec.json")
        if spec.is_file() and read_spec(spec).of_states.hash == spec_hash:
            return path
    return None


def sweep(workspace: Workspace, keep: int, used: Iterable[Path]) -> list[str]:
    """Deletes runs; returns their names. A cached step's output lies in the run that made it, which is used then.

    Kept are the `keep` runs that were used last, what the caller's run used, and what the current release and the one
    before it came of.

    Args:
        workspace: with its lock held.
        keep: how many; 0 keeps all.
        used: artifacts of the run that ends.
    """
    for left in (*workspace.runs.glob(f"{GONE}*"), *workspace.runs.glob(".*.json.part*")):  # of what was killed
        remove(left)
    runs = [path for path in workspace.runs.iterdir() if path.is_dir() and not path.name.startswith(".")]
    now = time.time_ns()
    for run in _runs_of(workspace, used):
        os.utime(run, ns=(now, now))
    names = (workspace.current_release(), *history(workspace)[-1:])
    folders = [workspace.releases / name for name in names if name]
    came_of = [path for each in folders if (each / NAME).is_file() for path in artifacts_of(workspace, each) if path]
    needed = {*_runs_of(workspace, used), *_runs_of(workspace, came_of)}
    newest_first = sorted(runs, key=lambda path: path.stat().st_mtime_ns, reverse=True)
    gone = [run for run in newest_first[keep:] if run not in needed] if keep else []
    for run in gone:
        run.with_name(f"{run.name}.json").unlink(missing_ok=True)  # how it ended
        fresh = run.with_name(f"{GONE}{run.name}")
        os.replace(run, fresh)  # half a folder would still be taken from the cache
        remove(fresh)
    return sorted(run.name for run in gone)


def _runs_of(workspace: Workspace, paths: Iterable[Path]) -> set[Path]:
    inside = (path.relative_to(workspace.runs) for path in paths if path.is_relative_to(workspace.runs))
    return {run for path in inside if (run := workspace.runs / path.parts[0]).is_dir()}


def _newest(workspace: Workspace, artifact: str) -> Iterator[Path]:
    """An artifact of every run that has it, that of the run that was used last first (`sweep` says so).

    Of runs that the last one used both, as its data and its features, the later made counts. The names tell nothing:
    those of `souk tune` sort after those of `souk run`, and the time in them is the place's own.
    """
    depth = artifact.count("/")
    runs = {path: path.parents[depth].stat().st_mtime_ns for path in workspace.runs.glob(f"[!.]*/{artifact}")}
    return iter(sorted(runs, key=lambda path: (runs[path], path.stat().st_mtime_ns), reverse=True))


def _belongs(features: Path, twin: dict[str, Any], content: str | None) -> bool:
    if content and _json(features / "tables.json").get("content") != content:
        return False
    start = _json(features / "windows.json").get("test_start")
    if start is None or start != twin.get("trained_until") or not (features / "spec.json").is_file():
        return False
    return read_spec(features / "spec.json").hash == twin.get("spec_hash")


def _json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found
