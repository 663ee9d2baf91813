"""Measures a release again: its twin on the test window, beside baselines and, with --against, another release
(docs/evaluation.md)."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from souk import outputs
from souk.cli import options
from souk.cli.quiet import load_tensorflow, quiet_loading
from souk.config import load_config
from souk.errors import SoukError
from souk.release.pointer import release_folder
from souk.workspace import Workspace


def configure(parser: argparse.ArgumentParser) -> None:
    options.add_workspace(parser)
    parser.add_argument(
        "release", nargs="?", default="current", metavar="RELEASE", help="its name (default: the current one)"
    )
    parser.add_argument("--against", default="", metavar="RELEASE", help="another one, which stands as the champion")
    parser.add_argument(
        "--config",
        default="",
        metavar="FILE",
        help="a dataset config, whose section evaluate sets the protocol's bounds (default: those that the release was "
        "judged by)",
    )
    parser.add_argument(
        "--tables", default="", metavar="DIR", help="output of ingest (default: that of the workspace's runs)"
    )
    parser.add_argument("--features", default="", metavar="DIR", help="output of build_features (default: the same)")
    parser.add_argument(
        "--output", default="", metavar="DIR", help="metrics and report (default: reports/RELEASE-evaluation)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Prints the table; returns 0."""
    if bool(arguments.tables) != bool(arguments.features):
        raise SoukError("--tables and --features together", "one of them", "Give both, or neither.")
    settings = load_config(arguments.config).evaluate if arguments.config else None
    workspace = Workspace(Path(arguments.workspace))
    name = release_folder(workspace, arguments.release).name
    if arguments.against:
        release_folder(workspace, arguments.against)
    output = Path(arguments.output) if arguments.output else workspace.reports / f"{name}-evaluation"
    outputs.free_folder(output)
    print(f"loading {name}", file=sys.stderr, flush=True)
    load_tensorflow()
    with quiet_loading():
        from souk.evaluation.of_release import Artifacts, evaluate_release
        from souk.evaluation.report import summary, write_evaluation

    artifacts = Artifacts(Path(arguments.tables), Path(arguments.features)) if arguments.tables else None
    metrics, per_user = evaluate_release(workspace, name, arguments.against, artifacts, settings, tell=_tell)
    write_evaluation(output, metrics, per_user, None)
    print(f"{name}\n\n{summary(metrics, None)}\nreport    {output / 'report.html'}")
    return 0


def _tell(text: str) -> None:
    print(text, flush=True)
