"""The summary and the page say what was measured, and nothing in a name breaks them."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from souk.evaluation.gate import Rule, Verdict
from souk.evaluation.protocol import METRICS, RECALL_AT
from souk.evaluation.report import page, summary

HISTORIES = {
    "two_tower": [{"loss": 3.0, "seconds": 1.0}, {"loss": 2.0, "seconds": 1.0}],
    "ranker": [{"loss": 0.5, "validation_loss": 0.6}],
}


def protocol(models=("slate", "two_tower", "popularity")):
    rng = np.random.default_rng(0)
    values = {}
    for model in models:
        means = {name: float(rng.uniform(0.1, 0.4)) for name in METRICS}
        intervals = {name: {"mean": mean, "low": mean - 0.05, "high": mean + 0.05} for name, mean in means.items()}
        values[model] = {**intervals, "coverage@10": 0.5, "popularity@10": 12.0}
    return {
        "queries": 321,
        "users": 45,
        "models": values,
        "recall_curve": {model: np.linspace(0, 1, len(RECALL_AT)).tolist() for model in models},
        "slices": {
            "cold users": {"queries": 9, "users": 9, **{model: dict.fromkeys(METRICS, 0.25) for model in models}},
            "new items": {"queries": 0, "users": 0},
        },
    }


@pytest.fixture
def metrics():
    return {
        "dataset": "<b>shop & co</b>",
        "primary": "ndcg@10",
        "items": 1682,
        "protocols": {"rolling": protocol(), "frozen": protocol()},
        "calibration": {"engaged": [{"predicted": 0.1, "observed": 0.12, "count": 50}], "satisfied": []},
    }


VERDICT = Verdict("reject", "old", (Rule("beats_champion", False, {"low": -0.01}, "difference +0.0010 < margin"),))


def test_summary_is_one_aligned_table(metrics):
    lines = summary(metrics, VERDICT).splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert [cell.strip() for cell in table[0].strip("|").split("|")] == [
        "model", "HR@10", "NDCG@10", "MRR", "Recall@100", "coverage",
    ]  # fmt: skip
    assert len(table) == 5
    assert len({len(line) for line in table}) == 1
    assert len({tuple(m.start() for m in re.finditer(r"\|", line)) for line in table}) == 1
    slate = metrics["protocols"]["rolling"]["models"]["slate"]
    assert f"{slate['ndcg@10']['mean']:.4f}" in table[2]


def test_summary_says_what_it_rests_on_and_the_verdict(metrics):
    text = summary(metrics, VERDICT)
    assert "321 queries of 45 users" in text
    assert "Gate: rejected. difference +0.0010 < margin" in text


def test_new_items_and_repeats_stand_apart_where_users_come_back(metrics):
    assert "new to the user" not in summary(metrics, VERDICT) + page(metrics, VERDICT, HISTORIES)
    found = {
        "queries": 5,
        "users": 4,
        "slate": dict.fromkeys(METRICS, 0.125),
        "popularity": dict.fromkeys(METRICS, 0.0),
    }
    metrics["protocols"]["rolling"]["slices"]["new to the user"] = found
    text = summary(metrics, VERDICT)
    assert "ndcg@10 on items new to the user: slate 0.1250, popularity 0.0000." in text
    assert "ranked among the items that this user never" in page(metrics, VERDICT, HISTORIES)


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.seen = []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))


def test_page_is_self_contained_and_has_every_plot(metrics):
    html = page(metrics, VERDICT, HISTORIES)
    tags = Tags()
    tags.feed(html)
    assert sum(tag == "svg" for tag, _ in tags.seen) == 5
    assert not any(tag in ("script", "link", "img") for tag, _ in tags.seen)
    assert not any(attrs.get("src") for _, attrs in tags.seen)
    assert re.search(r"321 queries of 45 users[^<]*\s1682 items", html)


def test_page_escapes_names(metrics):
    html = page(metrics, VERDICT, HISTORIES)
    assert "<b>shop" not in html
    assert "&lt;b&gt;shop &amp; co" in html
    assert "&lt; margin" in html


def test_page_without_training_or_calibration(metrics):
    metrics["calibration"] = {"engaged": [], "satisfied": []}
    html = page(metrics, VERDICT, {"ranker": []})
    assert html.count("<svg") == 3
    assert "Calibration" not in html


def test_page_is_the_same_for_the_same_numbers(metrics):
    assert page(metrics, VERDICT, HISTORIES) == page(metrics, VERDICT, HISTORIES)
