"""A small shop's report, as summary and page are tested with."""

import re

import pytest

from souk.evaluation.baselines import ItemKnn, Popularity
from souk.evaluation.measure import measure_models
from souk.evaluation.report import page
from souk.evaluation.verdict import Rule, Verdict
from tests.evaluation_fixtures import FixedSlates, shop_setting

TRAINING = {
    "two_tower": [
        {"loss": 3.0, "seconds": 1.0},
        {"loss": 2.0, "seconds": 1.0, "ndcg@10": 0.3},
        {"loss": 2.5, "seconds": 1.0, "refresh": 1.0},
    ],
    "ranker": [
        {"stage": 0, "held_out_loss": 0.9, "ndcg@10": 0.1},
        {"stage": 1, "held_out_loss": 0.6, "ndcg@10": 0.2, "loss": 1.5, "seconds": 1.0},
        {"stage": 2, "held_out_loss": 0.5, "ndcg@10": 0.3, "loss": 1.3, "seconds": 1.0},
    ],
}


PARETO = [
    {
        "weight": weight,
        "ndcg@10": 0.31 - weight / 75,
        "satisfied_ndcg@10": 0.2 + weight / 15,
        "expected_ndcg@10": 0.3,
        "expected_satisfied_ndcg@10": 0.2,
        "chosen": float(weight > 0),
    }
    for weight in (0.0, 0.75)
]


RULE = Rule("beats_champion", False, {"low": -0.01}, "difference +0.0010 < margin")


VERDICT = Verdict("reject", "old", (RULE,))


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    return shop_setting(tmp_path_factory.mktemp("shop"))


def measured(setting, champion=()):
    """A slate of i03, i05, i00 beside one of the items of `champion`."""
    catalogue = setting.catalogue
    slates = [FixedSlates(catalogue, ["i03", "i05", "i00"], {"i03": 0.9, "i05": 0.5})]
    if champion:
        slates.append(FixedSlates(catalogue, champion, {champion[0]: 0.9}, "champion"))
    metrics, _ = measure_models(setting, slates, [ItemKnn(catalogue), Popularity(catalogue)])
    return metrics | {"training": TRAINING, "champion": "old" if champion else ""}


@pytest.fixture(scope="module")
def metrics(setting):
    return measured(setting, ["i05", "i19"])


@pytest.fixture(scope="module")
def html(metrics):
    return page(metrics, VERDICT)


def words(html):
    """The text of a page, without tags."""
    return re.sub(r"\s+", " ", re.sub(r"<svg.*?</svg>|<style.*?</style>|<[^>]*>", " ", html, flags=re.DOTALL))
