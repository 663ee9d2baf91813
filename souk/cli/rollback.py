"""Makes an earlier release the current one again; servers that are started afterwards serve it."""

from __future__ import annotations

import argparse
from pathlib import Path

from souk.cli import options
from souk.workspace import Workspace


def configure(parser: argparse.ArgumentParser) -> None:
    options.add_workspace(parser)
    parser.add_argument("name", nargs="?", default="", metavar="NAME", help="which one (default: the one before)")


def run(arguments: argparse.Namespace) -> int:
    from souk.release import commands

    print(commands.rollback_text(Workspace(Path(arguments.workspace)), arguments.name))
    return 0
