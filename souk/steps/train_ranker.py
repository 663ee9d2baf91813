"""Fits the ranker on what the towers of a boundary retrieved for the window after it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

from souk.config import TrainRanker, parse_step_config
from souk.errors import unknown
from souk.features.transform import load_transform
from souk.features.windows import read_windows
from souk.items import ItemTable
from souk.models.checkpoint import checkpoints_of, digest_of_inputs, finished
from souk.models.export import ServedRanker
from souk.models.fit_ranker import RankerFit, fit_ranker
from souk.models.inputs import read_transformed
from souk.models.rank_examples import RankExamples, read_rank_examples
from souk.models.rank_lists import RankLists, balance_weights, rank_lists
from souk.models.rank_scoring import new_ranker, spread_of
from souk.models.ranker import Ranker
from souk.models.sequences import Catalogue, Sequences, read_catalogue
from souk.models.towers import TowerShape
from souk.models.trial import Reranked, measured_slates, parted
from souk.models.weights import load_weights, save_weights
from souk.progress import report
from souk.rerank import Reranker
from souk.spec import ENGAGED, SATISFIED, Entity, FeatureSpec, read_spec

# By window: the boundary that it starts at and the one that it ends at.
WINDOWS = {
    "twin": ("validation_start", "test_start"),
    "release": ("test_start", "end"),
    "trial": ("validation_start", "test_start"),
}
VECTORS = "candidate_vectors.npy"  # of the boundary, with the candidates
SLATES = "slates.parquet"  # of a trial: NDCG@10 of the slate of each moment of the users that measure it


def train_ranker(
    config: str,
    window: str,
    workspace: str,
    features: str,
    towers_of_boundary: str,
    ranker: str,
    previous: str = "",
    served: str = "",
) -> dict[str, float]:
    """Fits and calibrates the ranker.

    Args:
        config: `DatasetConfig.for_step("train_ranker")`.
        window: "twin", "release", or "trial": a twin without some users, measured on these by moment, not exported.
        workspace: holds the checkpoints, from which a run with the same inputs goes on if it is killed.
        features: the folder of `build_features`.
        towers_of_boundary: the towers folder of the same window, with its candidates.
        ranker: the folder to write.
        previous: a ranker folder to continue from.
        served: for a trial, `DatasetConfig.for_step("package_release")`: how its slates would be served.

    Returns:
        the number of the `judgement` whose weights were kept (0: the start), and on held-out users: `ndcg@10` of the
        engaged head, `retrieval_ndcg@10` of the candidates as retrieved, `previous_ndcg@10` where it continues,
        `slate_ndcg@10` under the weights of `objectives`, `slate_satisfied_ndcg@10` of what satisfied,
        `satisfied_ndcg@10` of it without weight of satisfaction, both also of each further objective, and `auc`,
        `log_loss` and `ece` of each head.
    """
    settings: TrainRanker = parse_step_config("train_ranker", config).train_ranker
    if window not in WINDOWS:
        raise unknown("window", window, WINDOWS)
    report("reading items, candidates and their examples")
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(settings.seed)
    spec, windows = read_spec(Path(features) / "spec.json"), read_windows(Path(features) / "windows.json")
    transforms = {str(entity): load_transform(features, entity) for entity in Entity}
    catalogue = read_catalogue(features, spec, transforms["item"])
    sequences = Sequences.open(features, spec, transforms, catalogue.ids)
    start, end = WINDOWS[window]
    vectors = np.load(Path(towers_of_boundary) / VECTORS, allow_pickle=False)
    items = ItemTable.load(features, start, vectors)
    candidates = settings.candidates_among(len(items.vectors))
    examples = read_rank_examples(
        Path(towers_of_boundary) / "candidates.parquet",
        sequences,
        items,
        (getattr(windows, start), getattr(windows, end)),
        candidates,
        Path(features) / "impressions.parquet",
        report,
    )
    most = int(examples.candidate.sum(axis=1).max(initial=0))  # of few items fewer than are asked for
    retrieved = f"{examples.retrieved.mean():.1%} with their item among {most} candidates"
    report(f"{len(examples):,} examples, {retrieved}")
    measured = examples
    if window == "trial":
        examples, measured = parted(examples)
    if examples.place.any():
        report(f"{np.mean((examples.place > 0).any(axis=1)):.1%} with a logged slate")
    model = Ranker(TowerShape(read_transformed(features), spec.history_length), settings, spec.objectives.given)
    new_ranker(model, examples, catalogue)
    if previous:
        load_weights(Path(previous) / "weights.npz", model)
    lists = _lists(model, examples, catalogue, items, settings)
    said = ("train_ranker", config, window, os.environ.get("SOUK_CODE", ""))
    read = [Path(features), *(Path(towers_of_boundary) / name for name in ("candidates.parquet", VECTORS))]
    read += [Path(previous) / "weights.npz"] if previous else []
    checkpoints = checkpoints_of(workspace, digest_of_inputs(said, read), report)
    fixed, origin = fixed_weights(spec, window, previous)
    fit = fit_ranker(model, lists, catalogue, settings, report, bool(previous), checkpoints, fixed)
    out = Path(ranker)
    out.mkdir(parents=True, exist_ok=True)
    save_weights(out / "weights.npz", model)
    if window == "trial":
        reranked = _reranked(served, items, pq.read_table(Path(features) / "items.parquet"), spec)
        slates = measured_slates(model, fit, measured, catalogue, spec.weights(fit.quality.weights), reranked)
        pq.write_table(pa.table({"user_id": measured.users[measured.first], "ndcg@10": slates}), out / SLATES)
    else:
        report("writing the ranker as it is served")
        ServedRanker(model, transforms, spec, fit.quality.calibration, fit.with_body).save(out / "ranker")
    chosen, tuned = fit.quality.weights[SATISFIED], fit.quality.tuned
    report(f"weight of satisfied: {chosen:g}, of {origin}; this fit would choose {tuned:g}")
    weight = {"served": chosen, "from": origin, "this_fit_would_choose": tuned}
    record = _record(window, candidates, examples, fit) | {"satisfied_weight": weight}
    record["settings"] = settings.model_dump(mode="json")
    (out / "training.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    finished(checkpoints)
    return fit.metrics


def fixed_weights(spec: FeatureSpec, window: str = "twin", previous: str = "") -> tuple[dict[str, float], str]:
    """The exponents that a fit does not choose, and where that of `satisfied` is from.

    A release orders by the weight of its twin: it is that order which was judged. But the weight of a twin that could
    not learn `satisfied` is 0 for that reason alone, and says nothing of a release that could.

    Args:
        spec: has the weights of the config.
        window: of WINDOWS.
        previous: the ranker folder that the fit continues from; for a release its twin's.

    Returns:
        By head, beside 1 for `engaged` (ratios make an order), which is named only where it is 0; and "the config",
        "the twin" or, where that of `satisfied` is none of these, "this fit".
    """
    weights = spec.weights({})
    engaged = weights.pop(ENGAGED)
    fixed = {name: weight / (engaged or 1.0) for name, weight in weights.items()}
    if not engaged:  # and nothing is tuned
        fixed[ENGAGED] = 0.0
    if spec.objectives.satisfied.weight != "auto":
        return fixed, "the config"
    del fixed[SATISFIED]
    if window == "release" and previous:
        twin = json.loads((Path(previous) / "training.json").read_text(encoding="utf-8"))
        if SATISFIED not in twin["not_learned"]:
            return fixed | {SATISFIED: twin["objectives"][SATISFIED]}, "the twin"
    return fixed, "this fit"


def _reranked(served: str, items: ItemTable, table: pa.Table, spec: FeatureSpec) -> Reranked:
    sections = parse_step_config("package_release", served)
    return Reranked(Reranker.of(sections.rerank, items, table, spec), sections.deploy.slate_size)


def _lists(
    model: Ranker, examples: RankExamples, catalogue: Catalogue, items: ItemTable, settings: TrainRanker
) -> RankLists:
    events = np.expm1(items.counters[:, 0].astype(np.float64))
    content = {name: values.numpy() for name, values in catalogue.features.items()}
    for name in settings.minority:
        found = content.get(name, examples.user.get(name))
        if found is None or found.dtype.kind != "i":
            ids = [n for table in (content, examples.user) for n, values in table.items() if values.dtype.kind == "i"]
            raise unknown("a categorical feature in train_ranker.minority", name, ids)
    weights = balance_weights(examples, content, events, settings.tail_weight, settings.minority)
    return rank_lists(examples, spread_of(model, examples), weights, settings.debias)


def _record(window: str, candidates: int, examples: RankExamples, fit: RankerFit) -> dict[str, object]:
    return {
        "window": window,
        "candidates": candidates,
        "examples": len(examples),
        "with_body": fit.with_body,
        "history": fit.history[1:],
        "calibration": {head: asdict(curve) for head, curve in fit.quality.calibration.items()},
        "metrics": fit.metrics,
        "objectives": fit.quality.weights,
        "pareto": fit.quality.front,
        "not_learned": fit.not_learned,
        "roc": fit.quality.roc,
    }
