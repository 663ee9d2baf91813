"""Rankers of simulated logs, scored by the truth: the same users and items, shown by policies of different fairness.

`python -m tests.debias_fixtures USERS ITEMS DAYS` prints the true NDCG@10 of each (docs/models.md).
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from souk.config import TrainRanker
from souk.models.fit_ranker import fit_ranker
from souk.models.inputs import TransformedFeature
from souk.models.rank_examples import RankExamples
from souk.models.rank_lists import rank_lists
from souk.models.rank_scoring import list_logits, new_ranker, spread_of
from souk.models.ranker import Ranker
from souk.models.sequences import Catalogue
from souk.models.towers import TowerShape
from souk.pairs import PAIR_FEATURES
from souk.simulator.behaviour import odds
from souk.simulator.parameters import Parameters, Size
from souk.simulator.policies import Mix
from souk.simulator.simulation import new_marketplace, simulate
from souk.simulator.slates import Requests, Slates
from tests.simulator_fixtures import Simulated

CONFIG = TrainRanker(epochs=0, batch_rows=256)
SHAPE = TowerShape(
    (TransformedFeature("user_id", "user", "ids", 4, 0), TransformedFeature("context_device", "query", "ids", 4, 0)), 8
)
ASKED = 60  # items that a ranker orders, to be scored


class NewestFirst(Mix):
    """Random slates, of which some have the items that were created last at the top: a habit that tells nothing of
    what is liked.

    Args:
        created_at: `[items]`.
        share: of slates in the order in which they were drawn.
    """

    def __init__(self, created_at: np.ndarray, share: float) -> None:
        super().__init__("newest first", 1.0, np.zeros(len(created_at)))
        self._age = np.argsort(np.argsort(-created_at, kind="stable"))
        self._share = share

    def slates(self, requests: Requests, k: int, rng: np.random.Generator) -> Slates:
        """Answers requests."""
        drawn = super().slates(requests, k, rng)
        order = np.argsort(self._age[drawn.items], axis=1)
        sorted_items = np.take_along_axis(drawn.items, order, axis=1)
        as_drawn = rng.random(len(drawn.items)) < self._share
        return replace(drawn, items=np.where(as_drawn[:, None], drawn.items, sorted_items))


def simulated(folder: Path, share: float, size: Size) -> Simulated:
    """A log under `NewestFirst`; share 1 is all random."""
    beginning = new_marketplace(size, Parameters())
    created = beginning.world.items.created_at
    simulate(folder, beginning, size.days, size.seed, NewestFirst(created, share), "random", lambda text: None)
    return Simulated(folder)


def compared(folder: Path, size: Size) -> dict[str, float]:
    """The true NDCG@10 of rankers of random slates, and of biased ones with and without their places."""
    fair, biased = Log(simulated(folder / "fair", 1.0, size)), Log(simulated(folder / "biased", 0.15, size))
    return {
        "random slates": fair.true_ndcg(*fair.ranker(debias=True)),
        "biased slates, places taken out": biased.true_ndcg(*biased.ranker(debias=True)),
        "biased slates": biased.true_ndcg(*biased.ranker(debias=False)),
    }


@dataclass(frozen=True)
class Log:
    """Requests with a click, as a ranker's examples, and what is true of some more."""

    data: Simulated

    def features(self, users: np.ndarray, items: np.ndarray, times: np.ndarray) -> np.ndarray:
        """`[rows, columns, P]`: what a retriever knows of taste, a noisy sign of quality and price, and age."""
        world = self.data.truth.world
        noise = np.random.default_rng(5).normal(size=(2, len(world.items.ids)))
        pair = np.zeros((*items.shape, len(PAIR_FEATURES)), np.float32)
        liked = world.users.tastes[0][users[:, None], world.items.leaf[items]]
        pair[..., PAIR_FEATURES.index("score")] = liked
        pair[..., PAIR_FEATURES.index("log_events")] = world.items.quality[items] + 0.5 * noise[0][items]
        pair[..., PAIR_FEATURES.index("satisfied_rate")] = -world.items.bait[items] + 0.1 * noise[1][items]
        pair[..., PAIR_FEATURES.index("age")] = np.log1p((times[:, None] - world.items.created_at[items]) / 86_400_000)
        pair[..., PAIR_FEATURES.index("age_known")] = 1
        return pair

    def examples(self) -> RankExamples:
        """One for each click, with its slate."""
        shown = {
            name: self.data.slates(name) for name in ("user", "item", "timestamp", "clicked", "device", "position")
        }
        request, column = np.nonzero(shown["clicked"])
        users, items, times = shown["user"][request, 0], shown["item"][request], shown["timestamp"][request, 0]
        rows, chosen = len(request), np.zeros(items.shape, bool)
        chosen[np.arange(rows), column] = True
        return RankExamples(
            user={"user_id": np.full(rows, 2)},
            query={"context_device": np.where(shown["device"][request, 0] == "mobile", 2, 3)},
            positions=items,
            pair=self.features(users, items, times),
            own=column,
            candidate=np.ones(items.shape, bool),
            chosen=chosen,
            first=np.ones(rows, bool),
            labels={"satisfied": np.full(rows, -1)},
            users=users,
            times=times,
            pleased={"satisfied": np.zeros(items.shape, bool)},
            taken=np.ones(rows, np.int64),
            liked={"satisfied": np.zeros(rows, np.int64)},
            place=(shown["position"][request] + 1).astype(np.int16),
            also=shown["clicked"][request] & ~chosen,
            newcomer=np.zeros(rows, bool),
        )

    def ranker(self, debias: bool, seed: int = 1) -> tuple[Ranker, Catalogue]:
        """Fitted to the clicks."""
        examples = self.examples()
        catalogue = Catalogue(
            tuple(self.data.truth.world.items.ids.tolist()), {}, np.zeros(0), np.zeros(0), np.zeros(0)
        )
        keras.utils.set_random_seed(seed)
        model = new_ranker(Ranker(SHAPE, CONFIG, ("satisfied",)), examples, catalogue)
        weights = np.ones(examples.positions.shape, np.float32)
        fit_ranker(model, rank_lists(examples, spread_of(model, examples), weights, debias), catalogue, CONFIG, print)
        return model, catalogue

    def true_ndcg(self, model: Ranker, catalogue: Catalogue, requests: int = 1500, k: int = 10) -> float:
        """The mean NDCG@k of the model's order of random items, where an item's gain is its true chance of a click."""
        random = np.random.default_rng(9)
        world, time = self.data.truth.world, self.data.truth.end
        users = random.integers(len(world.users.ids), size=requests)
        items = np.argsort(random.random((requests, len(world.items.ids))), axis=1)[:, :ASKED]
        times = np.full(requests, time)
        pair = tf.constant(self.features(users, items, times))
        normal = model.normalise(pair)
        spread = tf.reduce_mean(normal, 1), tf.math.reduce_std(normal, 1)
        batch = {"user": {"user_id": tf.fill([requests], 2)}, "query": {"context_device": tf.fill([requests], 2)}}
        batch |= {"positions": tf.constant(items), "pair": pair, "mean": spread[0], "deviation": spread[1]}
        scores = list_logits(model, catalogue, batch, with_body=False, training=False)["order"].numpy()
        gain = odds(world, users, items, times).click
        discount = 1 / np.log2(np.arange(k) + 2)
        found = np.take_along_axis(gain, np.argsort(-scores, axis=1, kind="stable")[:, :k], axis=1) @ discount
        ideal = -np.sort(-gain, axis=1)[:, :k] @ discount
        return float((found / ideal).mean())


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        print(json.dumps(compared(Path(place), Size(*map(int, sys.argv[1:4]), 1))))
