"""Writes a first dataset config from your own files: every guess is in it, to be looked at (docs/data.md)."""

from __future__ import annotations

import argparse
from pathlib import Path

from souk.config import DatasetConfig, parse_config
from souk.workspace import Workspace


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--events", required=True, metavar="FILE", help="who did what with which item, and when")
    parser.add_argument("--items", metavar="FILE", help="what the items are")
    parser.add_argument("--users", metavar="FILE", help="who the users are")
    parser.add_argument("--output", required=True, metavar="FILE", help="the config to write")
    parser.add_argument("--name", default="", help="name of the data set (default: that of the output file)")
    parser.add_argument("--force", action="store_true", help="replace the output file if it exists")


def run(arguments: argparse.Namespace) -> int:
    from souk.ingest.first_config import first_config, write_config

    output = Path(arguments.output)
    text = first_config(arguments.events, arguments.items, arguments.users, arguments.name or output.stem)
    write_config(text, output, arguments.force)
    print(text)
    print(f"Written to {output}. Look at the guesses, then: souk run --config {output}{_workspace(parse_config(text))}")
    return 0


def _workspace(config: DatasetConfig) -> str:
    """The option that keeps a data set out of a workspace that serves another."""
    usual = Workspace(Path(".souk"))
    other = usual.current_release().rpartition("-")[0] not in ("", config.name)
    return f" --workspace {usual.root}-{config.name}" if other else ""
