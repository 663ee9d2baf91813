"""The evaluation of a release that exists: its twin, on the test window of artifacts that lie in the workspace."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from souk.config import Evaluate
from souk.errors import SoukError
from souk.evaluation.gate import Champion
from souk.evaluation.measure import SETTINGS, measure
from souk.evaluation.setting import Tell
from souk.release.bundle import Bundle
from souk.release.condition import other_classes
from souk.release.manifest import verify
from souk.release.pointer import release_folder
from souk.release.runs import artifacts_of
from souk.spec import read_spec
from souk.workspace import Workspace

OF_TRAINING = ("training", "pareto", "not_learned")  # of `metrics.json`
KEPT = "`souk evaluate --tables DIR --features DIR` takes the folders of `ingest` and `build_features` from elsewhere."


@dataclass(frozen=True)
class Artifacts:
    """Folders of the steps `ingest` and `build_features`, of one run."""

    tables: Path
    features: Path


def evaluate_release(
    workspace: Workspace, name: str, against: str, artifacts: Artifacts | None, settings: Evaluate | None, tell: Tell
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Measures a release's twin, beside that of another one.

    Args:
        workspace: holds the releases.
        name: of the release, or "current".
        against: the release that stands as the champion, "" for none.
        artifacts: the data; None for those that the release came of, among the runs of the workspace.
        settings: the protocol's bounds; None for those that the release was judged by.
        tell: is told what begins.

    Returns:
        As `souk.evaluation.measure.measure`, with what the release keeps of its training.

    Raises:
        SoukError: a release or its twin is missing, is of another data set or has seen the window, or there are no
            artifacts.
    """
    folder = release_folder(workspace, name)
    twin = _twin(folder)
    other = release_folder(workspace, against) if against else None
    found = artifacts or find_artifacts(workspace, folder)
    start = _window_start(found, twin)
    champion = Champion(other.name, other / "twin") if other else Champion()
    for release, bundle in ((folder, twin), *([(other, _twin(other))] if other else [])):
        if bundle.spec.dataset != twin.spec.dataset:
            received = f"{release.name}, which is of {bundle.spec.dataset}"
            raise SoukError(
                f"a release of {twin.spec.dataset} to stand beside {folder.name}", received, "Take another."
            )
        if bundle.settings.trained_until > start:
            raise SoukError(
                f"a twin that has not seen the test window of {found.features}",
                f"that of {release.name}, which was fitted past its start",
                "Take the artifacts of a later run, or compare releases of the same run.",
            )
        if changed := other_classes(workspace, release.name):
            tell(f"{release.name}: {changed} is another by now than it was made with: what is installed is measured")
    before = folder / "evaluation" / "metrics.json"
    kept = json.loads(before.read_text(encoding="utf-8")) if before.is_file() else {}
    bounds = settings or _bounds(kept)
    metrics, per_user = measure(bounds, twin, champion, found.tables, found.features, tell)
    return metrics | {key: kept[key] for key in OF_TRAINING if key in kept}, per_user


def find_artifacts(workspace: Workspace, release: Path) -> Artifacts:
    """The tables and features that a release's twin was fitted on, among the runs of the workspace.

    Raises:
        SoukError: they are gone.
    """
    tables, features = artifacts_of(workspace, release)
    if tables is None or features is None:
        missing = "tables" if tables is None else "features"
        raise SoukError(f"the {missing} that the release came of, in {workspace.runs}", "none", KEPT)
    return Artifacts(tables, features)


def _bounds(kept: dict[str, Any]) -> Evaluate:
    """The protocol's bounds that a release was judged by; of one that keeps no others, its primary metric.

    Args:
        kept: `metrics.json` of the release.
    """
    given = {"primary": kept.get("primary"), **kept.get("settings", {})}
    return Evaluate(**{key: value for key, value in given.items() if key in SETTINGS and value is not None})


def _window_start(found: Artifacts, twin: Bundle) -> int:
    """Where the test window begins; refuses folders that are none, or of another data set."""
    for folder, file in ((found.tables, "events.parquet"), (found.features, "windows.json")):
        if not (folder / file).is_file():
            raise SoukError(f"{file} in {folder}", "none", KEPT)
    spec = read_spec(found.features / "spec.json")
    if spec.hash != twin.spec.hash:
        received = f"{spec.hash} of {spec.dataset} in {found.features}"
        raise SoukError(f"features of the spec {twin.spec.hash}, of {twin.spec.dataset}", received, KEPT)
    return int(json.loads((found.features / "windows.json").read_text(encoding="utf-8"))["test_start"])


def _twin(release: Path) -> Bundle:
    if not (release / "twin").is_dir():
        remedy = "The release itself has seen all events and cannot be measured: run the pipeline again."
        raise SoukError(f"a twin in {release}", "none", remedy)
    verify(release)  # of another version of Souk, its parts would not go together either
    return Bundle.load(release / "twin")
