"""The settings that the trials of a round take."""

from __future__ import annotations

import json
from collections.abc import Sequence

from souk.progress import report
from souk.tuning.space import draw
from souk.tuning.trials import read_trial


def tune_draw(
    train_two_tower_config: str, train_ranker_config: str, trials: int, seed: int, number: int, results: Sequence[str]
) -> list[str]:
    """Draws a round of trials.

    Args:
        train_two_tower_config: `DatasetConfig.for_step("train_two_tower")`.
        train_ranker_config: `DatasetConfig.for_step("train_ranker")`.
        trials: of both rounds.
        seed: of the draws.
        number: 1 or 2, the round.
        results: the files of the first round's trials.

    Returns:
        of each trial JSON text, for `tune_trial`: kfp hands numbers in lists on as fractions, and text as it is.
    """
    config = json.loads(train_two_tower_config) | json.loads(train_ranker_config)
    drawn = draw(config, trials, seed, number, [read_trial(path) for path in results])
    report(f"round {number}: {len(drawn)} of {trials} trials")
    return [json.dumps({"number": place, "settings": settings}, sort_keys=True) for place, settings in drawn]
