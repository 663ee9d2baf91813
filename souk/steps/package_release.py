"""The step that gathers everything that serving needs into one folder, named by its content."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

import numpy as np

import souk
from souk import outputs
from souk.config import parse_step_config
from souk.counters import counters_at
from souk.counts import ItemCounts, engagements
from souk.folders import placed
from souk.index.choice import IVF_FILE
from souk.progress import report
from souk.release.bundle import Bundle, write_bundle
from souk.release.golden import golden_requests, replay_golden, write_golden
from souk.release.manifest import NAME as MANIFEST
from souk.release.manifest import write_manifest
from souk.release.moments import asked_moments
from souk.release.naming import WEIGHTS, content_digests, read_weights, release_name
from souk.release.reference import reference_requests, write_reference
from souk.serving.recommender import Recommender
from souk.serving.served import golden_answers

BLOCK = 100  # requests answered at once
# Of the tables' manifest.
OF_DATA = (
    *("fingerprint", "content", "items_as_of", "items_oldest", "first_event", "last_event"),
    *("names", "parts", "event_types", "separators", "bounds"),
)
# Whose versions are noted where they are installed.
PACKAGES = ("keras", "milvus-lite", "numpy", "pyarrow", "pymilvus", "tensorflow", "tensorflow-transform")


def package_release(
    config: str,
    tables: str,
    features: str,
    towers: str,
    ranker: str,
    index: str,
    twin: str,
    evaluation: str,
    release: str,
) -> tuple[str, dict[str, float]]:
    """Writes the release.

    Args:
        config: the step's config.
        tables: output of ingest.
        features: output of build_features.
        towers: the release's towers.
        ranker: the release's ranker.
        index: the release's index.
        twin: the bundle that the gate compared.
        evaluation: output of evaluate.
        release: the output folder.

    Returns:
        The release's name, and `files`, `megabytes` and `golden_requests`.
    """
    settings = parse_step_config("package_release", config)
    outputs.free_artifact(release, lambda place: (place / MANIFEST).is_file(), "a release")
    report("putting the files together")
    with placed(release) as folder:
        collection = _read_json(Path(index) / "index.json")["collection"]
        slates = (settings.deploy, settings.rerank, settings.retrievers, settings.ranker)
        bundle = write_bundle(folder, features, towers, ranker, "end", collection, *slates)
        if (Path(index) / IVF_FILE).exists():
            shutil.copyfile(Path(index) / IVF_FILE, bundle.ivf)
        shutil.copytree(twin, folder / "twin")
        shutil.copytree(evaluation, folder / "evaluation")
        shutil.copytree(Path(tables) / "schema", folder / "schema")
        weights = read_weights(towers, ranker)
        np.savez(folder / WEIGHTS, **weights)  # type: ignore[arg-type]  # keywords are names of arrays
        golden = _write_answers(bundle, tables, Path(features))
        content = content_digests(bundle, features, weights)
        name = release_name(settings.name, content)
        origins = {"tables": tables, "towers": towers, "ranker": ranker, "evaluation": evaluation}
        lineage = _lineage({key: Path(path) for key, path in origins.items()}, bundle, json.loads(config))
        write_manifest(folder, name, content, lineage)
        sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    report(f"{name}: {len(sizes)} files with the manifest, {sum(sizes) / 1e6:.1f} MB, {golden} golden requests")
    return name, {"files": float(len(sizes)), "megabytes": sum(sizes) / 1e6, "golden_requests": float(golden)}


def _write_answers(bundle: Bundle, tables: str, features: Path) -> int:
    """Golden requests and the drift reference, answered from the bundle's own vectors; how many are golden."""
    report("reading the models")
    recommender = Recommender.load(bundle, index=None, store=None)
    answer = golden_answers(recommender)
    report("answering the golden requests")
    golden = golden_requests(features, bundle.spec)
    write_golden(bundle.folder, golden, answer(golden))
    moments = asked_moments(tables, features, bundle.spec)
    sample = reference_requests(moments, tables, bundle.spec, bundle.settings.slate_size)
    report(f"answering {len(sample):,} {moments.kind} that drift is told by")
    blocks = [sample[start : start + BLOCK] for start in range(0, len(sample), BLOCK)]
    told = golden_answers(_told(recommender, features))
    slates = [slate for block in blocks for slate in told(block)]
    write_reference(bundle.folder, bundle.spec, sample, slates, moments.kind)
    return replay_golden(bundle.folder, answer)


def _told(recommender: Recommender, features: Path) -> Recommender:
    """One that knows at each moment of the test window what was engaged with before it, as a server does."""
    counts = ItemCounts.of(counters_at(features, "test_start"))
    taken = engagements(features, counts.since, recommender.items.position)
    return recommender.with_counts(counts.followed(*taken))


def _lineage(origins: dict[str, Path], bundle: Bundle, config: dict[str, Any]) -> dict[str, Any]:
    data = _read_json(origins["tables"] / "manifest.json")
    file = origins["evaluation"] / "verdict.json"
    verdict = _read_json(file) if file.exists() else {}
    return {
        "data": {**{key: data.get(key) for key in OF_DATA}, "events": data["tables"]["events"]["accepted"]},
        "trained_until": bundle.settings.trained_until,
        "parent": verdict.get("champion", ""),
        "replaces": verdict.get("replaces"),
        "souk": souk.__version__,
        "code": os.environ.get("SOUK_CODE", ""),
        "config": config,
        "training": {key: _training(origins[key]) for key in ("towers", "ranker")},
        "packaged_at": time.time_ns() // 1_000_000,
        "python": ".".join(map(str, sys.version_info[:3])),
        "packages": {d.metadata["Name"]: d.version for name in PACKAGES for d in Distribution.discover(name=name)},
    }


def _training(folder: Path) -> dict[str, Any]:
    record: dict[str, Any] = _read_json(folder / "training.json")
    return {key: value for key, value in record.items() if key not in ("history", "roc")}


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
