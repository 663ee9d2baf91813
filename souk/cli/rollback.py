"""Makes an earlier release the current one again: running servers follow it, and those that are started serve it."""

from __future__ import annotations

import argparse
from pathlib import Path

from souk.cli import options
from souk.workspace import Workspace


def configure(parser: argparse.ArgumentParser) -> None:
    options.add_workspace(parser)
    parser.add_argument("name", nargs="?", type=_named, metavar="NAME", help="which one (default: the one before)")


def run(arguments: argparse.Namespace) -> int:
    from souk.release.pointer import rollback  # and nothing more: who goes back is in a hurry

    before, now = rollback(Workspace(Path(arguments.workspace)), arguments.name or "")
    print(f"{before or 'nothing'} -> {now}")
    return 0


def _named(text: str) -> str:
    """A name: of a variable that is empty, the default would go back one release."""
    if not text.strip():
        raise argparse.ArgumentTypeError("expected the name of a release, received an empty text")
    return text
