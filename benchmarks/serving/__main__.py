"""`python -m benchmarks.serving`: as benchmarks.serving says, with rates and words for `souk serve` of one's choice."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks.__main__ import table, write
from benchmarks.serving import RATES, SECONDS, K, measured
from souk.workspace import Workspace


def main() -> None:
    """Reads the arguments, measures, prints, and writes `benchmarks/results/serving.json`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--workspace", type=Path, required=True, help="with a release, and the tables of its run")
    parser.add_argument("--rates", default=",".join(f"{rate:g}" for rate in RATES), help="requests a second")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each rate")
    parser.add_argument("--k", type=int, default=K, help="items of a slate")
    parser.add_argument("serve", nargs="*", help="more words for `souk serve`, behind --")
    given = parser.parse_args()
    rates = [float(rate) for rate in given.rates.split(",")]
    with tempfile.TemporaryDirectory(prefix="souk-benchmarks-") as scratch:
        rows = measured(given.workspace.resolve(), Path(scratch), rates, given.seconds, given.k, given.serve)
    print(table(rows))
    write("serving", rows, Workspace(given.workspace).current_release())


if __name__ == "__main__":
    main()
