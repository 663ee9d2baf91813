"""Runs Souk's pipeline as a user does, and finds what its steps left."""

from __future__ import annotations

from pathlib import Path

from benchmarks.setting import souk
from souk.errors import SoukError

# What the comparison reads: the step's folder in a run, and the artifact in it.
ARTIFACTS = {
    "tables": "ingest/tables",
    "features": "build-features/features",
    "towers": "train-two-tower/towers",
    "release_towers": "train-two-tower-2/towers",
    "twin": "evaluate/twin",
}


def run(config: Path, workspace: Path) -> dict[str, Path]:
    """Runs the whole pipeline; a step that is cached is not run again.

    Raises:
        SoukError: a step left nothing: where the gate rejects, there is no second fit.
    """
    souk("run", "--config", str(config), "--workspace", str(workspace))
    return find(workspace / "runs")


def find(runs: Path) -> dict[str, Path]:
    """The newest of each artifact in a folder of runs."""
    found: dict[str, Path] = {}
    for name, place in ARTIFACTS.items():
        paths = sorted(runs.glob(f"*/{place}"), key=lambda path: path.stat().st_mtime)
        if not paths:
            raise SoukError(f"{place} in a run below {runs}", "none", "See the log of the run in that folder.")
        found[name] = paths[-1]
    return found


def link(found: dict[str, Path], folder: Path) -> Path:
    """Makes a folder with `tables` and `features`, as links, for the environments that know no runs."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("tables", "features"):
        place = folder / name
        place.unlink(missing_ok=True)
        place.symlink_to(found[name].resolve(), target_is_directory=True)
    return folder
