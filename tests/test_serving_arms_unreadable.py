"""An experiments file that cannot be read is refused with the reason."""

import os

import pytest

from tests.arms_fixtures import arms_of, write
from tests.serving_fixtures import write_workspace

TEXT = "experiments: {e: {arms: {a: {share: 0.5}, b: {share: 0.5, weights: {engaged: 2}}}}}"


def latin(path):
    path.write_bytes(f"# schön\n{TEXT}".encode("latin-1"))


def folder(path):
    """As a volume that is mounted wrongly; whoever runs the tests may read whatever has another owner."""
    path.unlink()
    path.mkdir()


def pipe(path):
    """To open one waits for a writer, for ever."""
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [(latin, "Save it as UTF-8"), (folder, "Received: something else"), (pipe, "Received: something else")],
)
def test_a_file_that_cannot_be_read_is_refused_once_with_the_reason(tmp_path, caplog, spoil, why):
    workspace = write_workspace(tmp_path / "workspace")
    arms = arms_of(workspace, TEXT)
    spoil(workspace.experiments)
    assert not arms.look() and not arms.look() and (arms.taken, arms.refused, arms.rejected) == (1, 1, True)
    assert why in caplog.text and "mapping of sections" not in caplog.text and "Traceback" not in caplog.text
    assert list(arms.now.plan.experiments) == ["e"]
    if workspace.experiments.is_dir():
        workspace.experiments.rmdir()
    workspace.experiments.unlink(missing_ok=True)
    write(workspace, TEXT)
    assert arms.look() and not arms.rejected
