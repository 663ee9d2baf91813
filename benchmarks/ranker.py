"""What a setting of the ranker is worth: `python -m benchmarks.ranker CONFIG FEATURES TOWERS [KEY=VALUE...]`.

Fits the ranker of the twin once for each seed, and prints the means of what held-out users of the validation window
say. The test window is not read. FEATURES and TOWERS are folders of `build_features` and `train_two_tower`; KEY=VALUE
sets a key of `train_ranker`. `--peer PYTHON`, of an environment with LightGBM (.venv-quality), fits LightGBM to the
same candidates with the same features, but for moments that are told as newcomers', stopped on the same users.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import yaml

from souk.config import load_config, parse_step_config, with_value
from souk.steps.train_ranker import train_ranker

IDS = ("category:user_id", "category:item_id")  # the ranker reads none


def main() -> None:
    """Reads the arguments, fits and prints."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ranker", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("features")
    parser.add_argument("towers")
    parser.add_argument("keys", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--seeds", type=int, default=3, help="each draws other held-out users")
    parser.add_argument("--peer", metavar="PYTHON", help="fit LightGBM with it, on the same examples")
    given = parser.parse_args()
    config = load_config(given.config)
    step = config.for_step("train_ranker")
    for key, _, value in (text.partition("=") for text in given.keys):
        step = with_value(step, "train_ranker", key, yaml.safe_load(value))
    told = []
    for seed in range(given.seeds):
        with tempfile.TemporaryDirectory() as folder:
            seeded = with_value(step, "train_ranker", "seed", seed)
            told.append(
                train_ranker(seeded, "twin", f"{folder}/workspace", given.features, given.towers, f"{folder}/ranker")
            )
    print(json.dumps({"keys": given.keys, "seeds": given.seeds, **means(told)}))
    if given.peer:
        settings = parse_step_config("train_ranker", step).train_ranker
        candidates = settings.candidates_among(pq.read_metadata(Path(given.features) / "items.parquet").num_rows)
        for name, value in beside(candidates, Path(given.features), Path(given.towers), given.peer, told).items():
            print(f"{name}: {value}")


def means(told: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Over seeds."""
    rows = list(told)
    return {name: round(float(np.nanmean([row[name] for row in rows])), 5) for name in rows[0]}


def beside(
    candidates: int, features: Path, towers: Path, python: str, told: list[dict[str, float]]
) -> dict[str, dict[str, object]]:
    """By figure, the means of Souk's ranker and of LightGBM, and their difference by seed."""
    with tempfile.TemporaryDirectory() as folder:
        export(features, towers, candidates, len(told), Path(folder))
        command = [python, "-m", "benchmarks.quality.ranker_peer", folder]
        lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    peer = [json.loads(line) for line in lines if line.startswith("{")]
    ours, theirs = means(told), means(peer)
    return {
        name: {
            "souk": ours[name],
            "lightgbm": theirs[name],
            "souk - lightgbm": [round(own[name] - other[name], 5) for own, other in zip(told, peer, strict=True)],
        }
        for name in theirs
    }


def export(features: Path, towers: Path, candidates: int, seeds: int, folder: Path) -> None:
    """Writes what LightGBM is fitted to: `engaged.npz`, all candidates of all moments, `satisfied.npz` and one for each
    further objective that has labels of both kinds, the engaged items whose label is known, and `held_out.json`, the
    held-out users of each seed."""
    from benchmarks.quality.ranker_features import Exported
    from souk.models.held_out import split_users

    read = Exported.read(features, towers, "validation", candidates)
    examples = read.examples
    users = np.asarray(examples.users).astype(str)
    first = np.flatnonzero(examples.first & examples.candidate.any(axis=1))
    owner, column = np.nonzero(examples.candidate[first])
    start = np.searchsorted(owner, np.arange(len(first) + 1))
    engaged = {"labels": examples.chosen[first[owner], column], "start": start, "users": users[first]}
    engaged["wanted"] = examples.taken[first]
    parts = {"engaged": (engaged, (first[owner], column))}
    for name, labels in examples.labels.items():
        known = np.flatnonzero(labels >= 0)
        if len(np.unique(labels[known])) < 2:
            continue  # it tells nothing, and Souk does not learn it either
        parts[name] = {"labels": labels[known], "users": users[known]}, (known, examples.own[known])
    for name, (found, at) in parts.items():
        columns = {key: values for key, values in read.columns(*at).items() if key not in IDS}
        arrays = found | {"names": np.array([*columns]), "features": np.stack([*columns.values()], axis=1)}
        np.savez(folder / f"{name}.npz", **arrays)  # type: ignore[arg-type]  # keywords are names of arrays
    every = np.asarray(read.users).astype(str)
    held = [np.unique(every[split_users(read.users, seed)[1]]).tolist() for seed in range(seeds)]
    (folder / "held_out.json").write_text(json.dumps(held), encoding="utf-8")


if __name__ == "__main__":
    main()
