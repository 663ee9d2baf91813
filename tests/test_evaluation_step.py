"""The step `evaluate` with models whose worth is known: real SavedModels, real bundles, every verdict."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from souk.config import Deploy, Evaluate
from souk.outputs import MARK
from souk.release.bundle import Bundle
from souk.release.manifest import write_manifest
from souk.release.pointer import point
from souk.steps.evaluate import evaluate
from souk.workspace import Workspace
from tests.evaluation_shop import CLICKS, NOT_LEARNED, USERS, Shop

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return Shop(tmp_path_factory.mktemp("shop")).write()


def metrics_of(out):
    return json.loads((out / "evaluation" / "metrics.json").read_text())


def test_first_release_that_beats_popularity_is_promoted(shop):
    verdict, values, out = shop.evaluate("good")
    assert verdict == "promote"
    assert values["slate_ndcg@10"] > values["popularity_ndcg@10"] + 0.2
    assert values["queries"] == USERS * (CLICKS - 9)
    assert {path.name for path in (out / "evaluation").iterdir()} == {
        "metrics.json", "verdict.json", "summary.md", "report.html", "per_user.parquet", MARK,
    }  # fmt: skip
    assert (out / "summary.md").read_text() == (out / "evaluation" / "summary.md").read_text()
    assert (out / "report.html").read_text().startswith("<!doctype html>")
    per_user = pd.read_parquet(out / "evaluation" / "per_user.parquet")
    assert per_user.groupby("model").size().to_dict() == dict.fromkeys(
        ("slate", "two_tower", "co_visitation", "item_knn", "segment_popularity", "popularity"), USERS
    )
    assert per_user[per_user.model == "slate"]["ndcg@10"].mean() == pytest.approx(values["slate_ndcg@10"])


def test_what_the_ranker_did_not_learn_is_told_by_both_reports(shop):
    out, other = (shop.evaluate(name)[2] for name in ("good", "bad"))
    assert (metrics_of(out)["not_learned"], metrics_of(other)["not_learned"]) == (NOT_LEARNED, {})
    for file in ("summary.md", "report.html"):
        assert "satisfied is not learned: 4 of its labels are known." in (out / file).read_text()
        assert "not learned" not in (other / file).read_text()


def test_the_twin_is_a_bundle_of_the_test_start(shop):
    _, _, out = shop.evaluate("good")
    bundle = Bundle.load(out / "twin")
    assert bundle.settings.boundary == "test_start"
    assert json.loads((out / "twin" / "identity.json").read_text())["dataset"] == "shop"


def test_first_release_that_does_not_is_rejected(shop):
    verdict, values, _ = shop.evaluate("bad")
    assert verdict == "reject"
    assert values["slate_ndcg@10"] < values["popularity_ndcg@10"]


def test_the_same_twin_is_unchanged_without_tensorflow(shop):
    champion = shop.release("good")
    arguments, out = shop.arguments("good", champion)
    code = "import json, sys; from souk.steps.evaluate import evaluate; found = evaluate(*json.loads(sys.argv[1]))"
    code += "; print(json.dumps([*found, 'tensorflow' in sys.modules]))"
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(arguments)], capture_output=True, text=True, check=True
    )
    verdict, values, imported = json.loads(done.stdout.splitlines()[-1])
    assert (verdict, imported) == ("unchanged", False)
    before = json.loads((shop.workspace / "releases" / champion / "evaluation" / "metrics.json").read_text())
    assert metrics_of(out) == before
    assert values["slate_mrr"] == before["protocols"]["rolling"]["models"]["slate"]["mrr"]["mean"]
    assert "unchanged" in (out / "summary.md").read_text()


def test_an_unchanged_release_is_told_beside_the_one_that_it_was_judged_beside(shop):
    """What is served is the release itself by now, and the champion of its figures the one before it."""
    champion = shop.release("good", shop.release("bad"))
    verdict, _, out = shop.evaluate("good", champion)
    assert (verdict, metrics_of(out)["champion"]) == ("unchanged", "bad")
    html, text = ((out / file).read_text() for file in ("report.html", "summary.md"))
    for told in (html, text):
        assert "those of when it was judged beside bad." in told and "is served" not in told and "(served" not in told
    assert f"(champion: {champion})" in html and ", the release bad at" in html
    assert "The champion of these figures is bad." in text


def refreshed(arguments, out):
    """Whether the step promotes without judging; its outputs go elsewhere than those of other tests."""
    moved = [str(argument).replace(str(out), f"{out}-again") for argument in arguments]
    verdict, _ = evaluate(*moved)
    rules = json.loads((Path(f"{out}-again") / "evaluation" / "verdict.json").read_text())["rules"]
    return verdict == "promote" and [rule["name"] for rule in rules] == ["refresh"]


def test_other_data_in_the_test_window_makes_the_release_again(shop, tmp_path):
    arguments, out = shop.arguments("good", shop.release("good"))
    tables = shutil.copytree(shop.tables, tmp_path / "tables")
    events = pq.read_table(tables / "events.parquet")
    pq.write_table(events.slice(0, len(events) - 1), tables / "events.parquet")
    assert refreshed([str(tables) if a == str(shop.tables) else a for a in arguments], out)


def test_other_slate_settings_make_the_release_again(shop):
    arguments, out = shop.arguments("good", shop.release("good"), deploy=Deploy(slate_size=7))
    assert refreshed(arguments, out)


def test_a_damaged_release_is_made_again_and_not_compared_with(shop):
    champion = shop.release("bad")
    file = shop.workspace / "releases" / champion / "evaluation" / "metrics.json"
    text = file.read_bytes()
    file.write_bytes(text + b"!")
    try:
        assert refreshed(*shop.arguments("bad", champion))
        arguments, out = shop.arguments("good", champion)
        verdict, _ = evaluate(*[str(argument).replace(str(out), f"{out}-again") for argument in arguments])
        told = json.loads((Path(f"{out}-again") / "evaluation" / "verdict.json").read_text())
        assert (verdict, told["rules"][0]["name"], told["champion"]) == ("promote", "beats_popularity", champion)
        assert (
            f"{champion} is served, but it was not compared with: it is damaged"
            in (Path(f"{out}-again") / "report.html").read_text()
        )
    finally:
        file.write_bytes(text)


@pytest.mark.parametrize("left", ["no registry", "publication.begun"])
def test_a_publication_that_was_killed_makes_the_release_again_and_lowers_no_bar(shop, capsys, left):
    champion, feast = shop.release("good"), shop.workspace / "feast"
    (feast / "publish.lock").touch()
    (feast / "registry.db").unlink() if left == "no registry" else (feast / left).write_text("begun 1")
    try:
        arguments, out = shop.arguments("good", champion)
        assert refreshed(arguments, out)
        told = json.loads((Path(f"{out}-again") / "evaluation" / "verdict.json").read_text())
        assert "user states that are gone, or were not published to the end" in told["rules"][0]["detail"]
        assert "user states in" in capsys.readouterr().out
        arguments, out = shop.arguments("equal", champion)
        assert evaluate(*[str(argument).replace(str(out), f"{out}-again") for argument in arguments])[0] == "reject"
    finally:
        (feast / "publication.begun").unlink(missing_ok=True)
        (feast / "registry.db").touch()


@pytest.mark.parametrize(
    ("challenger", "champion", "expected"),
    [("good", "bad", "promote"), ("bad", "good", "reject"), ("equal", "good", "reject")],
)
def test_challenger_against_champion(shop, challenger, champion, expected):
    verdict, values, out = shop.evaluate(challenger, shop.release(champion))
    assert verdict == expected
    models = metrics_of(out)["protocols"]["rolling"]["models"]
    assert list(models)[:2] == ["slate", "champion"]
    alone = json.loads((shop.workspace / "releases" / champion / "evaluation" / "metrics.json").read_text())
    assert models["champion"]["ndcg@10"] == alone["protocols"]["rolling"]["models"]["slate"]["ndcg@10"]
    if challenger == "equal":
        assert values["slate_ndcg@10"] == values["champion_ndcg@10"]


def test_what_the_models_cost_is_measured_of_both_and_judged(shop, monkeypatch):
    """By more calls than `latency` asks for: a shop as small has few."""
    monkeypatch.setattr("souk.evaluation.twins.BATCH", 16)
    own = Evaluate(bootstrap=100, latency=1e6, size=0.01)
    _, _, out = shop.evaluate("good", shop.release("bad"), own)
    cost = metrics_of(out)["cost"]
    queries = [protocol["queries"] for protocol in metrics_of(out)["protocols"].values()]
    assert cost["slate"]["bytes"] == cost["champion"]["bytes"] > 0
    assert cost["slate"]["calls"] == cost["champion"]["calls"] == sum(-(-number // 16) for number in queries)
    assert cost["slate"]["milliseconds"] > 0 and cost["champion"]["milliseconds"] > 0
    rules = {rule["name"]: rule for rule in json.loads((out / "evaluation" / "verdict.json").read_text())["rules"]}
    assert [rules[name]["passed"] and not rules[name]["skipped"] for name in ("latency", "size")] == [True, True]


def test_an_equal_one_passes_where_that_is_asked(shop):
    verdict, _, _ = shop.evaluate("equal", shop.release("good"), Evaluate(bootstrap=200, margin=-0.01))
    assert verdict == "promote"


def test_a_champion_that_saw_the_test_window_is_not_comparable(shop):
    shop.release("good")
    folder = shop.workspace / "releases" / "late"
    (shop.workspace / "releases" / "good").rename(folder)
    settings = json.loads((folder / "twin" / "bundle.json").read_text())
    settings["trained_until"] += 1
    (folder / "twin" / "bundle.json").write_text(json.dumps(settings))
    write_manifest(folder, "late", {}, {})
    verdict, values, out = shop.evaluate("bad", "late")
    assert verdict == "not_comparable"
    assert "champion_ndcg@10" not in values
    assert values["popularity_ndcg@10"] > 0
    assert "split.test" in (out / "summary.md").read_text()


def test_a_damaged_champion_is_named(shop, capsys):
    champion = shop.release("equal")
    path = shop.workspace / "releases" / champion / "twin" / "vectors.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    assert shop.evaluate("bad", champion)[0] == "reject"
    assert "changed twin/vectors.npy" in capsys.readouterr().out


def test_positives_are_followed_through_the_request_path(shop):
    """Everyone takes items of the own group, each once: what the eight candidates miss, retrieval lost."""
    rolling = metrics_of(shop.evaluate("good")[2])["protocols"]["rolling"]
    stages = rolling["stages"]["slate"]
    assert stages["positives"] == USERS * (CLICKS - 9)
    assert sum(stages["shares"].values()) == pytest.approx(1.0)
    own = rolling["models"]["slate"]
    assert stages["shares"]["filtering"] == 0.0
    assert stages["shares"]["kept"] == pytest.approx(own["hr@1"]["mean"]), "slates of one"
    assert 1 - stages["shares"]["retrieval"] == pytest.approx(own["hr@10"]["mean"]), "eight candidates fit into ten"


def test_calibration_counts_candidates_and_labels(shop):
    calibration = metrics_of(shop.evaluate("good")[2])["calibration"]
    assert sum(part["count"] for part in calibration["engaged"]) == 8 * USERS * (CLICKS - 9)
    assert all(part["predicted"] == 0.5 for part in calibration["satisfied"])
    assert 0 < sum(part["count"] for part in calibration["satisfied"]) < USERS * (CLICKS - 9)


@pytest.mark.parametrize(("condition", "replaces"), [("", "good"), ("c0de", "bad")])
def test_a_verdict_says_what_a_promotion_replaces(shop, condition, replaces):
    """Who names another champion than the current release means to replace that one. Where the caller has looked at the
    champion it is the one that was current when the run began, whoever has deployed since."""
    served, named = shop.release("good"), shop.release("bad")
    point(Workspace(shop.workspace), served)
    arguments, out = shop.arguments("bad", named)
    moved = [str(argument).replace(str(out), f"{out}-{condition}") for argument in arguments]
    try:
        evaluate(*moved, condition)
    finally:
        (shop.workspace / "releases" / "current").unlink()
    told = json.loads((Path(f"{out}-{condition}") / "evaluation" / "verdict.json").read_text())
    assert (told["champion"], told["replaces"]) == ("bad", replaces)
