"""Exit task `report_run`: how the run ended, into the workspace."""

from kfp import dsl
from kfp.dsl import PipelineTaskFinalStatus

from components.images import image


@dsl.component(base_image=image("preprocess"), packages_to_install=[], install_kfp_package=False)
def report_run(run: str, name: str, workspace: str, status: PipelineTaskFinalStatus):
    """Writes `runs/<run>.json`, whether the run succeeded or not.

    Args:
        run: what names this run alone.
        name: what people call it.
        workspace: path of the workspace.
        status: given by KFP.
    """
    from souk.steps.report_run import report_run as write

    write(run, name, workspace, status.state, status.error_message or "")
