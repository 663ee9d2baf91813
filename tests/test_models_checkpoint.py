"""A fit that is killed goes on where it was and ends as it would have; one that diverges says where to go on."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from souk.config import parse_config
from souk.features.pipeline import Runner, build
from souk.models.checkpoint import Checkpoint
from souk.models.fit_towers import FEWEST_EPOCHS, MOST_EPOCHS, SEEN, epochs_for
from tests.features_fixtures import CONFIG, bazaar_events, spec_of, write_tables

FIT = """
import sys
from pathlib import Path
import tensorflow as tf
from souk.config import TrainTwoTower
from souk.features.transform import load_transform
from souk.models.fit_towers import TowerFit, new_towers
from souk.features.windows import read_windows
from souk.models.inputs import read_transformed
from souk.models.judge import RetrievalJudge
from souk.models.retrieve import draw_examples
from souk.models.sequences import Sequences, read_catalogue
from souk.models.towers import TowerShape
from souk.models.weights import save_weights
from souk.spec import Entity, read_spec

features, checkpoints, weights = sys.argv[1:]
tf.config.experimental.enable_op_determinism()
config = TrainTwoTower(dim=16, layers=1, batch_rows=4, negatives=1, learning_rate=1e-2)
spec = read_spec(f"{features}/spec.json")
transforms = {str(entity): load_transform(features, entity) for entity in Entity}
catalogue = read_catalogue(features, spec, transforms["item"])
sequences = Sequences.open(features, spec, transforms, catalogue.ids)
model = new_towers(config, sequences, catalogue, TowerShape(read_transformed(features), spec.history_length))
fit = TowerFit(model, sequences, catalogue, config, Path(checkpoints) if checkpoints else None)
windows = read_windows(f"{features}/windows.json")
examples = draw_examples(features, windows.test_start, windows.end, 1)
judge = RetrievalJudge(features, examples, catalogue, sequences, 1)
told = lambda line: print(line, flush=True)
fit.fit(windows.end, 3, told, judge)
fit.refresh(windows.end, 16, told)  # four passes: a quarter
save_weights(weights, model)
"""


def test_what_was_saved_is_there_again(tmp_path):
    checkpoint = Checkpoint(tmp_path / "deep" / "fit.npz")
    assert checkpoint.load() == ({}, None)
    checkpoint.save({"a/b": np.arange(3), "c": np.ones((2, 2))}, [{"loss": 1.5}])
    arrays, progress = checkpoint.load()
    assert progress == [{"loss": 1.5}]
    assert sorted(arrays) == ["a/b", "c"]
    np.testing.assert_array_equal(arrays["a/b"], np.arange(3))
    (tmp_path / "deep" / "fit.npz").write_bytes(b"PK half a file")
    assert checkpoint.load() == ({}, None)


def test_a_small_data_set_is_learned_in_more_passes_than_a_large_one():
    assert epochs_for(1) == MOST_EPOCHS
    assert epochs_for(SEEN // 10) == 10
    assert epochs_for(SEEN) == FEWEST_EPOCHS


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bazaar")
    config = parse_config(CONFIG)
    tables = write_tables(folder / "tables", bazaar_events(users=12, events=600))
    build(tables, folder / "features", spec_of(config), config.split, Runner())
    return folder / "features"


def start(features, *paths):
    return subprocess.Popen(
        [sys.executable, "-c", FIT, str(features), *map(str, paths)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.getcwd(), "TF_CPP_MIN_LOG_LEVEL": "3"},
    )


@pytest.mark.slow
def test_a_killed_fit_goes_on_and_ends_as_one_that_was_not(features, tmp_path):
    whole = start(features, "", tmp_path / "whole.npz")
    assert whole.wait() == 0
    for kill_after in ("epoch 2/3", "epoch 1/4"):
        process = start(features, tmp_path / "checkpoints", tmp_path / "weights.npz")
        for line in process.stdout:
            if line.startswith(kill_after):
                break
        # the checkpoint of that epoch may be half written now: then the one before it counts
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (tmp_path / "weights.npz").exists()
    last = start(features, tmp_path / "checkpoints", tmp_path / "weights.npz")
    told = last.stdout.read()
    assert last.wait() == 0
    assert "goes on after epoch 3" in told  # the first fit is whole
    with np.load(tmp_path / "whole.npz") as expected, np.load(tmp_path / "weights.npz") as found:
        assert sorted(expected.files) == sorted(found.files)
        for name in expected.files:
            np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
