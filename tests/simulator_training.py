"""Trains on a simulated marketplace once, and packages the models twice: as the config says, and for clicks alone.

`python -m tests.simulator_training DATA OUT` calls the steps of the pipeline in its order, in one process. The gate's
verdict is not asked: it judges by clicks, and this is about more than them. `OUT/satisfaction` and `OUT/clicks` become
workspaces with a deployed release each.
"""

import shutil
import sys
from dataclasses import replace
from pathlib import Path

from souk.config import DatasetConfig, load_config
from souk.spec import read_spec


def without_weight(config: DatasetConfig) -> DatasetConfig:
    """The config of a click-only release."""
    satisfied = config.objectives.satisfied.model_copy(update={"weight": 0.0})
    return config.model_copy(update={"objectives": config.objectives.model_copy(update={"satisfied": satisfied})})


def train(config: DatasetConfig, out: Path) -> None:
    """Everything up to the refitted models; `out` gets a folder for each artifact."""
    from souk.steps.build_features import build_features
    from souk.steps.evaluate import evaluate
    from souk.steps.ingest import ingest
    from souk.steps.load_index import load_index
    from souk.steps.train_ranker import train_ranker
    from souk.steps.train_two_tower import train_two_tower

    def path(name: str) -> str:
        return str(out / name)

    def given(step: str) -> str:
        return config.for_step(step)

    workspace, tables, features = path("workspace"), path("tables"), path("features")
    ingest(given("ingest"), "", workspace, tables, path("quarantine"), path("data.html"))
    build_features(given("build_features"), workspace, "FnApiRunner", "", tables, features)
    previous: dict[str, str] = {}
    for window in ("twin", "release"):
        towers, index, ranker = (path(f"{name}-{window}") for name in ("towers", "index", "ranker"))
        train_two_tower(given("train_two_tower"), window, 0, workspace, features, towers, previous.get("towers", ""))
        load_index(given("load_index"), features, towers, index)
        train_ranker(given("train_ranker"), window, workspace, features, towers, ranker, previous.get("ranker", ""))
        if window == "twin":
            models, reports = (towers, ranker, index), (path("page.html"), path("summary.md"), path("evaluation"))
            evaluate(given("evaluate"), "", workspace, tables, features, *models, path("twin"), *reports)
        previous = {"towers": towers, "ranker": ranker}


def package(config: DatasetConfig, trained: Path, place: Path) -> None:
    """A release of the trained models under the objectives of `config`, deployed into the workspace `place`."""
    from souk.steps.deploy import deploy
    from souk.steps.package_release import package_release

    features, release = place / "features", place / "release"
    shutil.copytree(trained / "features", features)
    spec = replace(read_spec(features / "spec.json"), objectives=config.objectives)
    (features / "spec.json").write_text(spec.to_json(), encoding="utf-8")
    index = trained / "index-release"
    models = (trained / "towers-release", trained / "ranker-release", index)
    places = (trained / "tables", features, *models, trained / "twin", trained / "evaluation", release)
    package_release(config.for_step("package_release"), *map(str, places))
    deploy(config.for_step("deploy"), str(place), str(release), str(features), str(index))


if __name__ == "__main__":
    read, folder = load_config(Path(sys.argv[1]) / "simulated.yaml"), Path(sys.argv[2])
    train(read, folder / "trained")
    package(read, folder / "trained", folder / "satisfaction")
    package(without_weight(read), folder / "trained", folder / "clicks")
