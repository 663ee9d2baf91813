"""A fit that is killed goes on where it was and ends as it would have; one that diverges says where to go on."""

import json
import operator
import os
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from souk.config import TrainRanker, parse_config
from souk.features.pipeline import build
from souk.features.runner import Runner
from souk.features.transform import load_transform
from souk.features.windows import read_windows
from souk.models.checkpoint import Checkpoints, digest_of_inputs, finished
from souk.models.draw import draw_examples
from souk.models.fit_towers import FEWEST_EPOCHS, MOST_EPOCHS, SEEN, epochs_for
from souk.models.retrieve import write_candidates
from souk.models.sequences import Sequences, read_catalogue
from souk.spec import Entity, read_spec
from souk.steps.train_ranker import train_ranker
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
from souk.models.draw import draw_examples
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
fit.refresh(windows.end, 20, told)  # five passes: a quarter
save_weights(weights, model)
"""

RANKER = """
import sys
from souk.models import fit_ranker, held_out
from souk.steps.train_ranker import train_ranker
fit_ranker.LEAST_STEPS = 1
held_out.HELD_OUT = 0.5
train_ranker(*sys.argv[1:])
"""


def test_the_layers_that_a_process_made_before_do_not_count(tmp_path):
    kept = Checkpoints(tmp_path)
    first, second = (keras.layers.Dense(2) for _ in range(2))
    for layer in (first, second):
        layer.build((None, 3))
    assert [v.path for v in first.variables] != [v.path for v in second.variables]
    kept.save(1, first.variables, {}, "saved")
    assert kept.resume(1, second.variables)[0] == "saved"
    np.testing.assert_array_equal(first.kernel.numpy(), second.kernel.numpy())


def test_what_was_saved_is_there_again(tmp_path):
    made = [tf.Variable(np.arange(3.0)), tf.Variable(np.ones((2, 2)))]
    kept, nothing = Checkpoints(tmp_path / "deep"), (None, {})
    assert kept.resume(1, made) == Checkpoints().resume(1, made) == nothing and kept.last() == ""
    kept.save(1, made, {"a/b": np.arange(2)}, [{"loss": 1.5}])
    again = [tf.Variable(tf.zeros_like(variable)) for variable in made]
    progress, best = kept.resume(1, again)
    assert progress == [{"loss": 1.5}]
    np.testing.assert_array_equal(best["a/b"], np.arange(2))
    for old, new in zip(made, again, strict=True):
        np.testing.assert_array_equal(old.numpy(), new.numpy())
    assert kept.resume(2, again) == kept.resume(1, again[:1]) == nothing
    assert "stage_1.npz" in kept.last()
    file = tmp_path / "deep" / "stage_1.npz"
    whole = file.read_bytes()
    method = whole.index(b"PK\x01\x02") + 10  # of packing, in the list of the archive's members
    other = whole[:method] + b"\x63" + whole[method + 1 :]
    for damaged in (b"PK half a file", b"", whole[: len(whole) // 2], other):
        file.write_bytes(damaged)
        assert kept.resume(1, again) == nothing


def test_a_pass_that_another_run_deletes_on_its_way_is_told_and_the_next_is_kept(tmp_path, monkeypatch, caplog):
    """Two runs with the same inputs have one folder; the one that is done first deletes it."""
    kept, made, write = Checkpoints(tmp_path / "fit"), [tf.Variable(np.arange(3.0))], np.savez

    def deleted(file, **arrays):
        write(file, **arrays)
        finished(tmp_path / "fit")

    monkeypatch.setattr(np, "savez", deleted)
    kept.save(1, made, {}, "first")
    assert "stage_1.npz" in caplog.text and "the fit goes on" in caplog.text
    monkeypatch.setattr(np, "savez", write)
    kept.save(1, made, {}, "second")
    assert kept.resume(1, made)[0] == "second"


def test_a_fit_ends_well_where_another_writes_to_its_folder_meanwhile(tmp_path, monkeypatch):
    delete = os.rmdir

    def late(path, **given):
        (tmp_path / "fit" / "stage_2.npz").touch()
        delete(path, **given)

    Checkpoints(tmp_path / "fit").save(1, [tf.Variable(0.0)], {}, None)
    monkeypatch.setattr(os, "rmdir", late)
    finished(tmp_path / "fit")
    assert [path.name for path in (tmp_path / "fit").iterdir()] == ["stage_2.npz"]


def test_a_digest_is_of_arguments_and_of_every_file(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_text("a")
    first = digest_of_inputs(["x", 1], [tmp_path])
    assert first == digest_of_inputs(["x", 1], [tmp_path]) != digest_of_inputs(["x", 2], [tmp_path])
    (tmp_path / "deep" / "file").write_text("b")
    assert digest_of_inputs(["x", 1], [tmp_path]) != first


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


def start(program, *words):
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, words)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.getcwd(), "TF_CPP_MIN_LOG_LEVEL": "3"},
    )


def goes_on(lines, expected):
    """Whether the fits of a process went on, each after one of the epochs that `expected` has the digits of."""
    told = [line.split("goes on after epoch ")[1][0] for line in lines if "goes on after epoch" in line]
    return len(told) == len(expected) and all(map(operator.contains, expected, told))


@pytest.mark.slow
def test_a_killed_fit_goes_on_and_ends_as_one_that_was_not(features, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["", str(features), "", str(tmp_path / "whole.npz")])
    exec(FIT, {})
    for kill_after, resumed in (("epoch 2/3", []), ("epoch 2/5", ["12"])):
        process, lines = start(FIT, features, tmp_path / "checkpoints", tmp_path / "weights.npz"), []
        for line in process.stdout:
            lines.append(line)
            if line.startswith(kill_after):
                break
        # the checkpoint of that epoch may be half written now: then the one before it counts
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert goes_on(lines, resumed)
        assert not (tmp_path / "weights.npz").exists()
    last = start(FIT, features, tmp_path / "checkpoints", tmp_path / "weights.npz")
    lines = last.stdout.readlines()
    assert last.wait() == 0
    assert goes_on(lines, ["3", "12"]), "the first fit is whole, the refresh goes on within its passes"
    with np.load(tmp_path / "whole.npz") as expected, np.load(tmp_path / "weights.npz") as found:
        assert sorted(expected.files) == sorted(found.files)
        for name in expected.files:
            np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


@pytest.fixture(scope="module")
def candidates(features, tmp_path_factory):
    """What towers that learned nothing bring."""
    towers, random = tmp_path_factory.mktemp("towers"), np.random.default_rng(4)
    spec, windows = read_spec(features / "spec.json"), read_windows(features / "windows.json")
    transforms = {str(entity): load_transform(features, entity) for entity in Entity}
    catalogue = read_catalogue(features, spec, transforms["item"])
    sequences = Sequences.open(features, spec, transforms, catalogue.ids)
    vectors = random.normal(size=(len(catalogue.ids), 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    examples = draw_examples(features, windows.validation_start, windows.test_start, 1)
    queries = {event: random.normal(size=8).astype(np.float32) for event in examples["event_id"].to_pylist()}
    path, boundary = towers / "candidates.parquet", "validation_start"
    write_candidates(path, features, boundary, examples, queries, vectors, catalogue, sequences)
    np.save(towers / "candidate_vectors.npy", vectors)
    return towers


@pytest.mark.slow
def test_a_killed_ranker_goes_on_and_ends_as_one_that_was_not(features, candidates, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("souk.models.fit_ranker.LEAST_STEPS", 1)  # four passes and six
    monkeypatch.setattr("souk.models.held_out.HELD_OUT", 0.5)  # one user alone would tell nothing of a body
    settings = TrainRanker(
        candidates=10, negatives=4, experts=2, hidden=[4], batch_rows=16, body_examples=1, straight_epochs=4, epochs=6
    )
    config = json.dumps({"train_ranker": settings.model_dump(mode="json")})
    killed, whole = (
        (config, "twin", str(tmp_path / name / "workspace"), str(features), str(candidates), str(tmp_path / name))
        for name in ("killed", "whole")
    )
    process = start(RANKER, *killed)
    passes = (line for line in process.stdout if "with the body" in line)
    next(passes), next(passes)  # the first of them has left its checkpoint
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed" / "weights.npz").exists()
    told = {}
    for words in (killed, whole):
        train_ranker(*words)
        told[words] = capsys.readouterr().out
    assert "straight path: goes on after" in told[killed] and "with the body: goes on after" in told[killed]
    assert "goes on" not in told[whole] and "writing the ranker as it is served" in told[whole]
    records = [json.loads((tmp_path / name / "training.json").read_text()) for name in ("killed", "whole")]
    for record in records:
        assert not any(Path(killed[2], "checkpoints").iterdir())
        for epoch in record["history"]:
            del epoch["seconds"]
    assert records[0] == records[1]
    with np.load(tmp_path / "whole" / "weights.npz") as expected, np.load(tmp_path / "killed" / "weights.npz") as found:
        assert sorted(expected.files) == sorted(found.files)
        for name in expected.files:
            np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
