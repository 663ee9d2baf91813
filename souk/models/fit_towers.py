"""Fits the towers: the optimiser's loop over batches."""

from __future__ import annotations

import functools
import itertools
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from souk.config import TrainTwoTower
from souk.errors import SoukError
from souk.models.checkpoint import Checkpoints
from souk.models.judge import RetrievalJudge
from souk.models.lean import choose_lean
from souk.models.losses import cross_entropy, disagreement, sample_chance, sampled_logits, temperature_of
from souk.models.optimizer import RowAdamW
from souk.models.seen import mark_seen
from souk.models.sequences import Catalogue, Sequences
from souk.models.towers import TowerShape, TwoTower
from souk.models.weights import named_weights
from souk.progress import seldom
from souk.schema import FOREVER

SEEN = 12_000_000  # targets in all, of a fit of more than FEWEST_EPOCHS and fewer than MOST_EPOCHS passes
FEWEST_EPOCHS, MOST_EPOCHS = 4, 20
WHOLE = 2  # a catalogue of so many times the uniform negatives is compared with as a whole
REFRESH = 0.25  # share of a fit's passes that take it through a new window
WARM_UP = 0.05  # share of the steps in which the learning rate rises
LAST_RATE = 0.05  # share of the highest learning rate that the last step has
CONSISTENCY = 1.0
SHORT = 8_000_000  # targets that a fit sees in all, for which each step has two passes


def new_towers(config: TrainTwoTower, sequences: Sequences, catalogue: Catalogue, shape: TowerShape) -> TwoTower:
    """Towers with their variables created, the same for the same seed."""
    keras.utils.set_random_seed(config.seed)
    model = TwoTower(shape, config)
    batch = next(iter(sequences.batches(1, 0, FOREVER)))
    model(batch, {name: value[:1] for name, value in catalogue.features.items()})
    return model


def epochs_for(targets: int) -> int:
    """How many passes a fit makes, where the config leaves it to the data.

    So many that it sees SEEN targets in all: a small data set is learned in more passes, a large one in fewer.
    """
    return min(MOST_EPOCHS, max(FEWEST_EPOCHS, round(SEEN / max(1, targets))))


def consistency_for(config: TrainTwoTower, targets: int, epochs: int) -> float:
    """What the disagreement of two passes weighs beside the targets; at 0 there is one pass.

    Where the config leaves it to the data, CONSISTENCY for up to SHORT targets in all: few targets are what towers
    learn by heart.

    Args:
        config: of the towers.
        targets: of a pass over the rows.
        epochs: such passes of a whole fit.
    """
    if config.consistency != "auto":
        return config.consistency
    return CONSISTENCY if targets * epochs <= SHORT else 0.0


class TowerFit:
    """Fits towers, once or repeatedly as time goes on, with one compiled step.

    Args:
        model: the towers, new or to be continued.
        sequences: the training rows.
        catalogue: the items.
        config: sizes and rates.
        checkpoints: a folder where a fit that was killed goes on, of these inputs alone; None to begin again.
    """

    def __init__(
        self,
        model: TwoTower,
        sequences: Sequences,
        catalogue: Catalogue,
        config: TrainTwoTower,
        checkpoints: Path | None = None,
    ) -> None:
        self.model, self.sequences, self.catalogue, self.config = model, sequences, catalogue, config
        self._checkpoints = Checkpoints(checkpoints)
        self._optimizer = RowAdamW(model.trainable_variables, config.weight_decay)
        self._known = tf.Variable(tf.zeros([0], tf.int64), trainable=False, shape=[None])  # items that the fit sees
        self._frequency = tf.Variable(tf.zeros([len(catalogue.ids)]), trainable=False)
        self._popularity = tf.Variable(tf.zeros([len(catalogue.ids)]), trainable=False)  # logarithm of the frequency
        self._random = tf.random.Generator.from_seed(config.seed)
        self._consistency = 0.0
        self._step = self._compiled()
        self._fits = 0

    def fit(
        self,
        end: int,
        epochs: int | Literal["auto"],
        report: Callable[[str], None],
        judge: RetrievalJudge | None = None,
        again: bool = False,
    ) -> list[dict[str, float]]:
        """Fits the towers on the targets before `end`.

        Args:
            end: UTC epoch milliseconds.
            epochs: passes over the rows; `auto` for those of `epochs_for`.
            report: takes a line of progress.
            judge: the epoch that it finds best is kept, of the second half of them; None keeps the last.
            again: the towers were fitted before: as many passes as `refresh_epochs` says are made.

        Returns:
            per epoch: `loss`, `seconds` and the judge's figure.

        Raises:
            SoukError: there is no target before `end`, or the loss is no finite number.
        """
        trained = self.sequences.trained(end)
        if not len(trained.lengths):
            paused = self.sequences.keeps_at_hand  # which leaves out targets
            less = ", or `repeat.pause_minutes`, which keeps out all that users had at hand" if paused else ""
            remedy = f"Lower `split.validation` and `split.test`{less}."
            raise SoukError("targets to fit on before the first boundary", "none", remedy)
        mark_seen(self.model, self.catalogue, self.sequences, trained)
        self._known.assign([i for i, item in enumerate(self.catalogue.ids) if item in trained.items])
        self._frequency.assign(trained.frequency / trained.frequency.sum())
        self._popularity.assign(np.log(np.maximum(trained.frequency, 1) / trained.frequency.sum()))
        steps = self.sequences.steps(trained, self.config.batch_rows)
        targets = int(trained.frequency.sum())
        whole = epochs_for(targets) if epochs == "auto" else epochs
        passes = self._passes_of_refresh(whole) if again else whole
        if (consistency := consistency_for(self.config, targets, whole)) != self._consistency:
            self._consistency, self._step = consistency, self._compiled()
        self._fits += 1
        report(f"{'refresh' if again else 'fit'}: {passes} epochs of {steps:,} steps; the first takes longest")
        history, best = self._resume(report)
        schedule = itertools.islice(_schedule(self.config.learning_rate, passes * steps), len(history) * steps, None)
        for epoch in range(len(history) + 1, passes + 1):
            began = time.monotonic()
            seed = self.config.seed + 1000 * self._fits + epoch
            batches = self.sequences.batches(self.config.batch_rows, 0, end, seed)
            loss = self._epoch(batches, schedule, epoch, functools.partial(_tell, report, f"{epoch}/{passes}", steps))
            history.append({"loss": loss, "seconds": time.monotonic() - began})
            told = ""
            if judge and 2 * epoch >= passes:
                history[-1][judge.name] = judge.score(self.model)
                told = f", {judge.name} {history[-1][judge.name]:.4f}"
                if history[-1][judge.name] >= max(each.get(judge.name, -1.0) for each in history):
                    best = self._weights()
            report(f"epoch {epoch}/{passes}: loss {loss:.4f}{told}, {history[-1]['seconds']:.1f} s")
            self._checkpoints.save(self._fits, self._state(), best, history)
        for name, variable in named_weights(self.model).items() if best else ():
            variable.assign(best[name])
        self.model.item_tower.lean_to(self.catalogue.features, trained.frequency)
        if judge and self.config.new_item_lean == "auto":
            choose_lean(self.model, self.catalogue, trained.frequency, judge, self.config.seed, report)
        return history

    def refresh(self, end: int, epochs: int | Literal["auto"], report: Callable[[str], None]) -> list[dict[str, float]]:
        """Takes fitted towers through the targets up to a later `end`, in the config's `refresh_epochs`.

        Args:
            end: UTC epoch milliseconds.
            epochs: passes of the first fit, or `auto`.
            report: takes a line of progress.
        """
        return self.fit(end, epochs, report, again=True)

    def _passes_of_refresh(self, whole: int) -> int:
        given = self.config.refresh_epochs
        return max(1, round(REFRESH * whole)) if given == "auto" else given

    def _epoch(
        self, batches: tf.data.Dataset, schedule: Iterator[float], epoch: int, tell: Callable[[int, float], None]
    ) -> float:
        """One pass; its mean loss. A long one is told of on its way."""
        losses, due = [], seldom()
        for number, batch in enumerate(batches, 1):
            self._optimizer.learning_rate.assign(next(schedule))
            losses.append(float(self._step(batch)))
            if not math.isfinite(losses[-1]):
                raise self._diverged(str(losses[-1]), epoch, number)
            if due():
                tell(number, float(np.mean(losses)))
        if not all(bool(tf.reduce_all(tf.math.is_finite(v.value))) for v in self.model.trainable_variables):
            raise self._diverged("weights that are no finite numbers", epoch, len(losses))
        return float(np.mean(losses))

    def _diverged(self, found: str, epoch: int, step: int) -> SoukError:
        return SoukError(
            "a finite loss",
            f"{found} in train_two_tower at epoch {epoch}, step {step}",
            "Lower train_two_tower.learning_rate, or look for extreme values in numeric columns."
            + self._checkpoints.last(),
        )

    def _weights(self) -> dict[str, np.ndarray]:
        return {name: variable.numpy() for name, variable in named_weights(self.model).items()}

    def _state(self) -> list[Any]:
        """All that the next step depends on; traces the step, which creates what is not there yet."""
        self._step.get_concrete_function()
        return [*self.model.variables, *self._optimizer.state, self._random.state]

    def _resume(self, report: Callable[[str], None]) -> tuple[list[dict[str, float]], dict[str, np.ndarray]]:
        """The epochs of this fit that were done before, and their best weights."""
        history, best = self._checkpoints.resume(self._fits, self._state())
        if history:
            report(f"goes on after epoch {len(history)}, which an earlier run finished")
        return history or [], best

    def _compiled(self) -> Any:
        return tf.function(self._train, input_signature=[self.sequences.batches(1, 0, FOREVER).element_spec])

    def _train(self, batch: Any) -> tf.Tensor:
        """Moves the weights by one batch and gives its loss."""
        with tf.GradientTape() as tape:
            loss = self._loss(batch)
        self._optimizer.apply(tape.gradient(loss, self._optimizer.variables))
        return loss

    def _loss(self, batch: Any) -> tf.Tensor:
        """Each item's vector is made once a pass, however many targets it is."""
        targets = tf.boolean_mask(batch["item"], batch["counts"])
        sample, own, chance = self._sample(targets)
        features = {name: tf.gather(values, sample) for name, values in self.catalogue.features.items()}
        given = (1 - self.config.logq_strength) * tf.gather(self._popularity, sample)
        temperature = temperature_of(self.config.temperature, tf.size(self._known))
        absent = self._absent(sample, tf.boolean_mask(batch["time"], batch["counts"]))

        def logits() -> tf.Tensor:
            queries = self.model.query_tower.of_counted(batch, training=True)
            vectors = self.model.item_tower(features, training=True)
            return sampled_logits(queries, vectors, own, chance, temperature, given, absent)

        one = logits()
        if not self._consistency:
            return cross_entropy(one, own)
        other = logits()
        loss = (cross_entropy(one, own) + cross_entropy(other, own)) / 2
        return loss + self._consistency * disagreement(one, other)

    def _absent(self, sample: tf.Tensor, times: tf.Tensor) -> tf.Tensor | bool:
        """`[targets, sample] bool`, the items that did not exist yet or any more; False where no item says of it."""
        own, times = self.catalogue, times[:, tf.newaxis]
        absent: tf.Tensor | bool = False
        if own.created_at.any():
            absent = tf.gather(own.created_at, sample)[tf.newaxis, :] > times
        if own.available_until.min(initial=FOREVER) < FOREVER:
            absent |= tf.gather(own.available_until, sample)[tf.newaxis, :] < times
        return absent

    def _sample(self, targets: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """The items that targets are compared with, the place of each target's among them, and their chances."""
        items, draws = tf.size(self._known), self.config.negatives
        if len(self.catalogue.ids) <= WHOLE * draws:
            sample, place = tf.unique(tf.concat([self._known, targets], 0))
            return sample, place[items:], tf.ones(tf.shape(sample))
        drawn = tf.gather(self._known, self._random.uniform([draws], 0, items, tf.int32))
        sample, place = tf.unique(tf.concat([targets, drawn], 0))
        chance = sample_chance(tf.gather(self._frequency, sample), tf.size(targets), draws, items)
        return sample, place[: tf.size(targets)], chance


def _tell(report: Callable[[str], None], epoch: str, steps: int, step: int, loss: float) -> None:
    report(f"epoch {epoch}: step {step:,} of {steps:,}, loss {loss:.4f}")


def _schedule(rate: float, steps: int) -> Iterator[float]:
    """Learning rates: up to `rate` in the first WARM_UP of the steps, then down along a cosine to LAST_RATE of it."""
    warm = max(1, round(WARM_UP * steps))
    for step in itertools.count(1):
        done = min(1.0, max(0, step - warm) / max(1, steps - warm))
        yield rate * min(1.0, step / warm) * (LAST_RATE + (1 - LAST_RATE) * (1 + math.cos(math.pi * done)) / 2)
