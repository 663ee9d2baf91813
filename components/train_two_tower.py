"""Step `train_two_tower`: the query tower and the item tower."""

from typing import Optional

from kfp import dsl
from kfp.dsl import Dataset, Input, Metrics, Model, Output

from components.images import image


@dsl.component(base_image=image("train"), packages_to_install=[], install_kfp_package=False)
def train_two_tower(
    config: str,
    window: str,
    epochs: int,
    workspace: str,
    features: Input[Dataset],
    towers: Output[Model],
    metrics: Output[Metrics],
    previous: Optional[Input[Model]] = None,
):
    """Fits the towers on the events of a window.

    Args:
        config: the sections that the step reads, JSON.
        window: `twin` (events before the test window) or `release` (all events).
        epochs: overrides the config's; 0 takes the config's.
        workspace: holds checkpoints while it runs.
        features: output of `build_features`.
        towers: SavedModels, item vectors and the candidates that they retrieve.
        metrics: losses and times.
        previous: towers to continue from.
    """
    from souk.progress import record, step_process

    with step_process("TensorFlow"):
        from souk.steps.train_two_tower import train_two_tower as run

        start = previous.path if previous else ""
        record(metrics, run(config, window, epochs, workspace, features.path, towers.path, start))
