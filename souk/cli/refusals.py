"""What a run of a pipeline on this machine refuses before anything runs."""

from __future__ import annotations

from souk.cli.options import BEAM_RUNNER
from souk.errors import SoukError
from souk.workspace import Workspace

PATTERN = frozenset("*?[")  # signs that Apache Beam takes in a path for those of a pattern


def check_workspace(workspace: Workspace, dataset: str) -> None:
    """Refuses a workspace that serves another data set: the gate could compare nothing, after all the training. And one
    whose files Beam would not find."""
    path = str(workspace.root.resolve())
    if not PATTERN.isdisjoint(path):
        remedy = "Apache Beam reads these signs as a pattern of names: give another --workspace."
        raise SoukError("a workspace without *, ? or [ in its path", path, remedy)
    served = workspace.current_release()
    if served and served.rpartition("-")[0] != dataset:
        remedy = f"Give each data set its own: --workspace {workspace.root}-{dataset}"
        raise SoukError(f"a workspace of the data set {dataset}", f"{workspace.root}, which serves {served}", remedy)


def check_beam_runner(name: str) -> None:
    """Refuses a runner that Beam does not know.

    `souk submit` does not ask: it sends to where Beam is, from where Beam need not be.
    """
    if name != BEAM_RUNNER:
        from souk.features.runner import Runner  # Beam takes seconds to import

        Runner.parse(name, "").check()
