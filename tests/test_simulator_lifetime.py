"""Souk's first sentence where the truth is known: weighting satisfaction raises true lifetime value.

The models are trained once (`tests/simulator_training.py`) and packaged twice: as the config says, and with no weight
on satisfaction. The weights enter the order of slates alone, so this is the same as training twice.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml

from souk.config import load_config
from souk.release.bundle import Bundle
from souk.simulator.score import differences, means, read_slates, score, simple_slates
from souk.simulator.truth import Truth, read_truth
from souk.workspace import Workspace
from tests.serving_process import serving
from tests.simulator_training import without_weight

ROOT = Path(__file__).parents[1]
SMALL = ("--users", "800", "--items", "300", "--days", "60")
QUICK = {
    "train_two_tower": {"dim": 32, "epochs": 4, "refresh_epochs": 1, "consistency": 0},
    "evaluate": {"bootstrap": 200},
}


def run(*words: object) -> None:
    done = subprocess.run(
        [sys.executable, *map(str, words)], cwd=ROOT, capture_output=True, text=True, timeout=800, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def souk(*words: object) -> None:
    run("-m", "souk", *words)


@dataclass(frozen=True)
class Releases:
    """The data, and the workspaces of both releases."""

    data: Path
    satisfaction: Path
    clicks: Path

    @property
    def truth(self) -> Truth:
        return read_truth(self.data)


@pytest.fixture(scope="module")
def releases(tmp_path_factory) -> Releases:
    folder = tmp_path_factory.mktemp("lifetime")
    souk("simulate", *SMALL, "--output", folder / "data")
    config = folder / "data" / "simulated.yaml"
    config.write_text(yaml.safe_dump(yaml.safe_load(config.read_text("utf-8")) | QUICK), "utf-8")
    run("-m", "tests.simulator_training", folder / "data", folder)
    return Releases(folder / "data", folder / "satisfaction", folder / "clicks")


def test_the_weights_enter_no_training() -> None:
    config = load_config(ROOT / "configs" / "simulated.yaml")
    other = without_weight(config)
    for step in ("ingest", "train_two_tower", "load_index", "train_ranker"):
        assert config.for_step(step) == other.for_step(step)
    assert config.for_step("build_features") != other.for_step("build_features")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nothing_of_the_data_is_refused(releases):
    manifest = json.loads((releases.data.parent / "trained/tables/manifest.json").read_text("utf-8"))
    assert all(table["quarantined"] == 0 for table in manifest["tables"].values())


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_weighting_satisfaction_raises_true_lifetime_value(releases, tmp_path, capsys):
    """The same models, users and moments; true values, so that the intervals are of users alone."""
    bundles = [Bundle.load(Workspace(place).current) for place in (releases.satisfaction, releases.clicks)]
    assert [bundle.settings.objectives["satisfied"] for bundle in bundles] == [0.5, 0.0]
    assert np.array_equal(bundles[0].vectors, bundles[1].vectors)
    truth, found = releases.truth, {}
    for name in ("satisfaction", "clicks"):
        output = tmp_path / f"{name}.jsonl"
        words = ("--requests", releases.data / "requests.jsonl", "--output", output)
        souk("recommend", *words, "--workspace", getattr(releases, name))
        given = read_slates(output, truth)
        assert given.items.shape == (800, 10)
        found[name] = (given, score(truth, given, truth.end))
    gaps = differences(*found["satisfaction"], *found["clicks"])
    users = found["clicks"][0].users
    rows = {name: means(users, values) for name, (_, values) in found.items()}
    rows |= {n: means(users, score(truth, g, truth.end)) for n, g in simple_slates(truth, users, 10, truth.end).items()}
    print(json.dumps({name: {m: i.mean for m, i in row.items()} for name, row in (rows | {"gaps": gaps}).items()}))
    ours, theirs = ({m: i.mean for m, i in rows[name].items()} for name in ("satisfaction", "clicks"))
    assert ours["clicks"] >= 0.97 * theirs["clicks"], "satisfaction costs at most 3% of the clicks"
    assert ours["lifetime_value"] >= 1.1 * theirs["lifetime_value"]
    assert gaps["lifetime_value"].low > 0
    assert gaps["satisfaction"].low > 0
    assert rows["clicks"]["clicks"].low > rows["random"]["clicks"].high, "the click-only release knows what is clicked"
    assert rows["satisfaction"]["lifetime_value"].low > rows["random"]["lifetime_value"].high
    assert rows["satisfaction"]["lifetime_value"].low > rows["popular"]["lifetime_value"].high


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_served_release_is_a_logging_policy(releases, tmp_path):
    """The marketplace goes on for two days, and every slate is the release's."""
    with serving(releases.satisfaction, tmp_path / "log") as server:
        address = f"http://127.0.0.1:{server.http}/v1/models/souk"
        words = ("--after", releases.data, "--days", 2, "--policy", address, "--output", tmp_path / "next")
        souk("simulate", *words)
    name = Workspace(releases.satisfaction).current_release()
    events = pq.read_table(tmp_path / "next" / "events.parquet")
    shown = events.filter(pc.equal(events["event_type"], "impression"))
    assert len(shown) > 300
    assert set(shown["release"].to_pylist()) == {name}
    assert set(shown["propensity"].to_pylist()) == {1.0}
    assert shown["timestamp"].to_numpy().min() >= releases.truth.end
    assert len(set(shown["item_id"].to_pylist())) > 50, "slates are of the user, and of the department asked for"
