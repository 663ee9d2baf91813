"""Options that several commands share."""

from __future__ import annotations

import argparse


def add_workspace(parser: argparse.ArgumentParser, default: str = ".souk") -> None:
    parser.add_argument(
        "--workspace", default=default, metavar="DIR", help="the folder of releases (default: %(default)s)"
    )


def at_least_one(text: str) -> int:
    """A whole number above 0."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, received {text!r}")
    return int(text)


def add_pipeline(parser: argparse.ArgumentParser) -> None:
    """What a pipeline run can be told beside its config."""
    parser.add_argument("--config", required=True, metavar="FILE", help="the dataset config (docs/data.md)")
    parser.add_argument(
        "--epochs", type=at_least_one, default=0, metavar="N", help="epochs of the towers, instead of the config's"
    )
    parser.add_argument(
        "--gate-margin", type=float, metavar="X", help="margin over the champion, instead of the config's"
    )
    parser.add_argument(
        "--beam-runner", default="FnApiRunner", metavar="NAME", help="Beam runner (default: %(default)s)"
    )
    parser.add_argument(
        "--beam-options", default="", metavar="TEXT", help='Beam options, as "--flink_master=host:8081 --parallelism=8"'
    )
