"""Writes a first dataset config from your own files: every guess is in it, to be looked at (docs/data.md)."""

from __future__ import annotations

import argparse
import functools
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from souk.config import parse_config

TABLES = ("events", "items", "users")
SHOWN = 10  # event types in a line


class Once(argparse.Action):
    """An option that is given once: of two files the first would be lost without a word."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, *_: Any) -> None:
        if given := getattr(namespace, self.dest):
            parser.error(
                f"Expected one {self.option_strings[0]}. Received: {given} and {values}. Put the files into "
                "one folder, or give a glob in quotes."
            )
        setattr(namespace, self.dest, values)


def configure(parser: argparse.ArgumentParser) -> None:
    many = "; a file, a folder of files or a glob"
    told = {"events": "who did what with which item, and when", "items": "what the items are", "users": "who users are"}
    for table, what in told.items():
        required = table == "events"
        parser.add_argument(f"--{table}", required=required, action=Once, metavar="FILE", help=what + many)
    for table in TABLES:
        names = (
            f"names of its columns, with commas between, where the file of {table} has no line of them; `first`: it has"
        )
        parser.add_argument(f"--{table}-header", metavar="NAMES", default="", help=names)
    parser.add_argument("--output", required=True, metavar="FILE", help="the config to write")
    parser.add_argument("--name", default="", help="name of the data set (default: that of the output file)")
    parser.add_argument("--force", action="store_true", help="replace the output file if it exists")


def run(arguments: argparse.Namespace) -> int:
    from souk.ingest.guess.config_file import free_config, write_config
    from souk.ingest.guess.first_config import first_config

    output = Path(arguments.output)
    inputs = [path for path in (arguments.events, arguments.items, arguments.users) if path]
    free_config(output, arguments.force, inputs)  # before files are read for minutes
    given = {table: getattr(arguments, f"{table}_header") for table in TABLES}
    headers = {table: [name.strip() for name in names.split(",")] for table, names in given.items() if names}
    name, tell = arguments.name or output.stem, functools.partial(print, file=sys.stderr, flush=True)
    first = first_config(arguments.events, arguments.items, arguments.users, name, headers, tell)
    write_config(first.text, output, arguments.force, inputs)
    print(first.text)
    # A workspace of its own holds one data set.
    data = f"--config {shlex.quote(str(output))} --workspace .souk-{parse_config(first.text).name}"
    seen = f"Look at the guesses; `souk check {data}` tells what a run would find."
    groups = f"{first.groups}. " if first.groups else ""
    doubts = (
        f"{groups}{_exchanged(first.exchanged)}{_untyped(first.untyped)}{_doubts(first.unknown)}{_steps(first.steps)}"
    )
    left_out = "".join(f"LEFT OUT BY skip: {why}. " for why in first.left_out)
    print(f"Written to {output}. {_refused(first.refused)}{doubts}{left_out}{seen} Then: souk run {data}")
    return 0


def _refused(shares: str) -> str:
    """The sentence on what the contract refuses where that is most of a table, with a space after it; "" elsewhere."""
    return f"THE CONTRACT REFUSES {shares}: A COLUMN IS NOT WHAT IT SEEMS; mend it, then run. " if shares else ""


def _exchanged(why: str) -> str:
    """The sentence on files that may be in each other's place, with a space after it; "" where nothing says so."""
    return f"ARE --items AND --users EXCHANGED? {why}. " if why else ""


def _untyped(why: str) -> str:
    """The sentence on events that are all of one type, with a space after it; "" where nothing is to be looked at."""
    return f"EVERY EVENT IS TAKEN FOR A{'N' * why.startswith('I')} {why}. " if why else ""


def _doubts(unknown: Sequence[str]) -> str:
    """The sentence on event types that no word tells, with a space after it; "" where there are none."""
    if not unknown:
        return ""
    shown = ", ".join(unknown[:SHOWN]) + (f" and {len(unknown) - SHOWN} more" if len(unknown) > SHOWN else "")
    remedy = "say what they are under event_types, and then what engages and satisfies"
    return f"NOT KNOWN and taken for clicks: the event types {shown}; {remedy}. "


def _steps(why: str) -> str:
    """The sentence on the steps of a visit that do not engage, with a space after it; "" where there are none."""
    what, _, shares = why.partition(":")
    return f"{what.upper()}:{shares}. " if why else ""
