"""What training the towers costs: a step against the size of the catalogue, and targets a second beside SASRec.

    python -m benchmarks.training_cost FEATURES [--items 10000,1000000] [--peers .venv-quality/bin/python]

FEATURES is a folder of `build_features`. Both parts take turns, so that what else the machine does falls on all alike;
seconds of processor, of all threads, are told beside those of the clock, which a busy machine makes longer.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from souk.config import TrainTwoTower
from souk.features.transform import load_transform
from souk.features.windows import read_windows
from souk.models.fit_towers import TowerFit, consistency_for, epochs_for, new_towers
from souk.models.inputs import KNOWN, TransformedFeature, read_transformed
from souk.models.sequences import Catalogue, Sequences, read_catalogue
from souk.models.towers import TowerShape
from souk.schema import FOREVER
from souk.spec import Entity, FeatureSpec, read_spec

ID_FEATURES = ("item_id", "token_item_id")
WARM_STEPS, STEPS, ROUNDS = 5, 20, 3
MOST_TARGETS = 300_000  # of a turn beside the peer
Rates = tuple[float, float]  # targets a second of the clock, and a second of processor


class Inputs:
    """What a fit reads of a features folder."""

    def __init__(self, features: Path) -> None:
        self.spec: FeatureSpec = read_spec(features / "spec.json")
        self.windows = read_windows(features / "windows.json")
        transforms = {str(entity): load_transform(features, entity) for entity in Entity}
        self.catalogue = read_catalogue(features, self.spec, transforms["item"])
        self.sequences = Sequences.open(features, self.spec, transforms, self.catalogue.ids)
        self.transformed = read_transformed(features)


class Enlarged:
    """The same rows over a catalogue of another size: ids are spread over it, its content repeats.

    Args:
        inputs: the features.
        items: how many there are to be.
        config: settings of the towers.
    """

    def __init__(self, inputs: Inputs, items: int, config: TrainTwoTower) -> None:
        real = len(inputs.catalogue.ids)
        self.items, self._factor = items, items // real
        content = {name: tf.gather(v, np.arange(items) % real) for name, v in inputs.catalogue.features.items()}
        content["item_id"] = tf.range(items, dtype=tf.int64) + KNOWN
        since, until = np.zeros(items, np.int64), np.full(items, FOREVER)
        catalogue = Catalogue(tuple(map(str, range(items))), content, since, np.ones(items, bool), until)
        shape = TowerShape(tuple(self._sized(f) for f in inputs.transformed), inputs.spec.history_length)
        model = new_towers(config, inputs.sequences, catalogue, shape)
        model.items.seen.assign(np.ones(items + KNOWN, np.float32))
        self._fit = TowerFit(model, inputs.sequences, catalogue, config)
        self._fit._known.assign(np.arange(items))
        self._fit._frequency.assign(np.full(items, 1 / items, np.float32))
        self._fit._optimizer.learning_rate.assign(1e-3)

    def _sized(self, feature: TransformedFeature) -> TransformedFeature:
        return replace(feature, size=self.items + KNOWN) if feature.name in ID_FEATURES else feature

    def step(self, batch: Mapping[str, Any]) -> float:
        """The seconds of a step on a batch of the features."""
        token = dict(batch["token"])
        ids = token["token_item_id"]
        token["token_item_id"] = tf.where(ids < KNOWN, ids, (ids - KNOWN) * self._factor + KNOWN)
        spread = {**batch, "token": token, "item": batch["item"] * self._factor}
        began = time.perf_counter()
        float(self._fit._step(spread))
        return time.perf_counter() - began


def steps(inputs: Inputs, sizes: list[int]) -> dict[int, float]:
    """The median seconds of a step over a catalogue of each size, of the same batches by turns."""
    config = TrainTwoTower()
    fits = [Enlarged(inputs, items, config) for items in sizes]
    data = inputs.sequences.batches(config.batch_rows, 0, inputs.windows.validation_start, config.seed)
    batches = itertools.islice(itertools.cycle(data), WARM_STEPS + STEPS * ROUNDS)
    taken = [[fit.step(batch) for fit in fits] for batch in batches][WARM_STEPS:]
    return {items: statistics.median(row[place] for row in taken) for place, items in enumerate(sizes)}


def ways(inputs: Inputs) -> dict[str, float]:
    """What the disagreement of two passes weighs in a step: with one pass alone, and by default where that has two."""
    targets = int(inputs.sequences.trained(inputs.windows.validation_start).frequency.sum())
    usual = consistency_for(TrainTwoTower(), targets, epochs_for(targets))
    one = {"souk, one pass a step": 0.0}
    return {**one, "souk as by default, two passes a step": usual} if usual else {"souk as by default": 0.0}


def own_rates(inputs: Inputs, consistency: float) -> Iterator[Rates]:
    """Rates of the towers with the default settings but for `consistency`, a turn each time it is asked."""
    config, end = TrainTwoTower(), inputs.windows.validation_start
    shape = TowerShape(inputs.transformed, inputs.spec.history_length)
    fit = TowerFit(
        new_towers(config, inputs.sequences, inputs.catalogue, shape), inputs.sequences, inputs.catalogue, config
    )
    fit._consistency = consistency
    fit._step = fit._compiled()
    trained = inputs.sequences.trained(end)
    fit._known.assign([i for i, item in enumerate(inputs.catalogue.ids) if item in trained.items])
    fit._frequency.assign(trained.frequency / trained.frequency.sum())
    for turn in itertools.count():
        seen, began, used = 0, 0.0, 0.0
        for number, batch in enumerate(inputs.sequences.batches(config.batch_rows, 0, end, turn)):
            if number == WARM_STEPS:
                began, used, seen = time.perf_counter(), time.process_time(), 0
            float(fit._step(batch))
            seen += int(tf.reduce_sum(tf.cast(batch["counts"], tf.int64)))
            if number >= WARM_STEPS and seen >= MOST_TARGETS:
                break
        yield seen / (time.perf_counter() - began), seen / (time.process_time() - used)


def peer_rates(python: Path, dataset: Path, length: int, dim: int) -> dict[str, Rates]:
    """Rates of RecTools' SASRec at the same length and width, full and sampled softmax."""
    words = ["-m", "benchmarks.quality.sasrec_cost", str(dataset), "--length", str(length), "--factors", str(dim)]
    found = subprocess.run([python, *words], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    lines = [line.split("\t") for line in found.stdout.splitlines() if "\t" in line]
    return {name: (float(clock), float(processor)) for name, clock, processor in lines}


def main() -> None:
    """Reads the arguments and measures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_cost", description=__doc__)
    parser.add_argument("features", type=Path, help="a folder of build_features; --peers wants `tables` beside it")
    parser.add_argument("--items", default="10000,1000000", help="sizes of the catalogue, with commas")
    parser.add_argument("--peers", type=Path, help="the peers' Python, .venv-quality/bin/python")
    given = parser.parse_args()
    inputs = Inputs(given.features)
    cost = steps(inputs, [int(size) for size in given.items.split(",")])
    least = min(cost.values())
    for items, seconds in cost.items():
        print(
            f"a step over {items:,} items: {1000 * seconds:.1f} ms, {seconds / least:.2f} times the fastest", flush=True
        )
    mine = {name: own_rates(inputs, consistency) for name, consistency in ways(inputs).items()}
    for _ in range(ROUNDS if given.peers else 1):
        turn = {name: next(rates) for name, rates in mine.items()}
        for name, (clock, processor) in turn.items():
            print(f"{name}: {clock:,.0f} targets a second, {processor:,.0f} a second of processor", flush=True)
        if given.peers:
            found = peer_rates(given.peers, given.features.parent, inputs.spec.history_length, TrainTwoTower().dim)
            for other, (theirs, used) in found.items():
                print(f"{other}: {theirs:,.0f} and {used:,.0f}", flush=True)
                for name, (clock, processor) in turn.items():
                    times = f"{clock / theirs:.2f} and {processor / used:.2f} times as fast"
                    print(f"  {name}: {times}", flush=True)


if __name__ == "__main__":
    main()
