"""Step `load_index`: the item vectors into Milvus, with recall measured."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Metrics, Model, Output

from components.images import image


@dsl.component(base_image=image("index"), packages_to_install=[], install_kfp_package=False)
def load_index(
    config: str,
    features: Input[Dataset],
    towers: Input[Model],
    index: Output[Artifact],
    metrics: Output[Metrics],
):
    """Builds the collection of these item vectors; fails below the bar of recall against exact search.

    Args:
        config: the sections that the step reads, JSON.
        features: output of `build_features`.
        towers: output of `train_two_tower`.
        index: the collection's name and, for Milvus Lite, its file.
        metrics: recall@100 and times.
    """
    from souk.progress import record, step_process
    from souk.steps.load_index import load_index as run

    with step_process():
        record(metrics, run(config, features.path, towers.path, index.path))
