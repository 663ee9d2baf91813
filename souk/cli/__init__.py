"""The `souk` command. Each group of commands has a file, imported when it is asked for."""

from __future__ import annotations

import argparse
import importlib
import os
import re
import signal
import sys
import traceback
from collections.abc import Sequence
from contextlib import nullcontext

import souk
from souk.cli import extras
from souk.cli.ending import EndedBySignal, in_order
from souk.cli.options import Parser
from souk.errors import SoukError, Unanswered, nearest, of_disk

# Command: its module, and what `souk --help` says. A module has `configure(parser)` and `run(arguments) -> exit code`.
COMMANDS = {
    "init": ("souk.cli.init", "write a first config from your own files"),
    "check": ("souk.cli.check", "read and check the data as a run would, and train nothing"),
    "run": ("souk.cli.run", "train, judge and deploy on this machine, through the compiled pipeline"),
    "tune": ("souk.cli.tune", "search better settings on the validation window, and write them as a config"),
    "submit": ("souk.cli.submit", "send the compiled pipeline to a Kubeflow Pipelines server"),
    "serve": ("souk.cli.serve", "answer recommendation requests over HTTP and gRPC"),
    "recommend": ("souk.cli.recommend", "answer a file of requests"),
    "items": ("souk.cli.items", "give new or changed items to a running server"),
    "users": ("souk.cli.users", "put the user states of the newest run where they are served from"),
    "explain": ("souk.cli.explain", "why a user is shown an item"),
    "experiment": ("souk.cli.experiment", "try arms on shares of the users, and see what came of them"),
    "replay": ("souk.cli.replay", "ask another release what was logged, and see what would be different"),
    "demo": ("souk.cli.demo", "serve the current release for three shown requests"),
    "simulate": ("souk.cli.simulate", "make a marketplace whose truth is known, or score slates with it"),
    "drift-demo": ("souk.cli.drift_demo", "show the drift detector quiet, then alarmed (make drift-demo)"),
    "evaluate": ("souk.cli.evaluate", "measure a release again, beside baselines or another one"),
    "report": ("souk.cli.report", "where the evaluation report of a release lies"),
    "release": ("souk.cli.release", "list, show, verify or compare releases"),
    "deploy": ("souk.cli.deploy", "give a release its share of the requests in a cluster"),
    "rollback": ("souk.cli.rollback", "serve an earlier release again"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code: 0 done, 1 a step failed, 2 something to mend in what was given."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words and words[0] in COMMANDS:
        return _run(words[0], words[1:])
    overview = Parser(
        prog="souk",
        description="Souk, a marketplace recommender: from events to served slates.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="commands:\n" + "\n".join(f"  {name:<10} {text}" for name, (_, text) in COMMANDS.items()),
    )
    overview.add_argument("--version", action="version", version=f"souk {souk.__version__}")
    overview.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="`souk COMMAND --help` tells more")
    overview.parse_args(words)
    return 2


def _run(command: str, words: list[str]) -> int:
    try:
        with nullcontext() if command == "serve" else in_order():  # a server has its own way to end
            return _done(command, words)
    except KeyboardInterrupt as error:  # also of who is impatient with the imports
        number = error.number if isinstance(error, EndedBySignal) else signal.SIGINT
        how = "interrupted" if number == signal.SIGINT else f"ended by {number.name}"
        kept = ". What is done is kept: the same command goes on with it" if command in ("run", "tune") else ""
        print(f"\nsouk {command}: {how}{kept}", file=sys.stderr)
        return 128 + number


def _done(command: str, words: list[str]) -> int:
    module = importlib.import_module(COMMANDS[command][0])
    parser = Parser(prog=f"souk {command}", description=module.__doc__)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    module.configure(parser)
    arguments, strange = parser.parse_known_args(words)
    arguments.debug |= "--debug" in strange  # after an action, whose own parser does not know it
    strange = [word for word in strange if word != "--debug"]
    if strange:
        meant = nearest(strange[0].partition("=")[0], re.findall(r"--[\w-]+", parser.format_help()))
        parser.error(f"unrecognized arguments: {' '.join(strange)}{f'. {meant}' if meant else ''}")
    try:
        extras.require(command)
        code = int(module.run(arguments))
        sys.stdout.flush()  # what reads it may have gone (`| head`), and at the exit nobody could say so
        return code
    except (SoukError, Unanswered) as error:
        return _refused(command, error, arguments.debug)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the exit flushes once more
        return 128 + signal.SIGPIPE
    except OSError as error:
        return _refused(command, of_disk(error), arguments.debug)


def _refused(command: str, error: Exception, debug: bool) -> int:
    """Tells the error that is being handled, and gives the exit code, which a traceback does not change."""
    if debug:
        traceback.print_exc()
    print(f"souk {command}: {error}", file=sys.stderr)
    return 2
