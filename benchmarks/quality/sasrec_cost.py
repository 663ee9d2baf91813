"""How many targets a second, and a second of processor, RecTools' SASRec trains on: for `benchmarks.training_cost`, in
the peers' environment."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from benchmarks.quality.sasrec import SasRec
from benchmarks.quality.tuning import Asked
from souk.spec import read_spec

LOSSES = {"SASRec, full softmax": 0, "SASRec, 512 negatives to each target": 512}


def main() -> None:
    """Fits one warm pass and one that is timed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path, help="a folder with tables/ and features/")
    parser.add_argument("--length", type=int, required=True)
    parser.add_argument("--factors", type=int, required=True)
    given = parser.parse_args()
    asked = Asked.read(given.dataset, read_spec(given.dataset / "features" / "spec.json"), "validation", 1)
    past = asked.past
    targets = int(np.minimum(np.bincount(past.users) - 1, given.length).clip(0).sum())
    for name, negatives in LOSSES.items():
        model = SasRec(past, asked.histories, length=given.length, factors=given.factors, negatives=negatives)
        times = [(time.perf_counter(), time.process_time())]
        for _ in model.stages((1, 2)):
            times.append((time.perf_counter(), time.process_time()))
        seconds, processor = (late - early for early, late in zip(*times[-2:], strict=True))
        print(f"{name}\t{targets / seconds:.1f}\t{targets / processor:.1f}", flush=True)


if __name__ == "__main__":
    main()
