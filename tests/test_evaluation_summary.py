"""The summary says what was measured, in a table and in lines under it."""

import re

from souk.evaluation.report import page, summary
from tests.report_fixtures import *  # noqa: F403
from tests.report_fixtures import VERDICT, words


def test_summary_is_one_aligned_table(metrics):
    lines = summary(metrics, VERDICT).splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert [cell.strip() for cell in table[0].strip("|").split("|")] == [
        "model", "HR@10", "NDCG@10", "MRR", "Recall@100", "coverage",
    ]  # fmt: skip
    assert len(table) == 6
    assert len({len(line) for line in table}) == 1
    assert len({tuple(m.start() for m in re.finditer(r"\|", line)) for line in table}) == 1
    slate = metrics["protocols"]["rolling"]["models"]["slate"]
    assert f"{slate['ndcg@10']['mean']:.4f}" in table[2]


def test_summary_says_what_it_rests_on_and_the_verdict(metrics):
    text = summary(metrics, VERDICT)
    assert (
        "25 queries of 25 users in the test window; each ranks the items that were there by then, of 20 in all." in text
    )
    assert "Of 30 positives: 66.7% kept, lost 16.7% in filtering (16.7% taken before), 16.7% in retrieval" in text
    assert re.search(r"Slate less (item_knn|popularity), the best baseline: ndcg@10 \+0\.\d{4} \(95%", text)
    assert "Gate: rejected. difference +0.0010 < margin" in text
    assert "Gate" not in summary(metrics, None)


def test_new_items_and_repeats_stand_apart_where_users_come_back(metrics, html):
    assert "new to the user" not in summary(metrics, VERDICT) + html
    rolling = metrics["protocols"]["rolling"]
    part = rolling["slices"]["user town: north"] | {"family": "new to the user"}
    back = {
        **metrics,
        "protocols": {**metrics["protocols"], "rolling": rolling | {"slices": {"new to the user": part}}},
    }
    assert re.search(r"ndcg@10 on items new to the user: slate 0\.\d{4}, champion 0", summary(back, VERDICT))
    assert "ranked among the items that this user never" in words(page(back, VERDICT))


def test_what_is_gone_is_told(metrics):
    rolling = metrics["protocols"]["rolling"]
    stages = rolling["stages"] | {"slate": rolling["stages"]["slate"] | {"unavailable": 0.253}}
    warned = metrics | {"protocols": metrics["protocols"] | {"rolling": rolling | {"stages": stages}}}
    for told in (summary(warned, VERDICT), words(page(warned, VERDICT))):
        assert "25.3% of the positives are of items that were not available by the items file" in told
    assert "not available by" not in summary(metrics, VERDICT) + words(page(metrics, VERDICT))


def test_a_head_that_is_not_learned_is_told_with_the_reason(metrics):
    why = "4 of its labels are known, fewer than 20, so it is 0.519 for every item; <fewer> within_days help"
    warned = metrics | {"not_learned": {"satisfied": why}}
    for told in (summary(warned, VERDICT), page(warned, VERDICT).replace("&lt;", "<").replace("&gt;", ">")):
        assert f"satisfied is not learned: {why}." in told
    assert "<fewer>" not in page(warned, VERDICT)
    assert "not learned" not in summary(metrics, VERDICT) + page(metrics, VERDICT), "one that is says nothing"


def test_a_head_that_tells_nothing_is_told(metrics):
    heads = {**metrics["ranker"]["slate"]["heads"]}
    blind = {"examples": 99, "auc": 0.51, "auc_low": 0.42, "auc_high": 0.6, "log_loss": 0.6, "base_log_loss": 0.7}
    slate = metrics["ranker"]["slate"] | {"heads": heads | {"satisfied": heads["satisfied"] | blind}}
    warned = metrics | {"ranker": metrics["ranker"] | {"slate": slate}}
    for told in (summary(warned, VERDICT), words(page(warned, VERDICT))):
        assert "satisfied tells no better than a coin: AUC 0.510 (95% 0.420 to 0.600) of 99 labels" in told
    known = warned | {"not_learned": {"satisfied": "4 of its labels are known"}}
    assert "a coin" not in summary(known, VERDICT), "it says already that it tells nothing"
    heads |= {
        "satisfied": {"examples": 0, "positives": 0},
        "kept": {**blind, "positives": 9, "predicted_over_observed": 4.0},
    }
    told = summary(metrics | {"ranker": {"slate": {"heads": heads}}}, VERDICT)
    assert "satisfied is not measured: no label" in told and "kept is not to be taken as a chance: on 99" in told


def test_what_few_items_leave_to_chance_is_told(metrics):
    for count, told in (
        (8, "Ten places hold all 8 items: HR, recall and coverage are 1 for whatever ranks them all"),
        (
            42,
            "hold 24% of so few items, which is the least HR@10 of an order by chance; Recall@50 and Recall@100 are 1",
        ),
        (80, "hold 12% of so few items, which is the least HR@10 of an order by chance; Recall@100 is 1 for whatever"),
    ):
        few = metrics | {"items": count}
        for text in (summary(few, VERDICT), words(page(few, VERDICT))):
            assert told in text
    large = metrics | {"items": 101}
    assert "Ten places hold" not in summary(large, VERDICT) + words(page(large, VERDICT))
