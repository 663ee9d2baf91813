"""The peers, by name: what each is, and the settings that its trials draw from."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from benchmarks.quality.interactions import NONE, Decay

FAST = Decay(form="exponential", rate=0.3)
RECENCY = (
    NONE,
    Decay(rate=0.5),
    Decay(rate=1.0),
    Decay(rate=1.5),
    FAST,
    Decay(form="exponential", rate=0.7),
    Decay("moments", rate=1.0),
    Decay("moments", "exponential", rate=0.3),
    Decay("days", rate=0.5),
    Decay("days", "exponential", rate=0.02),
)
FADES = RECENCY[1:]  # a peer "with recency" has some
AGES = (  # of what a peer is fitted on, at the start of the window
    NONE,
    Decay("days", "exponential", rate=0.01),
    Decay("days", "exponential", rate=0.03),
    Decay("days", "exponential", rate=0.1),
    Decay("days", rate=0.5),
    Decay("days", rate=1.0),
)
HALF_LIVES = (30.0, 3.0, 7.0, 14.0, 60.0, 120.0)  # of popularity, days


@dataclass(frozen=True)
class Peer:
    """One peer.

    Args:
        name: in the table.
        scorer: `module:Class` in this package, loaded when it is needed: most have heavy imports.
        fixed: settings of every trial.
        space: setting to the values that trials draw from; the first of each makes the first trial.
        epochs: where the fit goes in steps, the numbers of epochs at which one trial is measured.
        personal: whether it answers by the user; who has no history then gets what is popular lately, of every peer.
    """

    name: str
    scorer: str
    fixed: Mapping[str, Any] = field(default_factory=dict)
    space: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    epochs: tuple[int, ...] = ()
    personal: bool = True

    def load(self) -> Any:
        """The scorer's class."""
        module, _, name = self.scorer.partition(":")
        return getattr(importlib.import_module(f"benchmarks.quality.{module}"), name)

    @property
    def undated(self) -> Peer:
        """Without the settings of age, where times are counts: each of them would be a trial for nothing."""
        return replace(self, space={name: values for name, values in self.space.items() if name != "age"})

    @property
    def sampled(self) -> Peer:
        """Without a full softmax, where items are many and it takes twice the time."""
        space = {
            name: tuple(filter(None, values)) if name == "negatives" else values for name, values in self.space.items()
        }
        return replace(self, space=space)

    def trials(self, count: int, seed: int) -> list[dict[str, Any]]:
        """The first values, and then distinct draws without replacement, at most `count` in all."""
        sizes = [len(values) for values in self.space.values()]
        every = int(np.prod(sizes)) if sizes else 1
        rng = np.random.default_rng(seed)
        rest = 1 + rng.permutation(every - 1) if every <= 1_000_000 else np.unique(rng.integers(1, every, 10 * count))
        chosen = [0, *(rest if every <= 1_000_000 else rng.permutation(rest)).tolist()][:count]
        return [{**self.fixed, **dict(zip(self.space, self._values(number, sizes), strict=True))} for number in chosen]

    def _values(self, number: int, sizes: Sequence[int]) -> list[Any]:
        places = np.unravel_index(number, sizes) if sizes else ()
        return [values[int(place)] for values, place in zip(self.space.values(), places, strict=True)]


RULES = {
    "distance": (Decay(longest=20), Decay(rate=0.5, longest=20), Decay("moments", longest=10), Decay(rate=1.0)),
    "recency": (Decay(rate=1.0), *FADES),
    "popularity": (0.3, 0.0, 0.15, 0.5),
    "support": (0.5, 0.25, 0.75),
    "back": (0.0, 0.3, 1.0),
    "together": (1.0, 0.3, 3.0),
    "age": AGES,
}
PEERS = (
    Peer("popularity", "popularity:Popularity", personal=False),
    Peer("recent_popularity", "popularity:RecentPopularity", space={"half_life": HALF_LIVES}, personal=False),
    Peer(
        "personal_frequency",
        "popularity:PersonalFrequency",
        space={"half_life": (0.0, 7.0, 30.0, 90.0), "recent": (0.0, 7.0, 30.0)},
    ),
    Peer(
        "tifu_knn",
        "tifu_knn:TifuKnn",
        space={
            "group": (7, 3, 15),
            "within": (0.9, 0.7, 1.0),
            "across": (0.7, 0.4, 0.9),
            "neighbours": (300, 100, 900),
            "own": (0.7, 0.2, 0.5, 0.9),
        },
    ),
    Peer(
        "item_knn",
        "neighbours:ItemKnn",
        space={"shrinkage": (10.0, 0.0, 3.0, 30.0, 100.0), "popularity": (0.5, 0.25, 0.4, 0.6)},
    ),
    Peer(
        "item_knn_recency",
        "neighbours:ItemKnn",
        space={
            "shrinkage": (10.0, 0.0, 3.0, 30.0),
            "popularity": (0.4, 0.25, 0.5),
            "recency": (FAST, *(decay for decay in FADES if decay != FAST)),
            "within": (Decay(rate=1.0), NONE, Decay(rate=0.5), Decay("moments", rate=1.0)),
            "age": AGES,
        },
    ),
    Peer(
        "first_order",
        "neighbours:SequentialRules",
        fixed={"distance": Decay("moments", longest=1), "recency": Decay("moments", longest=1)},
        space={"popularity": (0.0, 0.15, 0.3, 0.45), "support": (0.5, 0.0, 1.0), "together": (0.0, 0.3, 1.0)},
    ),
    Peer("sequential_rules", "neighbours:SequentialRules", space=RULES),
    Peer("ease", "ease:Ease", space={"l2": (300.0, 10.0, 30.0, 100.0, 600.0, 1000.0, 2000.0)}),
    Peer(
        "ease_recency",
        "ease:Ease",
        space={
            "l2": (300.0, 30.0, 100.0, 1000.0),
            "recency": (FAST, *(decay for decay in FADES if decay != FAST)),
            "fading": (NONE, Decay(rate=0.25), Decay(rate=0.5)),
            "age": AGES,
        },
    ),
    Peer(
        "als",
        "factors:Als",
        space={
            "factors": (64, 32, 128),
            "regularization": (0.01, 0.1, 1.0, 10.0),
            "alpha": (10.0, 1.0, 3.0, 30.0),
            "recency": RECENCY,
            "age": AGES,
        },
    ),
    Peer(
        "bpr",
        "factors:Bpr",
        space={
            "factors": (64, 32, 128),
            "learning_rate": (0.05, 0.02, 0.1),
            "regularization": (0.01, 0.001, 0.05),
            "iterations": (100, 50, 200),
            "share": (0.0, 0.5, 1.0),
            "recency": RECENCY,
        },
    ),
    Peer(
        "sasrec",
        "sasrec:SasRec",
        fixed={"covered": 0.95},
        space={
            "length": (50, 100, 200),
            "factors": (64, 128),
            "dropout": (0.2, 0.4),
            "batch": (128, 32),  # of a thousand users, 128 in a step are eight steps a pass
            "negatives": (0, 256),  # the full softmax is the faster one where items are few (`Peer.sampled`)
            "layers": ("sasrec", "ligr"),
            "heads": (2, 1),
        },
        epochs=(5, 10, 20, 30, 45, 60, 90, 120),
    ),
    Peer(
        "tfrs_two_tower",
        "two_tower:TutorialTwoTower",
        space={
            "factors": (32, 64),
            "learning_rate": (0.1, 0.5),
            "batch": (8192, 1024),
            "corrected": (False, True),
        },
        epochs=(3, 10, 30),
    ),
)
LAMBDAMART = Peer(
    "lambdamart",
    "lambdamart:LambdaMart",
    space={
        "num_leaves": (31, 7, 15, 63),
        "learning_rate": (0.05, 0.02, 0.1),
        "min_data_in_leaf": (50, 20, 200),
        "feature_fraction": (0.8, 0.5, 1.0),
        "lambda_l2": (1.0, 0.0, 10.0),
        "lambdarank_truncation_level": (30, 10, 100),
    },
)
