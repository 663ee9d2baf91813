"""The settings that a search tries, and which of them each trial takes.

A search has two rounds, each drawn at once, so that the trials of one may run side by side in any order and are the
same in every run of the same seed. The first is the config as it is, and random settings; the second is what a
tree-structured Parzen estimator (Bergstra et al. 2011) makes of the first.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from souk.errors import SoukError
from souk.tuning.trials import Trial

ROUNDS = (1, 2)
Settings = dict[str, Any]  # `section.key` to value

# Features stay as they are: a longer history would be another data set to build, and another user state to serve.
CHOICES: dict[str, tuple[Any, ...]] = {
    "train_two_tower.dim": (32, 64, 128),
    "train_two_tower.layers": (1, 2, 3),
    "train_ranker.hidden": ([16], [32], [64, 32]),
}
# The bounds; a range of more than a factor of four is drawn by its logarithm.
RANGES: dict[str, tuple[float, float]] = {
    "train_two_tower.learning_rate": (1e-3, 1e-2),
    "train_two_tower.temperature": (0.5, 2.0),
    "train_two_tower.dropout": (0.0, 0.5),
    "train_two_tower.id_dropout": (0.0, 0.3),
    "train_ranker.learning_rate": (1e-3, 1e-2),
    "train_ranker.weight_decay": (1e-3, 1e-1),
}
DIGITS = 3  # of a drawn number: a config is to be read


def draw(config: Mapping[str, Mapping[str, Any]], trials: int, seed: int, number: int, before: Sequence[Trial]) -> list[
    tuple[int, Settings]
]:  # fmt: skip
    """The trials of a round: their numbers and settings.

    Args:
        config: the sections of the config that the space names; they are trial 0.
        trials: of both rounds, at least 2.
        seed: of the draws.
        number: 1 or 2, the round.
        before: what the first round found.

    Raises:
        SoukError: there are too few trials for two rounds.
    """
    if trials < len(ROUNDS):
        raise SoukError("at least 2 trials, the config as it is and another one", str(trials), "Raise --trials.")
    first = (trials + 1) // 2
    usual = defaults(config)
    space = _space(usual, config["train_two_tower"]["heads"])
    if number == ROUNDS[0]:
        study = _study(optuna.samplers.RandomSampler(seed=seed))
        return [(0, usual), *((place, _asked(study, space)) for place in range(1, first))]
    study = _study(optuna.samplers.TPESampler(seed=(seed + 1) % 2**32, n_startup_trials=1, constant_liar=True))
    for trial in before:
        if trial.gains:
            params = {name: _stored(value) for name, value in trial.settings.items()}
            study.add_trial(optuna.create_trial(params=params, distributions=space, value=trial.score))
    return [(place, _asked(study, space)) for place in range(first, trials)]


def defaults(config: Mapping[str, Mapping[str, Any]]) -> Settings:
    """What the config says of every setting of the space."""
    return {name: config[name.partition(".")[0]][name.partition(".")[2]] for name in (*CHOICES, *RANGES)}


def _space(usual: Settings, heads: int) -> dict[str, BaseDistribution]:
    """The space, made as wide as the config: its own values are always within."""
    found: dict[str, BaseDistribution] = {}
    for name, choices in _choices(usual, heads).items():
        found[name] = CategoricalDistribution(sorted({_stored(value) for value in (*choices, usual[name])}, key=str))
    for name, (low, high) in RANGES.items():
        low, high = min(low, usual[name]), max(high, usual[name])
        found[name] = FloatDistribution(low, high, log=low > 0 and high > 4 * low)
    return found


def _choices(usual: Settings, heads: int) -> dict[str, tuple[Any, ...]]:
    """The choices that can be: layers have `heads`, which share a vector evenly. A config without layers may have a dim
    that its heads do not divide: it stays without them."""
    dim, layers = "train_two_tower.dim", "train_two_tower.layers"
    if usual[dim] % heads:
        return {**CHOICES, layers: ()}
    return {**CHOICES, dim: tuple(each for each in CHOICES[dim] if each % heads == 0)}


def _study(sampler: optuna.samplers.BaseSampler) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # constant_liar is called experimental
        return optuna.create_study(direction="maximize", sampler=sampler)


def _asked(study: optuna.Study, space: dict[str, BaseDistribution]) -> Settings:
    """The next settings."""
    params = study.ask(space).params
    return {name: _read(value) if name in CHOICES else _rounded(value, space[name]) for name, value in params.items()}


def _rounded(value: float, within: Any) -> float:
    """A number that is to be read, no further out than the bounds, which the config may have set to more digits."""
    return min(max(float(f"{value:.{DIGITS}g}"), within.low), within.high)


def _stored(value: Any) -> Any:
    """A value as Optuna keeps it: a choice that is a list becomes text."""
    return json.dumps(list(value)) if isinstance(value, list | tuple) else value


def _read(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value
