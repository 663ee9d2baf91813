"""What a setting of the ranker is worth: `python -m benchmarks.ranker CONFIG FEATURES TOWERS [KEY=VALUE...]`.

Fits the ranker of the twin once for each seed, and prints the means of what held-out users of the validation window
say. The test window is not read. FEATURES and TOWERS are folders of `build_features` and `train_two_tower`; KEY=VALUE
sets a key of `train_ranker`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import yaml

from souk.config import load_config, with_value
from souk.steps.train_ranker import train_ranker


def main() -> None:
    """Reads the arguments, fits and prints."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ranker", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("features")
    parser.add_argument("towers")
    parser.add_argument("keys", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--seeds", type=int, default=3, help="each draws other held-out users")
    given = parser.parse_args()
    step = load_config(given.config).for_step("train_ranker")
    for key, _, value in (text.partition("=") for text in given.keys):
        step = with_value(step, "train_ranker", key, yaml.safe_load(value))
    told = []
    for seed in range(given.seeds):
        with tempfile.TemporaryDirectory() as folder:
            seeded = with_value(step, "train_ranker", "seed", seed)
            told.append(train_ranker(seeded, "twin", given.features, given.towers, folder))
    means = {name: round(float(np.nanmean([each[name] for each in told])), 5) for name in told[0]}
    print(json.dumps({"keys": given.keys, "seeds": given.seeds, **means}))


if __name__ == "__main__":
    main()
