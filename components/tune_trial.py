"""Step `tune_trial`: towers and ranker with some settings, measured on the validation window."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Metrics, Output

from components.images import image


@dsl.component(base_image=image("train"), packages_to_install=[], install_kfp_package=False)
def tune_trial(
    train_two_tower_config: str,
    train_ranker_config: str,
    package_release_config: str,
    trial: str,
    epochs: int,
    workspace: str,
    features: Input[Dataset],
    result: Output[Artifact],
    metrics: Output[Metrics],
):
    """Tries settings; a trial that fails says so in its result, and is tried again in the next run.

    Args:
        train_two_tower_config: the sections that the step reads, JSON; likewise the ranker's.
        package_release_config: the same of `package_release`: how slates are served.
        trial: its number and settings, JSON.
        epochs: overrides the config's; 0 takes the config's.
        workspace: holds checkpoints while it runs.
        features: output of `build_features`.
        result: what came of it, by user.
        metrics: its figures; left unwritten where there are none, so that kfp.local does not cache the task.
    """
    from souk.progress import record, step_process
    from souk.steps.tune_trial import tune_trial as run

    with step_process():
        sections = (train_two_tower_config, train_ranker_config, package_release_config)
        values = run(*sections, trial, epochs, workspace, features.path, result.path)
        if values is not None:
            record(metrics, values)
