"""Step `evaluate`: the challenger beside the baselines and the champion, and the gate's verdict."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Markdown, Metrics, Model, Output

from components.images import image


@dsl.component(base_image=image("train"), packages_to_install=[], install_kfp_package=False)
def evaluate(
    config: str,
    gate_margin: str,
    champion: str,
    champion_condition: str,
    workspace: str,
    tables: Input[Dataset],
    features: Input[Dataset],
    towers: Input[Model],
    ranker: Input[Model],
    index: Input[Artifact],
    twin: Output[Model],
    report: Output[HTML],
    summary: Output[Markdown],
    evaluation: Output[Artifact],
    metrics: Output[Metrics],
) -> str:
    """Ranks the full catalogue for the test window's queries and returns the gate's verdict.

    The verdict has KFP's own name `Output`: kfp.local 2.17 finds no other in a condition.

    Args:
        config: the sections that the step reads, JSON.
        gate_margin: overrides the config's `evaluate.margin`; "" takes the config's.
        champion: name of the release that is served; "" for the workspace's current one, if there is any.
        champion_condition: a digest of its files and whether they are whole; makes another champion a changed step, and
            says that `champion` is the current one. "" where nobody looked.
        workspace: path of the workspace, which holds the champion.
        tables: output of `ingest`.
        features: output of `build_features`.
        towers: the twin's towers.
        ranker: the twin's ranker.
        index: the twin's index.
        twin: the challenger as a bundle.
        report: tables and plots.
        summary: the same in short.
        evaluation: `metrics.json` and what a release keeps.
        metrics: the main figures.
    """
    from souk.config import with_value
    from souk.progress import record, step_process
    from souk.steps.evaluate import evaluate as run

    with step_process():
        judged = with_value(config, "evaluate", "margin", float(gate_margin)) if gate_margin else config
        inputs = (judged, champion, workspace, tables.path, features.path, towers.path, ranker.path, index.path)
        outputs = (twin.path, report.path, summary.path, evaluation.path)
        verdict, values = run(*inputs, *outputs, champion_condition)
        record(metrics, values)
    return verdict
