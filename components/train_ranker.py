"""Step `train_ranker`: the model that orders the candidates."""

from typing import Optional

from kfp import dsl
from kfp.dsl import ClassificationMetrics, Dataset, Input, Metrics, Model, Output

from components.images import image


@dsl.component(base_image=image("train"), packages_to_install=[], install_kfp_package=False)
def train_ranker(
    config: str,
    window: str,
    workspace: str,
    features: Input[Dataset],
    towers: Input[Model],
    ranker: Output[Model],
    metrics: Output[Metrics],
    curve: Output[ClassificationMetrics],
    previous: Optional[Input[Model]] = None,
):
    """Fits the ranker on what the towers would have shown.

    Args:
        config: the sections that the step reads, JSON.
        window: `twin` or `release`, as for the towers.
        workspace: holds checkpoints while it runs.
        features: output of `build_features`.
        towers: output of `train_two_tower` for the window; holds the candidates to rank.
        ranker: the SavedModel and its weights.
        metrics: losses, AUC by head and times.
        curve: receiver operating characteristic of the engaged head on held-out users.
        previous: a ranker to continue from.
    """
    from souk.progress import record, record_roc, step_process

    with step_process("TensorFlow"):
        from souk.steps.train_ranker import train_ranker as run

        start = previous.path if previous else ""
        record(metrics, run(config, window, workspace, features.path, towers.path, ranker.path, start))
        record_roc(curve, ranker.path)
