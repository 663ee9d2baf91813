"""LightGBM beside the ranker, on the candidates and features that `benchmarks.ranker` wrote. Imports no TensorFlow.

`PYTHON -m benchmarks.quality.ranker_peer FOLDER` prints, for each seed, what `train_ranker` reports of its own held-out
users: they stop the trees and choose among SETTINGS, as they choose the epoch of the ranker. The trees' probabilities
are as they come: these users fitted no curve to them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np

from souk.metrics import auc, log_loss

ROUNDS, PATIENCE = 500, 30
SETTINGS = (
    {"num_leaves": 7, "min_data_in_leaf": 50, "lambda_l2": 1.0},
    {"num_leaves": 15, "min_data_in_leaf": 200, "lambda_l2": 10.0},
    {"num_leaves": 31, "min_data_in_leaf": 50, "lambda_l2": 1.0},
)
FIXED = {"learning_rate": 0.05, "feature_fraction": 0.8, "verbose": -1, "num_threads": 1, "deterministic": True}


def fitted(
    features: np.ndarray, labels: np.ndarray, held: np.ndarray, categories: list[int], seed: int, sizes: Any = None
) -> list[np.ndarray]:
    """What trees of each of SETTINGS say of the held-out rows: probabilities, or scores of LambdaMART.

    Args:
        features: `[rows, columns] float32`.
        labels: `[rows]`, 0 or 1.
        held: `[rows] bool`.
        categories: columns that are names.
        seed: of LightGBM.
        sizes: rows of each fitted and of each held-out list; None for probabilities.
    """
    ranked = {"objective": "lambdarank", "metric": "ndcg", "eval_at": [10]} if sizes else {"objective": "binary"}
    fit, judge = sizes or (None, None)
    found = []
    for setting in SETTINGS:
        train = lightgbm.Dataset(features[~held], labels[~held], group=fit, categorical_feature=categories)
        valid = lightgbm.Dataset(features[held], labels[held], reference=train, group=judge)
        early = lightgbm.early_stopping(PATIENCE, verbose=False)
        settings = {**FIXED, **ranked, **setting, "seed": seed}
        trees = lightgbm.train(settings, train, ROUNDS, valid_sets=[valid], callbacks=[early])
        found.append(trees.predict(features[held], num_iteration=max(1, trees.best_iteration)))
    return found


def probabilities(data: Any, held: np.ndarray, head: str, seed: int) -> dict[str, float]:
    """AUC and log loss of the best setting's probabilities of held-out rows."""
    labels = data["labels"].astype(np.int64)
    found = fitted(data["features"], labels, held, _categories(data), seed)
    best = min(found, key=lambda chances: log_loss(chances, labels[held]))
    return {f"{head}_auc": auc(best, labels[held]), f"{head}_log_loss": log_loss(best, labels[held])}


def order(data: Any, held: np.ndarray, seed: int) -> float:
    """NDCG@10 of the best setting's LambdaMART, the mean over held-out moments; 0 for what retrieval missed."""
    labels, sizes = data["labels"].astype(np.int64), np.diff(data["start"])
    rows = np.repeat(held, sizes)
    taken = np.add.reduceat(labels, data["start"][:-1]) > 0
    use = np.repeat(taken, sizes)
    found = fitted(
        data["features"][use],
        labels[use],
        rows[use],
        _categories(data),
        seed,
        (sizes[~held & taken], sizes[held & taken]),
    )
    moments, ends = np.flatnonzero(held & taken), np.cumsum(sizes[held & taken])[:-1]
    parts = np.split(labels[use & rows], ends)
    return max(
        sum(map(ndcg, np.split(scores, ends), parts, data["wanted"][moments])) / max(1, int(held.sum()))
        for scores in found
    )


def ndcg(scores: np.ndarray, taken: np.ndarray, wanted: int, k: int = 10) -> float:
    """Of one list, where each of `wanted` items, retrieved or not, is worth the same."""
    discount = 1 / np.log2(np.arange(k) + 2)
    hits = taken[np.argsort(-scores, kind="stable")[:k]]
    return float((hits * discount[: len(hits)]).sum() / discount[: min(wanted, k)].sum())


def _categories(data: Any) -> list[int]:
    return [n for n, name in enumerate(data["names"]) if str(name).startswith("category:")]


def main() -> None:
    """Reads the folder, fits and prints a line of JSON for each seed."""
    folder = Path(sys.argv[1])
    heads = {path.stem: dict(np.load(path)) for path in sorted(folder.glob("*.npz"))}
    engaged = heads.pop("engaged")
    for seed, users in enumerate(json.loads((folder / "held_out.json").read_text(encoding="utf-8"))):
        held = np.isin(engaged["users"], users)
        found = {"ndcg@10": order(engaged, held, seed)}
        found |= probabilities(engaged, np.repeat(held, np.diff(engaged["start"])), "engaged", seed)
        for name, data in heads.items():
            found |= probabilities(data, np.isin(data["users"], users), name, seed)
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
