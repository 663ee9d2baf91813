"""`souk evaluate` and `souk report` on real releases, whose evaluation is known from the step."""

import json
import shutil

import pyarrow.parquet as pq
import pytest

from souk.cli import main
from souk.outputs import MARK
from souk.release import manifest
from souk.spec import read_spec
from tests.evaluation_shop import CLICKS, USERS, Shop
from tests.release_fixtures import sealed_anew

pytestmark = pytest.mark.slow
LINEAGE = {"data": {"fingerprint": "f00d"}}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A workspace with the releases `good` and `bad`, and the run that they came of."""
    shop = Shop(tmp_path_factory.mktemp("shop")).write()
    (shop.tables / "manifest.json").write_text(json.dumps({"fingerprint": "f00d"}))
    for name in ("good", "bad"):
        shop.release(name)
        manifest.write_manifest(shop.workspace / "releases" / name, name, {}, LINEAGE)
    run = shop.workspace / "runs" / "training-1"
    shutil.copytree(shop.tables, run / "ingest" / "tables")
    shutil.copytree(shop.features, run / "build-features" / "features")
    return shop


def souk(*words, shop):
    return main([*words, "--workspace", str(shop.workspace)])


def kept(shop, release):
    return json.loads((shop.workspace / "releases" / release / "evaluation" / "metrics.json").read_text())


def test_a_release_is_measured_as_the_step_did(shop, capsys):
    assert souk("evaluate", "good", shop=shop) == 0
    out = shop.workspace / "reports" / "good-evaluation"
    assert {path.name for path in out.iterdir()} == {
        "metrics.json",
        "summary.md",
        "report.html",
        "per_user.parquet",
        MARK,
    }
    models = json.loads((out / "metrics.json").read_text())["protocols"]["rolling"]["models"]
    before = kept(shop, "good")["protocols"]["rolling"]["models"]
    assert list(models) == ["slate", "two_tower", "co_visitation", "item_knn", "segment_popularity", "popularity"]
    assert models["slate"]["ndcg@10"]["mean"] == pytest.approx(before["slate"]["ndcg@10"]["mean"])
    text = capsys.readouterr().out
    assert f"{models['slate']['ndcg@1']['mean']:.4f}" in text, "slates of one"
    assert str(out / "report.html") in text
    assert "souk|" not in text
    assert "Training" in (out / "report.html").read_text()
    assert "satisfied is not learned" in text, "as the release keeps it"


def test_it_is_measured_by_what_the_release_was_judged_by(shop, tmp_path):
    """By the defaults another metric, other users and other queries stood beside those of the gate."""
    shutil.copytree(shop.workspace / "releases" / "good", own := shop.workspace / "releases" / "own")
    before = kept(shop, "good")
    assert before["settings"] == {
        "primary": "ndcg@10",
        "max_users": 25_000,
        "max_queries_per_user": 20,
        "bootstrap": 200,
    }
    bounds = {"primary": "hr@5", "max_users": 30, "max_queries_per_user": 2, "bootstrap": 150}
    for text, found in (
        (before | {"settings": bounds}, bounds),
        ({"primary": "mrr"}, {"primary": "mrr", "max_users": 25_000, "max_queries_per_user": 20, "bootstrap": 1000}),
    ):
        (own / "evaluation" / "metrics.json").write_text(json.dumps(text))
        manifest.write_manifest(own, "own", {}, LINEAGE)
        assert souk("evaluate", "own", "--output", str(tmp_path / "out"), shop=shop) == 0
        metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
        assert (metrics["settings"], metrics["primary"]) == (found, found["primary"])
        drawn = min(USERS, found["max_users"])
        asked = drawn * min(CLICKS - 9, found["max_queries_per_user"])
        assert (metrics["users"]["drawn"], metrics["protocols"]["rolling"]["queries"]) == (drawn, asked)
    shutil.rmtree(own)


def test_two_releases_beside_each_other(shop, tmp_path):
    (tmp_path / "shop.yaml").write_text(
        "name: shop\ndata: {events: {path: e.csv}}\nobjectives:\n  engaged: {events: [click]}\n"
        "  satisfied: {events: [click]}\nevaluate: {bootstrap: 100, primary: hr@5}\n"
    )
    words = ("--against", "bad", "--config", str(tmp_path / "shop.yaml"), "--output", str(tmp_path / "out"))
    assert souk("evaluate", "good", *words, shop=shop) == 0
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    models = metrics["protocols"]["rolling"]["models"]
    bad = kept(shop, "bad")["protocols"]["rolling"]["models"]["slate"]
    assert (metrics["champion"], metrics["primary"]) == ("bad", "hr@5")
    assert models["champion"]["ndcg@10"]["mean"] == pytest.approx(bad["ndcg@10"]["mean"])
    assert metrics["protocols"]["rolling"]["differences"]["champion"]["ndcg@10"]["low"] > 0


def test_a_release_of_another_version_is_refused_as_that(shop, capsys, monkeypatch):
    shutil.copytree(shop.workspace / "releases" / "bad", older := shop.workspace / "releases" / "older")
    with monkeypatch.context() as before:
        before.setattr(manifest, "FORMAT", 2)
        manifest.write_manifest(older, "older", {}, LINEAGE)
    spec, bundle = (older / "twin" / name for name in ("spec.json", "bundle.json"))
    bundle.write_text(bundle.read_text().replace(read_spec(spec).hash, "0123456789ab"))
    assert souk("evaluate", "good", "--against", "older", shop=shop) == 2
    assert "format 2" in capsys.readouterr().err
    shutil.rmtree(older)


@pytest.fixture
def elsewhere(shop, tmp_path):
    """The words that name copies of the artifacts, and the folder of the copies."""
    for name in ("tables", "features"):
        shutil.copytree(getattr(shop, name), tmp_path / name)
    return ["--tables", str(tmp_path / "tables"), "--features", str(tmp_path / "features")], tmp_path


def test_a_release_of_another_data_set_is_no_champion(shop, capsys):
    shutil.copytree(shop.workspace / "releases" / "bad", other := shop.workspace / "releases" / "other")
    spec, bundle = (other / "twin" / name for name in ("spec.json", "bundle.json"))
    before = read_spec(spec)
    spec.write_text(spec.read_text().replace(f'"{before.dataset}"', '"bakery"'))
    bundle.write_text(bundle.read_text().replace(before.hash, read_spec(spec).hash))
    sealed_anew(other)
    assert souk("evaluate", "good", "--against", "other", shop=shop) == 2
    assert "other, which is of bakery" in capsys.readouterr().err
    shutil.rmtree(other)


def test_a_twin_that_saw_the_window_is_refused(shop, elsewhere, capsys):
    words, folder = elsewhere
    windows = json.loads((folder / "features" / "windows.json").read_text())
    (folder / "features" / "windows.json").write_text(json.dumps(windows | {"test_start": windows["test_start"] - 1}))
    assert souk("evaluate", "good", *words, shop=shop) == 2
    assert "has not seen the test window" in capsys.readouterr().err


def test_features_of_before_know_nothing_of_what_is_taken_together(shop, elsewhere):
    """The releases are asked by their own bundles, and no baseline looks at it."""
    given, folder = elsewhere
    shutil.rmtree(folder / "features" / "ease")
    assert souk("evaluate", "good", *given, shop=shop) == 0


def test_artifacts_of_another_spec_are_refused(shop, elsewhere, capsys):
    words, folder = elsewhere
    spec = json.loads((folder / "features" / "spec.json").read_text())
    spec["build"]["history_length"] = 16
    (folder / "features" / "spec.json").write_text(json.dumps(spec))
    assert souk("evaluate", "good", *words, shop=shop) == 2
    assert "features of the spec" in capsys.readouterr().err


def test_a_window_without_engagements_is_refused(shop, elsewhere, capsys):
    words, folder = elsewhere
    events = pq.read_table(folder / "tables" / "events.parquet")
    start = json.loads((folder / "features" / "windows.json").read_text())["test_start"]
    early = events.filter([time < start for time in events["timestamp"].to_pylist()])
    pq.write_table(early, folder / "tables" / "events.parquet")
    assert souk("evaluate", "good", *words, shop=shop) == 2
    assert "engagements in the test window" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["evaluate", "god"], "Did you mean 'good'?"),
        (["evaluate", "good", "--against", "best"], "a deployed release to be one of bad, good"),
        (["evaluate", "good", "--tables", "somewhere"], "--tables and --features together"),
        (["evaluate", "good", "--tables", "no", "--features", "such"], "events.parquet in no"),
        (["report", "god"], "Did you mean 'good'?"),
    ],
)
def test_what_is_not_there_is_said_in_one_line(shop, capsys, words, message):
    assert souk(*words, shop=shop) == 2
    *before, error = capsys.readouterr().err.splitlines()
    assert message in error
    assert before in ([], ["loading good"])


def test_a_workspace_without_the_run_says_what_to_give(shop, capsys):
    runs = shop.workspace / "runs"
    runs.rename(shop.workspace / "gone")
    try:
        assert souk("evaluate", "good", shop=shop) == 2
    finally:
        (shop.workspace / "gone").rename(runs)
    assert "--tables DIR --features DIR" in capsys.readouterr().err


def test_the_report_of_a_release_is_found(shop, capsys):
    assert souk("report", "good", shop=shop) == 0
    path = capsys.readouterr().out.strip()
    assert path == str(shop.workspace / "releases" / "good" / "evaluation" / "report.html")


def test_a_report_is_opened_where_there_is_a_browser(shop, capsys, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) or False)
    assert souk("report", "good", "--open", shop=shop) == 0
    assert opened == [(shop.workspace / "releases" / "good" / "evaluation" / "report.html").resolve().as_uri()]
    assert "no browser here" in capsys.readouterr().err


def test_a_missing_report_can_be_made_again(shop, capsys):
    page = shop.workspace / "releases" / "bad" / "evaluation" / "report.html"
    page.rename(page.with_suffix(".kept"))
    try:
        assert souk("report", "bad", shop=shop) == 2
    finally:
        page.with_suffix(".kept").rename(page)
    assert "souk evaluate bad" in capsys.readouterr().err
