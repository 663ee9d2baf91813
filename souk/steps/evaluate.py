"""Step `evaluate`: the challenger beside the baselines and the champion, and the gate's verdict."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from souk.config import Deploy, Evaluate, parse_step_config
from souk.errors import unknown
from souk.evaluation.gate import Champion, compare_identity, judge, without_lost
from souk.evaluation.measure import FORMAT, main_metrics, measure
from souk.evaluation.report import write_evaluation
from souk.progress import report
from souk.release.bundle import Bundle, write_bundle
from souk.release.condition import damage, other_classes, without_states
from souk.release.naming import content_digests, read_weights, release_name
from souk.release.pointer import release_names
from souk.spec import ENGAGED, SATISFIED
from souk.workspace import Workspace

IDENTITY = "identity.json"  # in a twin's folder: its name, its data set, and a digest of what else it came of


@dataclass(frozen=True)
class Outputs:
    """Where the step writes."""

    report_html: Path
    summary_md: Path
    evaluation: Path


def evaluate(
    config: str,
    champion: str,
    workspace: str,
    tables: str,
    features: str,
    towers: str,
    ranker: str,
    index: str,
    twin: str,
    report_html: str,
    summary_md: str,
    evaluation: str,
    champion_condition: str = "",
) -> tuple[str, dict[str, float]]:
    """Assembles the challenger's twin, judges it and reports.

    Args:
        config: the sections `rerank`, `evaluate` and `deploy`, JSON.
        champion: the release that is served, "" for the workspace's current one, if there is any.
        workspace: holds the champion.
        tables: from `ingest`.
        features: from `build_features`.
        towers: the twin's, from `train_two_tower`.
        ranker: the twin's, from `train_ranker`.
        index: the twin's, from `load_index`.
        twin: output folder, the challenger's twin as a bundle.
        report_html: output file.
        summary_md: output file.
        evaluation: output folder: metrics, verdict, both reports, metrics by user.
        champion_condition: of souk.release.condition, where the caller looked at `champion`, which is current then.

    Returns:
        `promote`, `reject`, `unchanged` or `not_comparable`, and the main metrics.

    Raises:
        SoukError: the workspace has no release of the champion's name.
    """
    sections = parse_step_config("evaluate", config)
    settings: Evaluate = sections.evaluate
    place = Workspace(Path(workspace))
    current = place.current_release()
    named = _named(champion, current, place)
    outputs = Outputs(Path(report_html), Path(summary_md), Path(evaluation))
    collection = json.loads((Path(index) / "index.json").read_text(encoding="utf-8"))["collection"]
    slates = (sections.deploy, sections.rerank, sections.retrievers, sections.ranker)
    bundle = write_bundle(twin, features, towers, ranker, "test_start", collection, *slates)
    inputs = _digest_of_inputs(Path(tables), sections.deploy)
    name = _identify(bundle, Path(features), Path(towers), Path(ranker), inputs)
    served = read_champion(named, place)
    verdict = compare_identity(served, name, inputs, bundle.spec.dataset, bundle.settings.trained_until)
    unchanged = bool(verdict and verdict.outcome == "unchanged")  # and then the release is whole
    before = _measured_before(place.releases / served.name / "evaluation") if unchanged else None
    if verdict and before:
        metrics, per_user = before
    else:
        compared = Champion() if verdict or served.lost else served
        metrics, per_user = measure(settings, bundle, compared, Path(tables), Path(features))
        trained = {"two_tower": _training(towers), "ranker": _training(ranker)}
        metrics["training"] = {model: record.get("history", []) for model, record in trained.items()}
        metrics["pareto"] = marked(trained["ranker"].get("pareto", []), bundle.settings.objectives)
        metrics["not_learned"] = trained["ranker"].get("not_learned", {})
        verdict = verdict or without_lost(judge(metrics, per_user, compared.name, settings), served)
    verdict = replace(verdict, replaces=champion if champion_condition else current)
    report(f"{verdict.outcome}: {verdict.reason}")
    write_evaluation(outputs.evaluation, metrics, per_user, verdict)
    for file, target in (("report.html", outputs.report_html), ("summary.md", outputs.summary_md)):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(outputs.evaluation / file, target)
    return verdict.outcome, main_metrics(metrics)


def _named(champion: str, current: str, place: Workspace) -> str:
    """The champion's name; one that is not there would be no champion, and whatever beats popularity promoted.

    The current release may be: whoever deleted it needs another one.
    """
    if champion and champion != current and not (place.releases / champion).is_dir():
        raise unknown(f"a champion in {place.releases}", champion, release_names(place))
    return champion or current


def read_champion(name: str, place: Workspace) -> Champion:
    """What is known of the served release without opening its models."""
    if not name:
        return Champion()
    twin = place.releases / name / "twin"
    lost = damage(place, name)
    if lost:
        report(f"the served release is damaged, and is not compared with: {lost}")
    whole, other = not lost, other_classes(place, name)
    if other:
        report(f"the served release is not compared with: {other} is another by now than it was made with, or gone")
    gone = without_states(place)
    if gone:
        report(f"the served release is to be made again where nothing else is new: {gone}")
    if not (twin / IDENTITY).is_file():
        return Champion(name, whole=whole, states=not gone)
    try:
        identity, settings = (json.loads((twin / file).read_bytes()) for file in (IDENTITY, "bundle.json"))
        known = (identity["name"], identity["dataset"], settings["trained_until"], identity["inputs"])
    except (OSError, ValueError, KeyError, TypeError):
        if whole:
            raise
        return Champion(name, whole=False, states=not gone)  # damaged there: it could not be replaced otherwise
    return Champion(name, twin, *known, whole, not gone, other)


def _digest_of_inputs(tables: Path, deploy: Deploy) -> str:
    """What a release is made of beside its twin: all accepted rows, and the slate's settings."""
    digest = hashlib.sha256(deploy.model_dump_json().encode())
    for path in sorted(tables.glob("*.parquet")):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:12]


def _identify(bundle: Bundle, features: Path, towers: Path, ranker: Path, inputs: str) -> str:
    """Names the twin by its content, as a release is named, and leaves the name in its folder.

    The sizes of slates are no part of it: with another one the models are the same, and `inputs` differ.
    """
    dataset, sizes = bundle.spec.dataset, Deploy().model_dump()
    models = replace(bundle, settings=replace(bundle.settings, **sizes))
    name = release_name(dataset, content_digests(models, features, read_weights(towers, ranker)))
    text = json.dumps({"name": name, "dataset": dataset, "inputs": inputs}, indent=1)
    (bundle.folder / IDENTITY).write_text(text, encoding="utf-8")
    return name


def _measured_before(evaluation: Path) -> tuple[dict[str, Any], pd.DataFrame] | None:
    """What the evaluation of a release measured; None where there is none, or one of another form."""
    path = evaluation / "metrics.json"
    metrics: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if metrics.get("format") != FORMAT:
        return None
    return metrics, pd.read_parquet(evaluation / "per_user.parquet")


def marked(front: list[dict[str, float]], weights: dict[str, float]) -> list[dict[str, float]]:
    """The ranker's front with `chosen` where the weight is the served one, which the config may have set.

    Only the ratio of the exponents decides an order, and the front is of `engaged` at 1.
    """
    engaged = weights[ENGAGED]
    served = weights[SATISFIED] / engaged if engaged else float("inf")
    return [point | {"chosen": float(abs(point["weight"] - served) < 1e-9)} for point in front]


def _training(model: str) -> dict[str, Any]:
    """What a model's fit recorded."""
    record: dict[str, Any] = json.loads((Path(model) / "training.json").read_text(encoding="utf-8"))
    return record
