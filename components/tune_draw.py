"""Step `tune_draw`: which settings the trials of a round take."""

from typing import Optional

from kfp import dsl
from kfp.dsl import Artifact, Input

from components.images import image


@dsl.component(base_image=image("train"), packages_to_install=[], install_kfp_package=False)
def tune_draw(
    train_two_tower_config: str,
    train_ranker_config: str,
    trials: int,
    seed: int,
    number: int,
    results: Optional[Input[list[Artifact]]] = None,
) -> list[str]:
    """Draws settings at random in the first round, from what it found in the second.

    Args:
        train_two_tower_config: the sections that the step reads, JSON; likewise the ranker's.
        trials: of both rounds; number 0 is the config as it is.
        seed: of the draws.
        number: 1 or 2, the round.
        results: of the trials of the first round.
    """
    from souk.progress import step_process
    from souk.steps.tune_draw import tune_draw as run

    with step_process():
        found = [result.path for result in results or []]
        return run(train_two_tower_config, train_ranker_config, trials, seed, number, found)
