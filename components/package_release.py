"""Step `package_release`: everything that serving needs, in one folder named by its content."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Metrics, Model, Output

from components.images import image


@dsl.component(base_image=image("deploy"), packages_to_install=[], install_kfp_package=False)
def package_release(
    config: str,
    tables: Input[Dataset],
    features: Input[Dataset],
    towers: Input[Model],
    ranker: Input[Model],
    index: Input[Artifact],
    twin: Input[Model],
    evaluation: Input[Artifact],
    release: Output[Model],
    metrics: Output[Metrics],
) -> str:
    """Writes the release and returns its name.

    Args:
        config: the sections that the step reads, JSON.
        tables: output of `ingest`.
        features: output of `build_features`.
        towers: the release's towers.
        ranker: the release's ranker.
        index: the release's index.
        twin: what the gate compared, kept for later challengers.
        evaluation: output of `evaluate`.
        release: the release.
        metrics: files, bytes and golden requests.
    """
    from souk.progress import record, step_process

    with step_process("TensorFlow and the server's code"):
        from souk.steps.package_release import package_release as run

        inputs = (tables.path, features.path, towers.path, ranker.path, index.path, twin.path, evaluation.path)
        name, values = run(config, *inputs, release.path)
        record(metrics, values)
    return name
