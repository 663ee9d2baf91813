"""`souk tune` through the compiled pipeline: with small trials for what the machinery does, once with real ones."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
import yaml

from souk.config import load_config
from souk.features.windows import read_windows
from souk.tuning.trials import read_trial
from tests.marketplace import CONFIG, write_marketplace
from tests.pipeline_fixtures import Copy, real_copy, small_copy

TRIAL = '''
import json
import os

from souk.progress import report
from souk.tuning.trials import Trial


def tune_trial(
    train_two_tower_config, train_ranker_config, package_release_config, trial, epochs, workspace, features, result
):
    """The higher the temperature, the better, for every user alike."""
    given = json.loads(trial)
    report(f"trial {given['number']} at work")
    if os.environ.get("SMALL_FAIL") == str(given["number"]):
        Trial(given["number"], given["settings"], error="told to fail").write(result)
        return None
    gains = {f"u{user}": given["settings"]["train_two_tower.temperature"] for user in range(20)}
    Trial(given["number"], given["settings"], seconds=1.0, gains=gains).write(result)
    return {"ndcg@10": 1.0}
'''


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    copy = small_copy(tmp_path_factory.mktemp("small"))
    (copy.folder / "souk" / "steps" / "tune_trial.py").write_text(TRIAL, "utf-8")
    return copy


def tune(copy: Copy, *words: str, **more: str):
    done = copy.souk("tune", "--config", "small.yaml", "--workspace", "workspace", *words, **more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_failed_trial_is_told_the_rest_go_on_and_it_alone_is_tried_again(small: Copy) -> None:
    first = tune(small, "--trials", "5", SMALL_FAIL="2")
    assert [first.count(f"trial {number} at work") for number in range(5)] == [1] * 5
    rows = [line.split(" | ") for line in first.splitlines() if line.startswith("| ") and "ndcg" not in line]
    rows = [row for row in rows if row[0].strip("| ")[:1].isdigit()]
    assert sorted(row[0].strip("| ")[0] for row in rows) == list("01234")
    assert rows[-1][:2] == ["| 2", "told to fail"]
    scores = [float(row[1]) for row in rows[:-1]]
    assert scores == sorted(scores, reverse=True)
    assert "**chosen**" in rows[0][0]

    again = tune(small, "--trials", "5", "--force")
    assert next(line for line in again.splitlines() if line.endswith("at work")).endswith("trial 2 at work")
    assert "told to fail" not in again
    cached = tune(small, "--trials", "5", "--parallel", "1", "--force")
    assert "at work" not in cached
    config = load_config(small.folder / "small.tuned.yaml")
    assert config.train_two_tower.temperature > 1.0


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("tuned")
    copy = real_copy(folder)
    market = write_marketplace(folder / "data", users=40, new_users=4)
    changes = {
        "build_features": {"history_length": 8, "text_buckets": 32, "numeric_buckets": 4},
        "train_two_tower": {"dim": 4, "layers": 0, "heads": 1, "epochs": 1, "batch_rows": 64, "negatives": 8},
        "train_ranker": {
            "candidates": 10,
            "straight_epochs": 1,
            "epochs": 0,
            "hidden": [4],
            "experts": 1,
            "batch_rows": 4096,
        },
    }
    market.config.write_text("# by hand\n" + yaml.safe_dump(CONFIG | changes), encoding="utf-8")
    done = copy.souk("tune", "--config", str(market.config), "--workspace", str(folder / "ws"), "--trials", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout


@pytest.mark.slow
@pytest.mark.timeout(900)
class TestReal:
    """Two trials of real towers and rankers on a small marketplace."""

    def trials(self, folder: Path):
        files = [path for path in (folder / "ws" / "runs").rglob("result") if path.is_file()]
        return sorted((read_trial(path) for path in files), key=lambda trial: trial.number)

    def test_the_best_on_validation_is_written_beside_the_config(self, tuned) -> None:
        folder, output = tuned
        usual, other = self.trials(folder)
        before = load_config(folder / "data" / "marketplace.yaml")
        assert usual.settings["train_two_tower.learning_rate"] == before.train_two_tower.learning_rate
        best = max((usual, other), key=lambda trial: trial.score)
        after = load_config(folder / "data" / "marketplace.tuned.yaml")
        for name, value in best.settings.items():
            section, key = name.split(".")
            found = getattr(getattr(after, section), key)
            assert (list(found) if isinstance(found, tuple) else found) == value
        assert "# by hand" in (folder / "data" / "marketplace.tuned.yaml").read_text()
        assert after.data == before.data
        assert best.metrics["slate_ndcg@10"] > 0
        [page] = (folder / "ws" / "reports").glob("tune-*.html")
        assert "<svg" in page.read_text()
        assert str(page) in output

    def test_nothing_of_the_test_window_is_read(self, tuned, tmp_path) -> None:
        """All that is known from `test_start` on is torn out or garbled, and the trial finds the same to the digit."""
        from souk.models.draw import draw_examples
        from souk.models.trial import measuring
        from souk.steps.tune_trial import measure

        folder, _ = tuned
        [built] = {path.parent for path in (folder / "ws" / "runs").rglob("windows.json")}
        features = tmp_path / "features"
        shutil.copytree(built, features)
        assert _garble(features) > 50
        config = load_config(folder / "data" / "marketplace.yaml")
        usual = self.trials(folder)[0]
        trial = json.dumps({"number": 0, "settings": dict(usual.settings)})
        sections = [config.for_step(step) for step in ("train_two_tower", "train_ranker", "package_release")]
        measure(
            *sections,
            trial,
            "0",
            str(tmp_path / "ws"),
            str(features),
            str(tmp_path / "result"),
            str(tmp_path / "scratch"),
        )
        assert read_trial(tmp_path / "result").gains == usual.gains
        windows = read_windows(features / "windows.json")
        users = draw_examples(built, windows.validation_start, windows.test_start, 17)["user_id"].to_numpy()
        assert usual.gains.keys() == set(users[measuring(users)[1]])


def _garble(features: Path) -> int:
    """Changes what a features folder says of the time from `test_start` on; returns how many targets that were."""
    start = read_windows(features / "windows.json").test_start
    for boundary in ("test_start", "end"):
        for source in ("co_visitation", "ease", "segment_popular"):
            (features / source / f"{boundary}.npz").unlink()
    examples = pq.read_table(features / "examples.parquet").to_pandas()
    late = examples["timestamp"] >= start
    items = pq.read_table(features / "items.parquet")["item_id"].to_pylist()
    examples.loc[late, "item_id"] = items[0]
    examples.loc[late, "satisfied"] = 1
    pq.write_table(
        pq.read_table(features / "examples.parquet").from_pandas(
            examples, pq.read_schema(features / "examples.parquet"), preserve_index=False
        ),
        features / "examples.parquet",
    )
    counters = pq.read_table(features / "counters.parquet").to_pandas()
    counters.loc[counters["boundary"] != "validation_start", ["events", "lately"]] = 999
    counters.to_parquet(features / "counters.parquet")
    for path in (features / "sequences").glob("*.tfrecord"):
        rows = []
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            example = tf.train.Example.FromString(record)
            fields = example.features.feature
            times = np.array(fields["target_time"].int64_list.value)
            seen = fields["target_visible"].int64_list.value
            known = max([seen[place] for place in np.flatnonzero(times < start)], default=0)
            tokens = fields["token_item_id"].bytes_list.value
            tokens[known:] = [items[0].encode()] * (len(tokens) - known)
            targets = fields["target_item_id"].bytes_list.value
            for place in np.flatnonzero(times >= start):
                targets[place] = items[0].encode()
            rows.append(example.SerializeToString())
        with tf.io.TFRecordWriter(str(path)) as writer:
            for row in rows:
                writer.write(row)
    return int(late.sum())
