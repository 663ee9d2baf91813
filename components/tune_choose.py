"""Step `tune_choose`: the best of all trials."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Input, Markdown, Metrics, Output

from components.images import image


@dsl.component(base_image=image("train"), packages_to_install=[], install_kfp_package=False)
def tune_choose(
    first: Input[list[Artifact]],
    second: Input[list[Artifact]],
    chosen: Output[Artifact],
    summary: Output[Markdown],
    report: Output[HTML],
    metrics: Output[Metrics],
):
    """Chooses the settings that did best on the validation window.

    Args:
        first: results of the first round.
        second: results of the second round.
        chosen: the settings, and their gain over the config as it is.
        summary: a table of all trials.
        report: the same with plots.
        metrics: the gain and its interval.
    """
    from souk.progress import record, step_process
    from souk.steps.tune_choose import tune_choose as run

    with step_process():
        results = [result.path for result in [*first, *second]]
        record(metrics, run(results, chosen.path, summary.path, report.path))
