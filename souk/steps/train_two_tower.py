"""Fits the two towers, walking forward through time, and retrieves the candidates that the ranker learns from."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from souk.config import TrainTwoTower, parse_step_config
from souk.errors import SoukError, unknown
from souk.features.transform import load_transform
from souk.features.windows import read_windows
from souk.models.checkpoint import checkpoints_of, digest_of_inputs, finished
from souk.models.draw import draw_examples
from souk.models.export import ServedItemTower, ServedQueryTower
from souk.models.fit_towers import TowerFit, new_towers
from souk.models.inputs import Transform, read_transformed
from souk.models.judge import RetrievalJudge
from souk.models.newcomers import newcomer_vectors, with_newcomers
from souk.models.retrieve import RETRIEVED, item_vectors, query_vectors, write_candidates
from souk.models.sequences import Catalogue, Sequences, read_catalogue
from souk.models.towers import TowerShape, TwoTower
from souk.models.trial import measuring
from souk.models.weights import load_weights, save_weights
from souk.progress import report
from souk.spec import Entity, read_spec

# By window: the boundary that the first fit ends at, and the one that the towers are fitted up to in the end.
BOUNDARIES = {
    "twin": ("validation_start", "test_start"),
    "release": ("test_start", "end"),
    "trial": ("validation_start", "test_start"),
}


def train_two_tower(
    config: str, window: str, epochs: int, workspace: str, features: str, towers: str, previous: str = ""
) -> dict[str, float]:
    """Fits the towers on the events before a boundary, retrieves for the window after it, and goes on through it.

    Args:
        config: `DatasetConfig.for_step("train_two_tower")`.
        window: "twin" (fitted up to `test_start`), "release" (continues a twin up to `end`), or "trial" (a twin that
            stops at the first boundary, with its candidates and without an export).
        epochs: of the first fit; 0 for those of the config.
        workspace: holds the checkpoints, from which a run with the same inputs goes on if it is killed.
        features: the folder of `build_features`.
        towers: the folder to write.
        previous: a towers folder to continue from: with it, there is no first fit.

    Returns:
        `loss`, `candidate_recall` (of the window's examples whose item may be recommended then, the share whose item is
        among the candidates), `seconds`.
    """
    settings: TrainTwoTower = parse_step_config("train_two_tower", config).train_two_tower
    if window not in BOUNDARIES:
        raise unknown("window", window, BOUNDARIES)
    if window == "release" and not previous:
        raise SoukError("the twin's towers for a release to continue from", "none", "Give `previous`.")
    report("reading items and sequences")
    tf.config.experimental.enable_op_determinism()
    spec, windows = read_spec(Path(features) / "spec.json"), read_windows(Path(features) / "windows.json")
    transforms = {str(entity): load_transform(features, entity) for entity in Entity}
    catalogue = read_catalogue(features, spec, transforms["item"])
    sequences = Sequences.open(features, spec, transforms, catalogue.ids)
    model = new_towers(settings, sequences, catalogue, TowerShape(read_transformed(features), spec.history_length))
    boundary, end = (getattr(windows, name) for name in BOUNDARIES[window])
    said = ("train_two_tower", config, window, epochs, os.environ.get("SOUK_CODE", ""))
    read = [Path(features), *([Path(previous) / "weights.npz"] if previous else [])]
    checkpoints = checkpoints_of(workspace, digest_of_inputs(said, read), report)
    fit, history = TowerFit(model, sequences, catalogue, settings, checkpoints), []
    examples = draw_examples(features, boundary, end, settings.seed)
    if previous:
        load_weights(Path(previous) / "weights.npz", model)
        model.item_tower.lean_by(settings.new_item_lean)
    else:
        judged = examples.take(measuring(examples["user_id"].to_numpy())[0]) if window == "trial" else examples
        judge = RetrievalJudge(features, judged, catalogue, sequences, settings.seed)
        history = fit.fit(boundary, epochs or settings.epochs, report, judge)
    out = Path(towers)
    out.mkdir(parents=True, exist_ok=True)
    report("retrieving candidates for the ranker")
    vectors = item_vectors(model, catalogue)
    examples = with_newcomers(features, examples, settings.seed)
    queries = query_vectors(model, sequences, boundary, end, examples["event_id"].to_pylist())
    queries |= newcomer_vectors(model, sequences, boundary, end, examples)
    np.save(out / "candidate_vectors.npy", vectors)
    np.save(out / "candidate_queries.npy", np.stack([queries[event] for event in examples["event_id"].to_pylist()]))
    name = BOUNDARIES[window][0]
    recall = write_candidates(
        out / "candidates.parquet", features, name, examples, queries, vectors, catalogue, sequences
    )
    report(
        f"candidates of {len(examples):,} examples: {recall:.1%} of the items that may be recommended among {RETRIEVED}"
    )
    if window == "trial":
        end = boundary
    else:
        history += [{**each, "refresh": 1.0} for each in fit.refresh(end, epochs or settings.epochs, report)]
        _save(out, model, transforms, catalogue, sequences)
    metrics = {
        "loss": history[-1]["loss"],
        "candidate_recall": recall,
        "seconds": sum(epoch["seconds"] for epoch in history),
    }
    lean, length = model.item_tower.leaning
    asked = settings.model_dump(mode="json") | {"epochs": sum("refresh" not in epoch for epoch in history)}
    record = {"window": window, "boundary": boundary, "trained_until": end}
    record |= {"new_item_lean": lean, "new_item_length": length, "settings": asked}
    record |= {"history": history, "metrics": metrics}
    (out / "training.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    finished(checkpoints)
    return metrics


def _save(
    out: Path, model: TwoTower, transforms: Mapping[str, Transform], catalogue: Catalogue, sequences: Sequences
) -> None:
    report("writing the towers as they are served")
    np.save(out / "vectors.npy", item_vectors(model, catalogue))
    save_weights(out / "weights.npz", model)
    ServedQueryTower(model, transforms, sequences.spec).save(out / "query_tower")
    ServedItemTower(model, transforms, sequences.spec).save(out / "item_tower")
