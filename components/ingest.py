"""Step `ingest`: read events, items and users; validate; quarantine bad rows."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Metrics, Output

from components.images import image


@dsl.component(base_image=image("preprocess"), packages_to_install=[], install_kfp_package=False)
def ingest(
    config: str,
    schema: str,
    fingerprint: str,
    workspace: str,
    tables: Output[Dataset],
    quarantine: Output[Artifact],
    report: Output[HTML],
    metrics: Output[Metrics],
):
    """Reads and validates the data; what passes becomes `tables`, what does not `quarantine`.

    Args:
        config: the sections that the step reads, JSON.
        schema: TFDV schemas to enforce by table, packed (souk.ingest.packed) or JSON; "" for those of the workspace,
            inferred where there are none.
        fingerprint: hash of the data's content; makes changed data a changed step.
        workspace: path of the workspace.
        tables: accepted rows.
        quarantine: refused rows with their reasons.
        report: statistics and refusals.
        metrics: rows read, accepted and quarantined.
    """
    from souk.progress import record, step_process
    from souk.steps.ingest import ingest as run

    with step_process():
        record(metrics, run(config, schema, workspace, tables.path, quarantine.path, report.path))
