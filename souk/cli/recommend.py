"""Answers a file of requests, one JSON object a line: one line out for each request, in order (docs/serving.md)."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from souk import outputs
from souk.cli import options
from souk.cli.quiet import load_tensorflow, quiet_loading
from souk.workspace import Workspace


def configure(parser: argparse.ArgumentParser) -> None:
    options.add_workspace(parser)
    parser.add_argument(
        "--requests",
        required=True,
        metavar="FILE",
        help="JSON lines, - for those of standard input: user_id, and what else is known",
    )
    parser.add_argument("--output", required=True, metavar="FILE", help="JSON lines: user_id, items, scores, or error")
    parser.add_argument(
        "--k", type=options.at_least_one, metavar="N", help="items for lines that do not say (default: the release's)"
    )
    parser.add_argument(
        "--release", default="", metavar="R", help="a release's name or folder, instead of the current one"
    )


def run(arguments: argparse.Namespace) -> int:
    """Returns 0, also where some lines had errors: they stand in the output."""
    requests = "/dev/stdin" if arguments.requests == "-" else arguments.requests
    with open(requests, "rb"):  # what cannot be read is told before models are
        pass
    outputs.free_file(arguments.output, outputs.ANSWERS)
    folder = Workspace(Path(arguments.workspace)).served_folder(arguments.release)
    print(f"loading {folder.name}", file=sys.stderr, flush=True)
    load_tensorflow()
    with quiet_loading():
        from souk.serving.batch import recommend_file

    began = time.monotonic()
    counts = recommend_file(
        workspace=arguments.workspace,
        requests=requests,
        output=arguments.output,
        now=time.time_ns() // 1_000_000,
        k=arguments.k,
        release=arguments.release,
        report=lambda text: print(text, file=sys.stderr, flush=True),
    )
    seconds = time.monotonic() - began
    refused = f", {counts['refused']:,} lines with an error" if counts["refused"] else ""
    empty = f" ({counts['empty']:,} without an item: see their `degraded`)" if counts["empty"] else ""
    print(f"{counts['answered']:,} answered{empty}{refused} in {seconds:.1f} s: {arguments.output}")
    return int(counts["refused"] > 0 and not counts["answered"])
