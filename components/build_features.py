"""Step `build_features`: Beam and TensorFlow Transform make the training tables; Feast gets the users' state."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Metrics, Output

from components.images import image


@dsl.component(base_image=image("preprocess"), packages_to_install=[], install_kfp_package=False)
def build_features(
    config: str,
    workspace: str,
    beam_runner: str,
    beam_options: str,
    tables: Input[Dataset],
    features: Output[Dataset],
    metrics: Output[Metrics],
):
    """Builds sequences, ranker examples, item features, counters and transforms; writes user state to Feast.

    Args:
        config: the sections that the step reads, JSON.
        workspace: path of the workspace, which holds the feature store.
        beam_runner: name of a Beam runner.
        beam_options: Beam flags, a JSON list; "" for none.
        tables: output of `ingest`.
        features: the training tables.
        metrics: rows by table.
    """
    from souk.progress import record, step_process

    with step_process("Apache Beam and TensorFlow"):
        from souk.steps.build_features import build_features as run

        record(metrics, run(config, workspace, beam_runner, beam_options, tables.path, features.path))
