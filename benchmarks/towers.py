"""What a setting of the towers is worth: retrieval on the validation window, and targets a second.

    python -m benchmarks.towers FEATURES [KEY=VALUE ...]

FEATURES is a folder of `build_features`. The towers are fitted up to the start of the validation window with the
defaults and the given values of `train_two_tower`, `layers=1 epochs=12` for instance. The test window is not looked at.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import yaml

from souk.config import TrainTwoTower
from souk.features.transform import load_transform
from souk.features.windows import read_windows
from souk.models.draw import draw_examples
from souk.models.fit_towers import TowerFit, new_towers
from souk.models.inputs import read_transformed
from souk.models.judge import RetrievalJudge
from souk.models.sequences import Sequences, read_catalogue
from souk.models.towers import TowerShape
from souk.spec import Entity, read_spec

MOMENTS = 6000  # of the window: a draw where there are more


def main() -> None:
    """Reads the arguments and fits."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.towers", description="Worth of a setting.")
    parser.add_argument("features", type=Path)
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE")
    given = parser.parse_args()
    values = {name: yaml.safe_load(value) for name, value in (each.split("=", 1) for each in given.settings)}
    fit(given.features, TrainTwoTower.model_validate(values))


def fit(features: Path, settings: TrainTwoTower) -> None:
    """Fits towers and prints a line an epoch."""
    spec, windows = read_spec(features / "spec.json"), read_windows(features / "windows.json")
    transforms = {str(entity): load_transform(features, entity) for entity in Entity}
    catalogue = read_catalogue(features, spec, transforms["item"])
    sequences = Sequences.open(features, spec, transforms, catalogue.ids)
    model = new_towers(settings, sequences, catalogue, TowerShape(read_transformed(features), spec.history_length))
    examples = draw_examples(features, windows.validation_start, windows.test_start, settings.seed)
    judge = RetrievalJudge(features, examples, catalogue, sequences, settings.seed, MOMENTS)
    targets = int(sequences.trained(windows.validation_start).frequency.sum())
    began = time.process_time()
    history = TowerFit(model, sequences, catalogue, settings).fit(
        windows.validation_start, settings.epochs, print, judge
    )
    seconds = sum(epoch["seconds"] for epoch in history)
    print(
        f"{targets * len(history) / seconds:,.0f} targets a second; {time.process_time() - began:,.0f} s of processor"
    )


if __name__ == "__main__":
    main()
