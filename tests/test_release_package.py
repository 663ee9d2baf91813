"""The step package_release with real SavedModels: a release that proves itself, whatever folder it is in."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import souk.steps.package_release as package
from souk.config import DatasetConfig
from souk.errors import SoukError
from souk.index import ivf
from souk.index.choice import IVF_FILE
from souk.index.milvus import MilvusIndex, build
from souk.index.partial import write
from souk.progress import SAY
from souk.release.bundle import Bundle
from souk.release.commands import show_text
from souk.release.golden import NAME, read_golden, replay_golden
from souk.release.manifest import verify
from souk.release.naming import content_digests, read_weights
from souk.serving.recommender import Recommender
from souk.serving.served import golden_answers
from souk.steps.deploy import deploy
from souk.steps.package_release import package_release
from souk.workspace import Workspace
from tests import serving_fixtures as fixtures
from tests.evaluation_shop import Shop

pytestmark = pytest.mark.slow


def config(step, **deploy_settings):
    values = {"name": "shop", "data": {"events": {"path": "x"}}, "objectives": fixtures.SPEC.objectives.model_dump()}
    return DatasetConfig.model_validate({**values, "deploy": deploy_settings}).for_step(step)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """What the steps before wrote, evaluated and promoted: the arguments of package_release but its output."""
    shop = Shop(tmp_path_factory.mktemp("shop")).write()
    examples = pq.read_table(shop.features / "examples.parquet")
    examples = examples.drop_columns([feature.name for feature in fixtures.SPEC.context])
    for feature in fixtures.SPEC.context:
        values = ["phone"] * len(examples) if feature.dtype == "string" else [2.5] * len(examples)
        examples = examples.append_column(feature.name, [values])
    pq.write_table(examples, shop.features / "examples.parquet")
    (shop.tables / "schema").mkdir()
    (shop.tables / "schema" / "events.pbtxt").write_text("# events")
    made = {
        "fingerprint": "f00d",
        "items_as_of": 7,
        "items_oldest": 5,
        "last_event": 2,
        "names": {"events": {"user_id": "leser"}},
    }
    made |= {"parts": {"events": {}, "items": {"title": ["a", "b"]}}, "event_types": {"view": "click"}}
    made |= {"separators": {"category": " > "}, "bounds": {"items": {"price": [0.0, 9.5, "clip"]}}}
    made |= {"first_event": 1, "content": "c0de", "tables": {"events": {"read": 9, "accepted": 6}}}
    (shop.tables / "manifest.json").write_text(json.dumps(made))
    _, _, out = shop.evaluate("good")
    good = shop.root / "good"
    write(ivf.build(np.load(good / "towers" / "vectors.npy")), good / "index" / IVF_FILE)
    folders = (shop.tables, shop.features, good / "towers", good / "ranker", good / "index")
    return [str(path) for path in (*folders, out / "twin", out / "evaluation")]


@pytest.fixture(scope="module")
def release(shop, tmp_path_factory):
    """(folder, name, metrics)."""
    folder = tmp_path_factory.mktemp("packaged") / "release"
    return folder, *package_release(config("package_release"), *shop, str(folder))


def answers(folder):
    return golden_answers(Recommender.load(Bundle.load(folder), None, None))


def test_a_release_is_whole_and_says_where_it_comes_from(release, shop):
    folder, name, metrics = release
    manifest = verify(folder)
    assert manifest["name"] == name
    assert metrics["golden_requests"] == 20
    assert metrics["files"] == len(manifest["files"]) + 1
    lineage = manifest["lineage"]
    assert (lineage["parent"], lineage["replaces"]) == ("", "")
    assert [lineage["data"][key] for key in ("fingerprint", "content", "events")] == ["f00d", "c0de", 6]
    assert None not in lineage["data"].values()
    assert lineage["data"]["items_as_of"] == Bundle.load(folder).items_as_of == 7
    assert lineage["data"]["items_oldest"] == Bundle.load(folder).items_oldest == 5
    assert Bundle.load(folder).names == {"events": {"user_id": ["leser"]}, "items": {"title": ["a", "b"]}}
    assert lineage["data"]["event_types"] == Bundle.load(folder).event_types == {"view": "click"}
    assert lineage["data"]["separators"] == Bundle.load(folder).separators == {"category": " > "}
    assert lineage["data"]["bounds"] == Bundle.load(folder).bounds == {"items": {"price": [0.0, 9.5, "clip"]}}
    digests = content_digests(Bundle.load(folder), shop[1], read_weights(shop[2], shop[3]))
    assert digests == manifest["content"]  # which knew nothing of the names yet
    assert lineage["trained_until"] == Bundle.load(folder).settings.trained_until
    assert lineage["packages"]["tensorflow"]
    present = {path.name for path in folder.iterdir()}
    assert {IVF_FILE, NAME, "twin", "evaluation", "schema", "drift_reference.parquet", "weights.npz"} <= present
    assert not [path for path in folder.parent.iterdir() if "partial" in path.name]


def test_the_same_inputs_give_the_same_name_and_golden_requests(release, shop, tmp_path, capsys):
    name, _ = package_release(config("package_release"), *shop, str(tmp_path / "again"))
    told = [line.removeprefix(SAY) for line in capsys.readouterr().out.splitlines() if line.startswith(SAY)]
    assert [line.split()[0] for line in told[:4]] == ["putting", "reading", "answering", "answering"]
    asked = pq.read_metadata(tmp_path / "again" / "drift_reference.parquet").num_rows
    assert told[3] == f"answering {asked:,} engagements that drift is told by"
    assert name == release[1]
    assert (tmp_path / "again" / NAME).read_text() == (release[0] / NAME).read_text()
    other, _ = package_release(config("package_release", slate_size=7), *shop, str(tmp_path / "other"))
    assert other != name
    assert Bundle.load(tmp_path / "other").settings.slate_size == 7


def test_golden_requests_hold_in_another_folder_and_on_milvus(release, tmp_path):
    folder = shutil.copytree(release[0], tmp_path / "moved")
    bundle = Bundle.load(folder)
    assert replay_golden(folder, answers(folder)) == 20
    uri = str(tmp_path / "items.db")
    build(uri, bundle.settings.collection, bundle.vectors, bundle.available)
    index = MilvusIndex(uri, bundle.settings.collection, bundle.available).open()
    try:
        assert replay_golden(folder, golden_answers(Recommender.load(bundle, index, None))) == 20
    finally:
        index.close()


def test_golden_requests_refuse_other_vectors(release, tmp_path):
    folder = shutil.copytree(release[0], tmp_path / "moved")
    vectors = np.load(folder / "vectors.npy")
    np.save(folder / "vectors.npy", vectors[::-1].copy())
    with pytest.raises(SoukError, match="golden answer"):
        replay_golden(folder, answers(folder))


def test_golden_requests_cover_known_and_unknown_users_with_context(release):
    golden = read_golden(release[0])
    assert {bool(request.state.count) for request, _ in golden} == {True, False}
    assert all(request.context for request, _ in golden)
    assert all(len(answer["items"]) == request.k for request, answer in golden)


def test_the_drift_reference_holds_the_inputs_of_the_models(release):
    table = pq.read_table(release[0] / "drift_reference.parquet")
    assert {"user_region", "query_hour", "slate_score", "slate_engaged", "slate_satisfied"} <= set(table.column_names)
    assert not np.isnan(table["slate_score"].to_numpy()).any()


def test_the_drift_reference_is_of_a_server_that_was_told_what_came_before_each_moment(release, shop, monkeypatch):
    made, real = [], package._told
    monkeypatch.setattr(package, "_told", lambda *args: made.append(real(*args)) or made[-1])
    bundle, features = Bundle.load(release[0]), Path(shop[1])
    package._write_answers(bundle, shop[0], features)
    (told,) = made
    events = pq.read_table(features / "examples.parquet").to_pylist()
    every, times = np.arange(len(bundle.item_ids)), sorted(event["timestamp"] for event in events)
    for time in (times[-1], times[-len(times) // 8]):
        expected = [sum(e["item_id"] == item and e["timestamp"] < time for e in events) for item in bundle.item_ids]
        assert told.items.counts.at(every, np.full(len(every), time))[0].tolist() == expected


def test_the_twin_in_it_is_the_one_that_was_judged(release, shop):
    judged, kept = Bundle.load(shop[5]), Bundle.load(release[0] / "twin")
    assert kept.settings == judged.settings
    assert kept.settings.boundary == "test_start"


def test_deployed_it_is_shown(release, shop, tmp_path):
    workspace = Workspace(tmp_path)
    collection = Bundle.load(release[0]).settings.collection
    deploy(config("deploy"), str(tmp_path), str(release[0]), shop[1], shop[4])  # an index folder without a Lite file
    assert (workspace.milvus / f"{collection}.db").is_dir()
    text = show_text(workspace, "current")
    assert release[1] in text
    assert "f00d" in text
    assert "popularity" in text
