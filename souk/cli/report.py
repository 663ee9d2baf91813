"""Where the evaluation report of a release lies; with --open, in the browser."""

from __future__ import annotations

import argparse
import sys
import webbrowser
from pathlib import Path

from souk.cli import options
from souk.errors import SoukError
from souk.release.pointer import release_folder
from souk.workspace import Workspace


def configure(parser: argparse.ArgumentParser) -> None:
    options.add_workspace(parser)
    parser.add_argument(
        "release", nargs="?", default="current", metavar="RELEASE", help="its name (default: the current one)"
    )
    parser.add_argument("--open", action="store_true", help="show it in the browser of this machine")


def run(arguments: argparse.Namespace) -> int:
    """Prints the path of the page; returns 0."""
    folder = release_folder(Workspace(Path(arguments.workspace)), arguments.release)
    page = folder / "evaluation" / "report.html"
    if not page.is_file():
        raise SoukError(f"a report in {folder}", "none", f"Measure it again: souk evaluate {folder.name}")
    print(page)
    if arguments.open and not webbrowser.open(page.resolve().as_uri()):
        print("souk report: no browser here; open the file yourself", file=sys.stderr)
    return 0
