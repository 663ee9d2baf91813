"""The step `evaluate` with models whose worth is known: real SavedModels, real bundles, every verdict."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from souk.config import Deploy, Evaluate
from souk.errors import SoukError
from souk.evaluation.protocol import TOP, rank_all
from souk.evaluation.queries import rolling_queries
from souk.evaluation.windows import read_window
from souk.release.bundle import Bundle
from souk.release.manifest import write_manifest
from souk.serving.request import Request
from souk.steps.evaluate import evaluate
from tests import serving_fixtures as fixtures
from tests.evaluation_shop import CLICKS, USERS, Shop

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
        "metrics.json", "verdict.json", "summary.md", "report.html", "per_user.parquet",
    }  # fmt: skip
    assert (out / "summary.md").read_text() == (out / "evaluation" / "summary.md").read_text()
    assert (out / "report.html").read_text().startswith("<!doctype html>")
    per_user = pd.read_parquet(out / "evaluation" / "per_user.parquet")
    assert per_user.groupby("model").size().to_dict() == dict.fromkeys(
        ("slate", "two_tower", "co_visitation", "item_knn", "popularity"), USERS
    )
    assert per_user[per_user.model == "slate"]["ndcg@10"].mean() == pytest.approx(values["slate_ndcg@10"])


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
        assert f"{champion} is served, but it is damaged" in (Path(f"{out}-again") / "report.html").read_text()
    finally:
        file.write_bytes(text)


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


@pytest.fixture(scope="module")
def scored(shop):
    """The queries of the window, the catalogue and both scorers of the good challenger."""
    from souk.evaluation.twins import Slates, Towers

    _, _, out = shop.evaluate("good")
    bundle = Bundle.load(out / "twin")
    catalogue, window = read_window(shop.tables, shop.features, bundle.spec)
    queries = rolling_queries(window, catalogue, bundle.spec, 20)[::5]
    towers = Towers("two_tower", bundle, catalogue, bundle.spec).load()
    return queries, catalogue, towers, Slates("slate", towers).load()


def order(scores, query, catalogue):
    scores = scores.copy()
    scores[query.excluded] = -np.inf
    scores[~catalogue.available] = -np.inf
    return [place for place in np.argsort(-scores, kind="stable") if scores[place] > -np.inf]


def test_towers_follow_the_history(scored):
    queries, _, towers, _ = scored
    vectors = fixtures.vectors()
    for query, scores in zip(queries, towers.score(queries), strict=True):
        visible = [fixtures.IDS.index(event.item_id) for event in query.state.events[-7:]]
        seen = vectors[visible[-(7 if query.state.count == 11 else query.state.count - 4) :]]
        direction = seen.sum(axis=0) / np.linalg.norm(seen.sum(axis=0))
        assert scores == pytest.approx(vectors @ direction, abs=2e-3)


def test_slates_are_candidates_by_the_ranker_then_retrieval_order(scored):
    queries, catalogue, towers, slates = scored
    for query, flat, ranked in zip(queries, towers.score(queries), slates.score(queries), strict=True):
        retrieved, shown = order(flat, query, catalogue), order(ranked, query, catalogue)
        assert set(shown[:8]) == set(retrieved[:8])
        assert shown[8:] == retrieved[8:]
        prices = [fixtures.PRICES[catalogue.ids[place]] for place in shown[:8]]
        assert prices == sorted(prices, reverse=query.state.profile["region"] == "north")


def test_no_candidate_is_spent_on_what_was_not_there_yet(scored):
    """The best item of a query comes to be just after it; the next one takes its place among the eight."""
    from souk.evaluation.twins import Slates, Towers

    queries, catalogue, towers, slates = scored
    query = queries[0]
    first, *rest = order(towers.score([query])[0], query, catalogue)
    born = catalogue.born.copy()
    born[first] = query.until + 1
    younger = replace(catalogue, born=born)
    own = Slates("slate", Towers("two_tower", towers.bundle, younger, towers.bundle.spec).load()).load()
    before, after = (set(order(each.score([query])[0], query, catalogue)[:8]) for each in (slates, own))
    assert first in before and after == set(rest[:8])
    later = replace(query, until=query.until + 1)
    assert set(order(own.score([later])[0], query, catalogue)[:8]) == before


def test_what_is_judged_is_what_is_served(scored):
    """A bundle that re-ranks: the evaluation's first items are those of the slate of the size that is served, which
    are others than those of a slate of TOP; the ranker's own order is kept."""
    from souk.evaluation.twins import Slates, Towers

    queries, catalogue, towers, _ = scored
    many = replace(towers.bundle.settings, candidates=30, slate_size=12)
    bundles = [replace(towers.bundle, settings=replace(many, rerank=rules)) for rules in ({}, {"diversity": 1.0})]
    plain, slates = (
        Slates("slate", Towers("two_tower", bundle, catalogue, bundle.spec).load()).load() for bundle in bundles
    )
    served, short = (
        slates._recommender.recommend(
            [Request(q.user_id, size, q.timestamp, state=q.state, context=q.context) for q in queries]
        )
        for size in (12, TOP)
    )
    assert [slate.items[:TOP] for slate in served] != [slate.items for slate in short]
    moved, scores, before = 0, slates.score(queries), plain.score(queries)
    for row, (query, slate) in enumerate(zip(queries, served, strict=True)):
        shown = [catalogue.ids[place] for place in order(scores[row], query, catalogue)[:TOP]]
        by_ranker = order(before[row], query, catalogue)[:30]
        assert shown == [item.item_id for item in slate.items[:TOP]]
        assert [catalogue.ids[place] for place in slates.alternatives.tops["diversity"][row]] == shown
        assert slates.alternatives.tops["none"][row].tolist() == by_ranker[:TOP]
        assert slates.observed.ranked[row].tolist() == [
            by_ranker.index(t) + 1.0 if t in by_ranker else np.inf for t in query.targets
        ]
        moved += shown != [catalogue.ids[place] for place in by_ranker[:TOP]]
    assert moved and plain.alternatives.tops == {}


def test_towers_are_asked_once_for_the_slate_and_for_themselves(scored):
    from souk.evaluation.twins import BATCH

    queries, catalogue, towers, slates = scored
    alone = rank_all([slates], queries, catalogue)[0], rank_all([towers], queries, catalogue)[0]
    asked, real = [], towers._tower.vectors
    towers._tower.vectors = lambda inputs: asked.append(1) or real(inputs)
    try:
        together = rank_all([slates, towers], queries, catalogue)
    finally:
        del towers._tower.vectors
    assert len(asked) == -(-len(queries) // BATCH)
    for found, expected in zip(together, alone, strict=True):
        assert [ranks.tolist() for ranks in found.ranks] == [ranks.tolist() for ranks in expected.ranks]
        assert found.top.tolist() == expected.top.tolist()


def test_positives_are_followed_through_the_request_path(shop):
    """Everyone takes items of the own group, each once: what the eight candidates miss, retrieval lost."""
    rolling = metrics_of(shop.evaluate("good")[2])["protocols"]["rolling"]
    stages = rolling["stages"]["slate"]
    assert stages["positives"] == USERS * (CLICKS - 9)
    assert sum(stages["shares"].values()) == pytest.approx(1.0)
    assert stages["shares"]["filtering"] == stages["shares"]["ranking"] == 0.0  # eight candidates fit into ten places
    assert stages["shares"]["kept"] == pytest.approx(rolling["models"]["slate"]["hr@10"]["mean"])


def test_items_that_a_bundle_lacks_come_last(scored):
    from souk.evaluation.twins import Towers

    queries, catalogue, towers, _ = scored
    more = ("aa-new", *catalogue.ids)
    larger = replace(catalogue, ids=more, position={item: place for place, item in enumerate(more)})
    scores = Towers("champion", towers.bundle, larger, towers.bundle.spec).load().score(queries)
    assert (scores[:, 1:] == towers.score(queries)).all()
    assert (scores[:, 0] < scores[:, 1:].min(axis=1)).all()


def test_a_model_that_fails_is_not_judged_by_its_fallback(scored, shop):
    from souk.evaluation.twins import Slates

    queries, _, towers, _ = scored
    slates = Slates("slate", towers).load()
    slates._recommender.ranker = None
    with pytest.raises(SoukError, match="ranker_unavailable"):
        slates.score(queries)


def test_calibration_counts_candidates_and_labels(shop):
    calibration = metrics_of(shop.evaluate("good")[2])["calibration"]
    assert sum(part["count"] for part in calibration["engaged"]) == 8 * USERS * (CLICKS - 9)
    assert all(part["predicted"] == 0.5 for part in calibration["satisfied"])
    assert 0 < sum(part["count"] for part in calibration["satisfied"]) < USERS * (CLICKS - 9)
