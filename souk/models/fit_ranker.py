"""Fits the ranker on some users, chooses how far on the others, and calibrates on these."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from souk.config import TrainRanker
from souk.errors import SoukError
from souk.models.averaged import MOMENTUM, averaged
from souk.models.checkpoint import Checkpoints
from souk.models.fit_given import fit_given, leave_body_out
from souk.models.fit_level import fit_level
from souk.models.held_out import ahead, folds_of, jackknife_losses, judging, spent, split_users
from souk.models.rank_lists import RankLists
from souk.models.rank_quality import RankerQuality, ndcg, quality, retrieval_order
from souk.models.rank_scoring import held_out_losses, list_logits, scoring, with_body_fixed
from souk.models.ranker import Ranker, given_loss, order_loss
from souk.models.sequences import Catalogue
from souk.models.weights import named_weights, snapshot
from souk.spec import ENGAGED

JUDGED = 6  # times, at least, in a stage
LEAST_STEPS = 250  # of the straight path, and twice as many of the body, in at most MOST_EPOCHS
MOST_EPOCHS = 40
STRAIGHT_RATE = 0.03
STRAIGHT_DECAY = 1e-2  # of its weights towards where they began
STAGES = ("start", "straight path", "with the body")
_Kept = tuple[float, bool, dict[str, np.ndarray]]  # loss of held-out users, whether with the body, weights


@dataclass(frozen=True)
class RankerFit:
    """What came of a fit.

    Args:
        history: per judgement (after each epoch, or some where there are many) `stage` (0 start, 1 straight path, 2
            body), `loss` and `seconds` of that epoch, `held_out_loss` of the order, `ndcg@10` of held-out users; the
            first entry, number 0, is the start.
        with_body: whether the chosen weights use the body.
        quality: on held-out users.
        metrics: what the step reports, with the number of the `judgement` whose weights were kept.
        not_learned: the heads that serve the same for everything, and why.
    """

    history: list[dict[str, float]]
    with_body: bool
    quality: RankerQuality
    metrics: dict[str, float]
    not_learned: dict[str, str]


def fit_ranker(
    model: Ranker,
    lists: RankLists,
    catalogue: Catalogue,
    config: TrainRanker,
    report: Callable[[str], None],
    continued: bool = False,
    checkpoints: Path | None = None,
    fixed: Mapping[str, float] | None = None,
) -> RankerFit:
    """Fits the straight path of each head that is given engagement, then that of the order, then the body where there
    are enough lists, keeps what held-out users like best, and fits the level to that order.

    Args:
        model: with its variables created.
        lists: of one window.
        catalogue: the items.
        config: sizes and rates.
        report: takes a line of progress.
        continued: whether the model starts from the weights of an earlier fit.
        checkpoints: a folder where a fit that was killed goes on, of these inputs alone; None to begin again.
        fixed: the exponents that are not tuned, beside 1 for `engaged`, or 0 where it says so.

    Raises:
        SoukError: the loss is no finite number.
    """
    fitted, held_out = split_users(lists.examples.users, config.seed, lists.examples.newcomer)
    fit = _Fit(model, lists, catalogue, config, report, (fitted, held_out), checkpoints)
    moments = held_out[lists.examples.first[held_out]]
    compared = {"retrieval_ndcg@10": ndcg(retrieval_order(lists.examples, moments), lists.examples, moments)}
    report(f"the candidates as retrieved: ndcg@10 {compared['retrieval_ndcg@10']:.4f} on held-out users")
    if continued:
        compared["previous_ndcg@10"] = fit.history[0]["ndcg@10"]
        report(f"ranker of before: ndcg@10 {compared['previous_ndcg@10']:.4f} on held-out users")
    rows = lists.lists(fitted)
    if len(rows):
        steps = math.ceil(len(rows) / config.batch_rows)
        epochs = [
            min(MOST_EPOCHS, max(given, math.ceil(least / steps)))
            for given, least in ((config.straight_epochs, LEAST_STEPS), (config.epochs, 2 * LEAST_STEPS))
        ]
        fit.stage(False, fitted, epochs[0], STRAIGHT_RATE)
        if config.epochs and (lists.positive[rows] > 0).sum() >= config.body_examples and fit.may_have_body(continued):
            fit.stage(True, fitted, epochs[1], config.learning_rate)
    fit.choose()
    with_body = fit.restore()
    fit.settle()
    fit_level(model, lists, fit.score, fitted, judging(held_out, config.seed), config.seed, report)
    bounds = config.max_click_loss, fixed or {}, fit.not_learned
    found = quality(fit.score(held_out), lists.examples, held_out, *bounds)
    metrics = {"judgement": float(fit.best_judgement), **compared, **found.metrics}
    return RankerFit(fit.history, with_body, found, metrics, fit.not_learned)


class _Fit:
    """A fit under way: the best weights so far, by what they say of held-out users."""

    def __init__(
        self,
        model: Ranker,
        data: RankLists,
        catalogue: Catalogue,
        config: TrainRanker,
        report: Callable[[str], None],
        split: tuple[np.ndarray, np.ndarray],
        checkpoints: Path | None,
    ) -> None:
        self.model, self.data, self.catalogue, self.config, self.report = model, data, catalogue, config, report
        self.history: list[dict[str, float]] = []
        self.best_judgement, self._straight_judgement, self._checkpoints = 0, 0, Checkpoints(checkpoints)
        self._with_body = self._began_with_body = bool(np.any(model.body.heads[ENGAGED].kernel.numpy()))
        self._random = np.random.default_rng(config.seed)
        self._judged = judging(split[1], config.seed)
        self._lists = data.lists(self._judged)
        self._scores = {body: scoring(model, catalogue, body) for body in (False, True)}
        reasons = {h: fit_given(model, h, data, self.score, split[0], self._judged, report) for h in model.given}
        self.not_learned = {head: why for head, why in reasons.items() if why}
        self._alone = {head: model.straight[head].get_weights() for head in model.given}, self._losses()[1]
        self._best: _Kept = (math.inf, False, snapshot(model))
        self._note({"stage": 0})
        self._first = self._straight = self._best

    def stage(self, body: bool, rows: np.ndarray, epochs: int, rate: float) -> None:
        """Fits the straight path, or all of it, and remembers the best; with the body, of weights that are means."""
        self.restore()
        if body:
            self._straight, self._straight_judgement = self._best, self.best_judgement
        self._with_body |= body
        lists, labelled = self.data.lists(rows), self.data.labelled(rows)
        data = with_body_fixed(self.data, rows, self._scores) if self._with_body > body else self.data
        steps = math.ceil(len(lists) / self.config.batch_rows)
        decay = keras.optimizers.schedules.PolynomialDecay(rate, epochs * steps, end_learning_rate=rate / 20)
        shrunk = self.config.weight_decay * body
        optimizer = keras.optimizers.AdamW(decay, weight_decay=shrunk, use_ema=body, ema_momentum=MOMENTUM)
        learned = self.model.trainable_variables if body else self.model.straight_variables((ENGAGED,))
        step = self._step(optimizer, body, learned)
        state = [*self.model.variables, *optimizer.variables]
        for epoch in range(self._resume(1 + body, state) + 1, epochs + 1):
            if body and spent([each["held_out_loss"] for each in self.history if each["stage"] == 1 + body]):
                break
            began = time.monotonic()
            losses = []
            for some, known in zip(self._parts(lists, steps), self._parts(labelled, steps), strict=True):
                engaged = data.taken(known if len(known) else some[:1])
                losses.append(float(step(data.batch(some, self.config.negatives * body, self._random), engaged)))
                if not math.isfinite(losses[-1]):
                    raise self._diverged(f"{losses[-1]} in {STAGES[1 + body]}, epoch {epoch}, step {len(losses)}")
            if epoch == epochs or epoch % max(1, epochs // JUDGED) == 0:
                seconds = time.monotonic() - began
                with averaged(optimizer, learned):
                    self._note({"stage": 1 + body, "loss": float(np.mean(losses)), "seconds": seconds})
            self._save(1 + body, state, epoch)

    def _save(self, stage: int, state: list[Any], epoch: int) -> None:
        """Keeps where the fit is after an epoch: all that the rest of it depends on."""
        loss, with_body, weights = self._best
        random = self._random.bit_generator.state
        progress = {"epoch": epoch, "history": self.history, "best": [self.best_judgement, loss, with_body]}
        self._checkpoints.save(stage, state, weights, progress | {"random": random})

    def _resume(self, stage: int, state: list[Any]) -> int:
        """Goes on where an earlier run of the stage was killed; the epochs that it finished."""
        progress, weights = self._checkpoints.resume(stage, state)
        if not progress:
            return 0
        self.history = progress["history"]
        self.best_judgement, loss, with_body = progress["best"]
        self._best = loss, with_body, weights
        self._random.bit_generator.state = progress["random"]
        self.report(f"{STAGES[stage]}: goes on after epoch {progress['epoch']}, which an earlier run finished")
        return int(progress["epoch"])

    def _diverged(self, found: str) -> SoukError:
        return SoukError(
            "a finite loss in train_ranker",
            found,
            "Lower train_ranker.learning_rate, or look for extreme values in numeric columns."
            + self._checkpoints.last(),
        )

    def restore(self) -> bool:
        """Puts the best weights back, and says whether they use the body."""
        self._put(self._best)
        return self._with_body

    def _put(self, kept: _Kept) -> None:
        _, self._with_body, arrays = kept
        for name, variable in named_weights(self.model).items():
            variable.assign(arrays[name])

    def choose(self) -> None:
        """Goes back to the straight path where the body is ahead of it by less than a standard error (Breiman et al.
        1984, section 3.4.3) or has a worse order, and to the order that the fit began with where that is better.

        The best weights are those of the least loss, which has less of chance in it than the first ten places have.
        But of a few thousandths of it chance alone decides, and the simpler order is served faster and no worse. And a
        loss falls, too, where chances get sharper in an order that got worse. What was logged with its place says
        nothing of that: what stood first was taken first.
        """
        told, judgements = not self.data.examples.place.any(), (0, self._straight_judgement, self.best_judgement)
        first, straight, found = (self.history[number]["ndcg@10"] for number in judgements)
        if self._best[1] and not self._straight[1]:
            gain, error = ahead(self._jackknife(self._straight), self._jackknife(self._best))
            if gain <= error or (told and found < straight):
                said = f"{gain:.4f} less loss of the order on held-out users, give or take {error:.4f}"
                self.report(f"with the body: {said}, ndcg@10 {found:.4f}, {straight:.4f} without; that alone is kept")
                self._best, self.best_judgement, found = self._straight, self._straight_judgement, straight
        if told and found < first:
            self.report(f"ndcg@10 {found:.4f} on held-out users, {first:.4f} at first: the order stays what it was")
            self._best, self.best_judgement = self._first, 0

    def may_have_body(self, continued: bool) -> bool:
        """Whether the body may be kept: a release has none where its twin was judged without, and held-out users have
        to be able to say that it is better by more than chance: two have to have lists."""
        if self._began_with_body or (not continued and len(folds_of(self.data.examples.users[self._lists])) > 1):
            return True
        few = "fewer than two held-out users took what was among their candidates"
        self.report(f"no body: {'the ranker of before was judged without' if continued else few}")
        return False

    def _jackknife(self, kept: _Kept) -> np.ndarray:
        """The losses of the order under kept weights, of the held-out lists that judge."""
        self._put(kept)
        return jackknife_losses(self.score(self._lists), self.data, self._lists)

    def settle(self) -> None:
        """Takes the body out of the heads given engagement of which held-out users are told better without."""
        weights, alone = self._alone
        if self._with_body and not self._began_with_body:
            for head, loss in self._losses()[1].items():
                if loss > alone[head]:
                    leave_body_out(self.model, head, weights[head])

    def _losses(self) -> tuple[float, dict[str, float]]:
        """Of the order and of the heads given engagement, of held-out users."""
        return held_out_losses(self.score(self._judged), self.data, self._judged)

    def score(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """The logits of all columns of examples under the weights as they are."""
        return self._scores[self._with_body](self.data, rows)

    def _parts(self, rows: np.ndarray, count: int) -> list[np.ndarray]:
        return np.array_split(self._random.permutation(rows), count)

    def _note(self, record: dict[str, float]) -> None:
        """Judges the weights as they are, and keeps them where they are the best."""
        logits, examples, rows = self.score(self._judged), self.data.examples, self._judged
        loss, _ = held_out_losses(logits, self.data, rows)
        moments = np.flatnonzero(examples.first[rows])
        found = ndcg(logits["order"][moments], examples, rows[moments])
        self.history.append(record | {"held_out_loss": loss, "ndcg@10": found})
        if record["stage"]:
            line = f"{STAGES[int(record['stage'])]}, judgement {len(self.history) - 1}: loss {record['loss']:.4f}"
            self.report(f"{line}, held out {loss:.4f}, ndcg@10 {found:.4f}, {record['seconds']:.1f} s an epoch")
        if loss < self._best[0]:
            self._best, self.best_judgement = (loss, self._with_body, snapshot(self.model)), len(self.history) - 1

    def _step(self, optimizer: Any, body: bool, variables: Sequence[Any]) -> Callable[[Any, Any], tf.Tensor]:
        """A compiled function of lists and of engaged examples that moves the weights and gives the loss."""
        straight = self.model.straight_variables(self.model.straight if body else (ENGAGED,))
        begun = [tf.constant(v.numpy()) for v in straight]
        optimizer.build(variables)

        @tf.function(reduce_retracing=True)
        def step(batch: Any, engaged: Any) -> tf.Tensor:
            with tf.GradientTape() as tape:
                logits = list_logits(self.model, self.catalogue, batch, body, training=True)
                placed = logits["order"] + self.model.position(batch["place"], self.model.moments(batch["query"]))
                taken = list_logits(self.model, self.catalogue, engaged, body, training=True)
                loss = order_loss(placed, batch["positive"], batch["allowed"], batch["fresh"])
                for head, label in engaged["labels"].items():
                    loss += given_loss(taken[head][:, 0], label)
                pulled = [tf.nn.l2_loss(v - b) for v, b in zip(straight, begun, strict=True)]
                total = loss + STRAIGHT_DECAY * tf.add_n(pulled)
            gradients = zip(tape.gradient(total, variables), variables, strict=True)
            optimizer.apply_gradients([(g, v) for g, v in gradients if g is not None])
            return loss

        return step
