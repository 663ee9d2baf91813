"""Gives a release of the workspace its share of the requests of a cluster's InferenceService: promotes it, widens a
canary, or goes back to an earlier release."""

from __future__ import annotations

import argparse
from pathlib import Path

from souk.cli import options
from souk.config import load_config
from souk.workspace import Workspace


def configure(parser: argparse.ArgumentParser) -> None:
    options.add_workspace(parser)
    parser.add_argument("--config", required=True, metavar="FILE", help="the dataset config, with a section rollout")
    parser.add_argument("--release", required=True, metavar="NAME", help="a release of the workspace")
    parser.add_argument(
        "--canary-percent", type=percent, default=0, metavar="N", help="its share of requests, 1 to 99 (default: all)"
    )
    parser.add_argument(
        "--force-conflicts", action="store_true", help="take over fields that somebody else manages (kubectl, helm)"
    )


def percent(text: str) -> int:
    """A whole number from 1 to 99."""
    if not text.isdecimal() or not 1 <= int(text) <= 99:
        remedy = "without the option it gets all; to end a canary, deploy the release that is to have its requests"
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 to 99, received {text!r}: {remedy}")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    config = load_config(arguments.config)

    from souk.release.rollout import deploy_text

    share = arguments.release, arguments.canary_percent, arguments.force_conflicts
    print(deploy_text(Workspace(Path(arguments.workspace)), config.rollout, config.online_store, *share))
    return 0
