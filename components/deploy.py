"""Step `deploy`: a release becomes the current one of the workspace."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Metrics, Model, Output

from components.images import image


@dsl.component(base_image=image("deploy"), packages_to_install=[], install_kfp_package=False)
def deploy(
    config: str,
    workspace: str,
    release: Input[Model],
    features: Input[Dataset],
    index: Input[Artifact],
    metrics: Output[Metrics],
):
    """Copies the release and its index into the workspace, verifies them and moves `current`.

    Args:
        config: the sections that the step reads, JSON.
        workspace: path of the workspace.
        release: output of `package_release`.
        features: output of `build_features`; refills Feast where it does not answer for this release.
        index: the release's index.
        metrics: times and counts.
    """
    from souk.progress import record, step_process

    with step_process("Feast and Milvus"):
        from souk.steps.deploy import deploy as run

        record(metrics, run(config, workspace, release.path, features.path, index.path))
