"""Makes an earlier release the current one again: running servers follow it, and those that are started serve it."""

from __future__ import annotations

import argparse
from pathlib import Path

from souk.cli import options
from souk.workspace import Workspace


def configure(parser: argparse.ArgumentParser) -> None:
    options.add_workspace(parser)
    parser.add_argument("name", nargs="?", default="", metavar="NAME", help="which one (default: the one before)")


def run(arguments: argparse.Namespace) -> int:
    from souk.release.pointer import rollback  # and nothing more: who goes back is in a hurry

    workspace = Workspace(Path(arguments.workspace))
    before = workspace.current_release()
    print(f"{before or 'nothing'} -> {rollback(workspace, arguments.name)}")
    return 0
