"""Outside tools that a test needs: a counted skip where one is absent, a failure under CI."""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

TOOLS = Path(__file__).parents[1] / ".tools" / "bin"  # where `make tools` puts helm and kubectl


def require(tool: str, how_to_install: str) -> str:
    """Finds an outside `tool` (helm, redis-server, ...) for the test or fixture that calls this.

    Args:
        tool: the name of the program.
        how_to_install: one command or sentence; shown where the program is absent.

    Returns:
        The program's path. Without the program the test is skipped, and fails where CI is set: CI installs everything,
        so a skip there would hide a test that no one runs.
    """
    path = os.pathsep.join([str(TOOLS), os.environ.get("PATH", "")])
    return shutil.which(tool, path=path) or absent(tool, how_to_install)


def absent(what: str, how_to_install: str) -> NoReturn:
    """Ends the calling test: skipped here, failed under CI. For what is no program, a running service for instance."""
    message = f"{what} is absent; to run this test: {how_to_install}"
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(f"{message} (CI must have it)", pytrace=False)
    pytest.skip(message)
