"""`python -m benchmarks.serving`: as benchmarks.serving says, with rates and words for `souk serve` of one's choice.

With --swap, --hang or --burst it tells what clients see while that happens (benchmarks.serving.faults, .hangs, .burst).
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks.__main__ import table, write
from benchmarks.serving import RATES, SECONDS, K, measured
from benchmarks.serving.burst import burst
from benchmarks.serving.faults import swap
from benchmarks.serving.hangs import PARTS, hang
from souk.workspace import Workspace


def main() -> None:
    """Reads the arguments, measures, prints, and writes `benchmarks/results/serving.json` or that of what happens."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--workspace", type=Path, required=True, help="with a release, and the tables of its run")
    parser.add_argument(
        "--rates",
        default=",".join(f"{rate:g}" for rate in RATES),
        help="requests a second; the first, with --swap or --hang",
    )
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each rate, or stretch of time")
    parser.add_argument("--k", type=int, default=K, help="items of a slate")
    parser.add_argument(
        "--servers", type=int, default=1, help="that share the rate, as replicas do; also with a core for each"
    )
    parser.add_argument("--workers", type=int, default=1, help="of each server (`souk serve --workers`)")
    parser.add_argument("serve", nargs="*", help="more words for `souk serve`, behind --")
    fault = parser.add_mutually_exclusive_group()
    fault.add_argument("--swap", action="store_true", help="another release becomes current, and the first again")
    fault.add_argument("--hang", nargs="*", choices=list(PARTS), help="each of these hangs, and goes on; all if none")
    fault.add_argument("--burst", action="store_true", help="three times as much is asked as can be answered")
    given = parser.parse_args()
    if given.workers > 1 and (given.servers > 1 or given.swap or given.burst or given.hang is not None):
        parser.error("--workers is of one server under even load: not with --servers, --swap, --hang or --burst")
    workspace, rates = given.workspace.resolve(), [float(rate) for rate in given.rates.split(",")]
    alone = "servers" if given.servers > 1 else "workers" if given.workers > 1 else "serving"
    name = "swap" if given.swap else "burst" if given.burst else alone if given.hang is None else "hang"
    with tempfile.TemporaryDirectory(prefix="souk-benchmarks-") as folder:
        scratch = Path(folder)
        if name == alone:
            several = given.servers, given.workers
            rows = measured(workspace, scratch, rates, given.seconds, given.k, given.serve, *several)
        elif name == "swap":
            rows = swap(workspace, scratch, rates[0], given.seconds, given.serve)
        elif name == "burst":
            rows = burst(workspace, given.seconds, given.serve)
        else:
            rows = hang(workspace, scratch, rates[0], given.seconds, given.serve, given.hang)
    print(table(rows))
    write(name, rows, Workspace(workspace).current_release())


if __name__ == "__main__":
    main()
