"""Everything that an evaluation tells, of a shop and models whose answers are known by construction."""

import json

import numpy as np
import pytest

from souk.config import Evaluate
from souk.errors import SoukError
from souk.evaluation.asked import drawn
from souk.evaluation.baselines import ItemKnn, Popularity
from souk.evaluation.examples import USERS, example_users
from souk.evaluation.measure import _labels as labels_of
from souk.evaluation.measure import _overlap as overlap
from souk.evaluation.measure import main_metrics, measure_models
from souk.evaluation.observed import Observed
from souk.evaluation.protocol import METRICS, Ranking, Users, rank
from souk.evaluation.queries import rolling_queries
from souk.evaluation.report import lost, page
from souk.evaluation.setting import Setting
from souk.evaluation.stages import STAGES, attribution, gone
from tests.evaluation_fixtures import (
    DAY,
    EVENTS,
    ITEMS,
    START,
    Fixed,
    FixedSlates,
    content_of,
    make_spec,
    reader,
    shop_setting,
    spec_of,
    write_artifacts,
    write_examples,
)
from tests.marketplace import CONFIG


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    setting = shop_setting(tmp_path_factory.mktemp("shop"))
    slates = [
        FixedSlates(setting.catalogue, ["i00", "i03", "i05"], {"i03": 0.9, "i00": 0.5}),
        FixedSlates(setting.catalogue, ["i05", "i00"], {"i05": 0.9, "i00": 0.5}, "champion"),
    ]
    others = [ItemKnn(setting.catalogue), Popularity(setting.catalogue)]
    return measure_models(setting, slates, others)


def test_items_that_come_after_the_window_are_not_counted(tmp_path, monkeypatch):
    """Of six items one is not available; of two more one comes in the window, one nine days after its begin."""
    dates = {"late": START + 3, "later": START + 9 * DAY}
    spec, told = make_spec({**CONFIG, "columns": {}}), []
    tables, features = write_artifacts(tmp_path / "shop", EVENTS, ITEMS | dict.fromkeys(dates, True), START, (), dates)
    write_examples(features, {})
    setting = Setting.read(Evaluate(bootstrap=100), spec, tables, features, told.append)
    metrics, _ = measure_models(
        setting, [FixedSlates(setting.catalogue, ["c"], {"c": 0.9})], [Popularity(setting.catalogue)]
    )
    assert metrics["items"] == 6
    without = write_artifacts(tmp_path / "without", EVENTS, ITEMS | {"late": True}, START, (), {"late": START + 3})
    write_examples(without[1], {})
    before = Setting.read(Evaluate(bootstrap=100), spec, *without, told.append)
    catalogue = before.catalogue
    figures, _ = measure_models(before, [FixedSlates(catalogue, ["c"], {"c": 0.9})], [Popularity(catalogue)])
    models = [found["protocols"]["rolling"]["models"] for found in (metrics, figures)]
    assert models[0] == models[1], "what comes after the window moves no figure"
    assert [line for line in told if "queries" in line and not line.endswith("users, 6 items")] == []
    assert len(told) >= 2
    told.clear()
    monkeypatch.setattr("souk.progress.WORD_SECONDS", -1.0)
    measure_models(setting, [FixedSlates(setting.catalogue, ["c"], {"c": 0.9})], [Popularity(setting.catalogue)])
    assert told[1:3] == ["rolling: 3 of 3 queries", "rolling: all answered, measuring"]


def test_of_more_users_so_many_are_asked(tmp_path):
    spec, told = make_spec({**CONFIG, "columns": {}}), []
    tables, features = write_artifacts(tmp_path / "shop", EVENTS, ITEMS, START)
    setting = Setting.read(Evaluate(bootstrap=100, max_users=1), spec, tables, features, told.append)
    assert len(setting.window.events) == 1
    assert told == ["1 of the 2 users who engage in the window are drawn (evaluate.max_users)"]
    write_examples(features, {})
    catalogue = setting.catalogue
    metrics, _ = measure_models(setting, [FixedSlates(catalogue, ["c"], {"c": 0.9})], [Popularity(catalogue)])
    assert metrics["users"] == {"engaging": 2, "drawn": 1}
    assert drawn(metrics) == ", of 1 drawn from the 2 who engage,"
    assert drawn({"users": {"engaging": 2, "drawn": 2}}) == ""


def test_a_pause_that_leaves_no_query_is_told(tmp_path):
    spec = make_spec({**CONFIG, "columns": {}, "repeat": {"rule": "always", "pause_minutes": 1}})
    looks = [("ann", "a", "click", START - 1), ("ann", "a", "click", START + 5)]
    tables, features = write_artifacts(tmp_path / "shop", looks, ITEMS, START)
    write_examples(features, {})
    setting = Setting.read(Evaluate(bootstrap=100), spec, tables, features, lambda line: None)
    with pytest.raises(SoukError, match=r"none: 1 at hand.*lower repeat\.pause_minutes"):
        measure_models(setting, [FixedSlates(setting.catalogue, ["c"], {})], [Popularity(setting.catalogue)])


def test_every_positive_is_kept_or_lost_at_one_stage():
    """Per query: kept though no candidate; not a candidate; ranked behind the tenth; moved out by the re-ranking."""
    ranks = [np.array([3.0, 50.0]), np.array([11.0]), np.array([12.0, 1.0])]
    found = [np.array([False, False]), np.array([True]), np.array([True, True])]
    moved = [np.array([False, False]), np.array([False]), np.array([True, True])]
    told = attribution(ranks, found, moved, {"ended": 3, "not available": 0, "taken before": 2})
    assert told["positives"] == 10
    assert told["shares"] == {
        "filtering": 0.5, "retrieval": 0.1, "ranking": 0.1, "reranking": 0.1, "kept": 0.2,
    }  # fmt: skip
    assert told["causes"] == {"ended": 0.3, "not available": 0, "taken before": 0.2}
    assert lost(told).startswith("20.0% kept, lost 50.0% in filtering (30.0% ended, 20.0% taken before), 10.0% in ret")


def test_much_that_is_not_available_any_more_is_warned_of():
    ranks, no = [np.ones(18)], [np.zeros(18, bool)]
    little, much = (attribution(ranks, no, no, {"ended": 2 + more}, 2 + more) for more in (0, 1))
    assert (little["unavailable"], gone(little)) == (0.1, "")
    assert gone(much).startswith("14.3% of the positives are of items that were not available by the items file: they")


@pytest.mark.parametrize("seed", range(5))
def test_shares_of_the_stages_sum_to_one(seed):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 4, 30)
    ranks = [np.where(rng.uniform(size=n) < 0.2, np.inf, rng.integers(1, 40, n)) for n in sizes]
    masks = [[rng.uniform(size=n) < 0.5 for n in sizes] for _ in range(2)]
    told = attribution(ranks, *masks, {"ended": int(rng.integers(0, 9))})
    assert tuple(told["shares"]) == STAGES
    assert sum(told["shares"].values()) == pytest.approx(1.0)
    assert told["shares"]["kept"] == pytest.approx(
        np.mean(np.concatenate(ranks) <= 10) * sizes.sum() / told["positives"]
    )


def test_stages_of_a_slate(measured):
    """Ten users take i03, ten i05, five what they had, five i19 that is never a candidate."""
    shares = measured[0]["protocols"]["rolling"]["stages"]["slate"]["shares"]
    assert sum(shares.values()) == pytest.approx(1.0)
    assert shares["filtering"] == pytest.approx(5 / 30)
    assert shares["retrieval"] == pytest.approx(5 / 30)
    assert shares["kept"] == pytest.approx(20 / 30)


def observed_of(tmp_path):
    spec = spec_of("always")
    window, catalogue = reader(tmp_path)(spec)
    queries = rolling_queries(window, catalogue, spec, most=20)  # targets c and d, b, new
    slates = FixedSlates(catalogue, ["a", "c", "b", "d"], {"d": 0.8, "c": 0.4, "a": 0.2, "b": 0.1})
    slates.score(queries)
    return queries, slates.observed


def test_the_ranker_is_seen_on_its_candidates(tmp_path):
    queries, observed = observed_of(tmp_path)
    assert [found.tolist() for found in observed.found] == [[True, True], [True], [False]]
    assert [ranks.tolist() for ranks in observed.ranked] == [[2, 1], [4], [np.inf]]
    assert [ranks.tolist() for ranks in observed.retrieved] == [[2, 4], [3], [np.inf]]
    first, second = queries[0].target_events
    told = observed.measure({"satisfied": {first: 1, second: 0}}, samples=100)
    engaged, satisfied = told["heads"]["engaged"], told["heads"]["satisfied"]
    assert (engaged["examples"], engaged["positives"]) == (12, 3)
    assert (satisfied["examples"], satisfied["positives"]) == (2, 1)
    scores = np.array([0.2, 0.4, 0.1, 0.8] * 3)
    hits = np.array([0, 1, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0], bool)
    above = (scores[hits][:, None] > scores[~hits]).mean() + (scores[hits][:, None] == scores[~hits]).mean() / 2
    assert engaged["auc"] == pytest.approx(above)
    order = told["ndcg@10"]["engaged"]
    assert (order["queries"], order["users"]) == (2, 1)
    assert order["ranker"]["mean"] == pytest.approx((1 + 1 / np.log2(5)) / 2)
    ideal = 1 + 1 / np.log2(3)
    assert order["retrieval"]["mean"] == pytest.approx(((1 / np.log2(3) + 1 / np.log2(5)) / ideal + 1 / np.log2(4)) / 2)
    assert told["ndcg@10"]["satisfied"]["ranker"]["mean"] == pytest.approx(1 / np.log2(3))  # c alone was satisfying
    assert order["difference"]["mean"] == pytest.approx(order["ranker"]["mean"] - order["retrieval"]["mean"])


def test_what_is_predicted_is_held_against_what_came_in_the_tenths_with_200_positives():
    observed, halves = Observed(), np.repeat([0.1, 0.5], 2500)
    observed.engaged.append(halves)
    observed.chosen.append(np.arange(5000) % np.repeat([20, 4], 2500) == 0)  # a 20th of the low half, a 4th of the high
    head = observed.measure({}, samples=10)["heads"]["engaged"]
    assert head["predicted_over_observed"] == pytest.approx(2.0)
    assert "predicted_over_observed_low" not in head, "25 and 125 positives a tenth"
    observed.engaged, observed.chosen = [halves.repeat(2)], [observed.chosen[0].repeat(2)]
    head = observed.measure({}, samples=10)["heads"]["engaged"]
    assert head["predicted_over_observed_low"] == head["predicted_over_observed_high"] == pytest.approx(2.0)


def test_nothing_observed_is_told_as_nothing():
    told = Observed().measure({}, samples=100)
    assert told["heads"]["engaged"] == {"examples": 0, "positives": 0}
    assert told["ndcg@10"]["engaged"] == {"queries": 0, "users": 0}


def test_one_known_label_has_no_auc(tmp_path):
    queries, observed = observed_of(tmp_path)
    head = observed.measure({"satisfied": {queries[0].target_events[0]: 1}}, samples=100)["heads"]["satisfied"]
    losses = {"log_loss", "base_log_loss", "calibration_error"}
    assert head.keys() == {"examples", "positives", "predicted_over_observed"} | losses


def test_the_value_of_a_slate_is_that_of_its_hits(measured):
    """Every event has the price of its item's number; i03 and i05 stand in the slate, i19 does not, and i05 is clicked
    alone."""
    business = measured[0]["protocols"]["rolling"]["business"]
    slate = business["models"]["slate"]
    assert slate["value_per_slate@10"]["mean"] == pytest.approx(10 * 3 / 25)
    assert slate["value_share@10"] == pytest.approx(10 * 3 / (10 * 3 + 5 * 19))
    assert business["valued"] == "purchases" and business["window"]["orders"] == 20


def test_examples_are_drawn_and_marked(tmp_path):
    spec = spec_of("always")
    acts = (("a", "click", -9), ("c", "purchase", -5), ("b", "click", 1), ("c", "click", 2))
    events = [(f"u{n:02d}", item, act, START + t) for n in range(30) for item, act, t in acts]
    window, catalogue = reader(tmp_path)(spec, events)
    queries = rolling_queries(window, catalogue, spec, most=20)
    ranking = rank(Fixed(catalogue, {"b": 1.0}, "slate"), queries, catalogue)
    found = example_users([ranking], queries, catalogue, content_of(catalogue), ["slate", "champion"])
    assert len({user["user_id"] for user in found}) == USERS
    assert found == example_users([ranking], queries, catalogue, content_of(catalogue), ["slate", "champion"])
    assert all((user["history"], user["targets"], user["events"]) == (["C", "A"], ["B"], 2) for user in found), (
        "what engages is no more of what they did than what does not"
    )
    assert found[0]["slates"] == {"slate": [("B", True), ("A", False), ("C", False), ("D", False), ("NEW", False)]}


def test_the_whole_is_json_and_has_what_a_gate_asks_for(measured):
    metrics, per_user = measured
    assert json.loads(json.dumps(metrics, allow_nan=False)) is not None
    rolling = metrics["protocols"]["rolling"]
    assert list(rolling["models"]) == ["slate", "champion", "item_knn", "popularity"]
    assert {*METRICS, "popularity@10", "novelty@10", "top1_share@10", "coverage@10", "gini@10"} <= set(
        rolling["models"]["slate"]
    )
    assert rolling["best_baseline"] in ("item_knn", "popularity")
    assert metrics["ranker"]["champion"]["heads"]["engaged"]["calibration_error"] > 0
    south = rolling["slices"]["user town: south"]
    assert south["differences"]["champion"].keys() == {"mean", "low", "high"}
    assert rolling["overlap@10"] == pytest.approx(0.99, abs=0.11)
    assert per_user.groupby("model").size().to_dict() == dict.fromkeys(rolling["models"], 25)
    values = main_metrics(metrics)
    assert values["slate_ndcg@10"] == rolling["models"]["slate"]["ndcg@10"]["mean"]


def test_a_setting_without_prices_or_content_is_measured(tmp_path):
    spec = spec_of("always")
    events = [("ann", "a", "click", START - 1), ("ann", "b", "click", START)]
    tables, features = write_artifacts(tmp_path / "bare", events, {"a": True, "b": True}, START)
    write_examples(features, {"e00001": -1})
    setting = Setting.read(Evaluate(bootstrap=100), spec, tables, features)
    slates = [FixedSlates(setting.catalogue, ["a"], {"a": 0.5})]
    metrics, _ = measure_models(setting, slates, [ItemKnn(setting.catalogue), Popularity(setting.catalogue)])
    assert json.dumps(metrics, allow_nan=False)  # no label of the window is known yet
    rolling = metrics["protocols"]["rolling"]
    assert rolling["business"] == {"window": {}, "unknown": {}, "models": {}, "valued": "purchases"}
    assert rolling["overlap@10"] is None
    assert rolling["worst_slices"].keys() == {"least_users"}


@pytest.mark.parametrize(("best", "other"), [("item_knn", "popularity"), ("popularity", "item_knn")])
def test_the_best_baseline_is_the_one_with_the_highest_mean_and_no_other_model(tmp_path, best, other):
    setting = shop_setting(tmp_path)
    scores = {other: {"i19": 0.9}, best: {"i03": 0.9, "i05": 0.8}}
    scores["two_tower"] = scores[best] | {"i19": 0.7}  # is ahead of both, and no baseline
    slates = [FixedSlates(setting.catalogue, ["i03"], {"i03": 0.9})]
    beside = [Fixed(setting.catalogue, own, name) for name, own in scores.items()]
    rolling = measure_models(setting, slates, beside)[0]["protocols"]["rolling"]
    means = {name: rolling["models"][name]["ndcg@10"]["mean"] for name in scores}
    assert rolling["best_baseline"] == best and means["two_tower"] > means[best] > means[other]


def test_the_overlap_is_the_share_of_what_is_shown_that_the_other_shows_too():
    """Ann asks twice: all three of her first slate are the other's, one of two of the second; bob's two are not."""
    users = Users(("ann", "bob"), np.array([0, 0, 1]))
    ours, theirs = (
        Ranking("x", [], [], np.array([[*row, *[-1] * (10 - len(row))] for row in rows]))
        for rows in (([0, 1, 2], [3, 4], [5, 6]), ([2, 1, 0, 9], [4], [7]))
    )
    assert overlap(ours, theirs, users) == pytest.approx((1 + 1 / 2) / 4)
    assert overlap(theirs, ours, users) == pytest.approx((3 / 4 + 1) / 4)


def test_a_label_that_is_not_known_yet_is_no_example(tmp_path):
    write_examples(tmp_path, {"yes": 1, "no": 0, "later": -1})
    assert labels_of(tmp_path, {"engaged", "satisfied"}) == {"satisfied": {"yes": 1, "no": 0}}


def test_what_is_counted_has_no_decimals_in_the_report(measured):
    metrics, _ = measured
    rolling = metrics["protocols"]["rolling"]
    window = {"orders": 428.0, "average_order_value": 12.5, "conversion": 0.25}
    shop = rolling | {"business": rolling["business"] | {"window": window}}
    said = " ".join(page(metrics | {"protocols": metrics["protocols"] | {"rolling": shop}}, None).split())
    assert "orders 428; average order value 12.50; conversion 25.0%. These are of the log" in said
    assert "not told" not in said
    window.pop("conversion")
    shop["business"]["unknown"] = {"conversion": "all <b> of it"}
    said = " ".join(page(metrics | {"protocols": metrics["protocols"] | {"rolling": shop}}, None).split())
    assert "whatever was shown then. conversion is not told: all &lt;b&gt; of it.</p>" in said
