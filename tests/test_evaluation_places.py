"""What an evaluation tells of slates that are shorter than the ten places that it looks at otherwise."""

from dataclasses import replace

import pytest

from souk.config import Evaluate
from souk.evaluation.baselines import ItemKnn, Popularity
from souk.evaluation.guardrails import guardrails
from souk.evaluation.measure import main_metrics, measure_models
from souk.evaluation.places import places_of
from souk.evaluation.report import page, summary
from souk.evaluation.reranking import Alternatives
from tests.evaluation_fixtures import FixedSlates, shop_setting
from tests.report_fixtures import words

FIRST = [f"i{n:02d}" for n in range(6, 12)]


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    return shop_setting(tmp_path_factory.mktemp("shop"))


def slates(catalogue, size, name="slate"):
    """i03, which ten of thirty users take, is the seventh of the slate, and i05, which ten take, the first."""
    order = ["i05", *FIRST[:5], "i03", *FIRST[5:]]
    made = FixedSlates(catalogue, order, {item: 0.9 - n / 100 for n, item in enumerate(order)}, name)
    made.alternatives = Alternatives(size=size)
    return made


def measured(setting, size, champion=None):
    catalogue = setting.catalogue
    both = [slates(catalogue, size)] + ([slates(catalogue, champion, "champion")] if champion else [])
    metrics, _ = measure_models(setting, both, [ItemKnn(catalogue), Popularity(catalogue)])
    return metrics | {"champion": "old" if champion else ""}


@pytest.mark.parametrize(
    ("size", "kept", "hits"), [(5, 10 / 30, 10 / 25), (10, 20 / 30, 20 / 25), (20, 20 / 30, 20 / 25)]
)
def test_what_stands_behind_the_slate_is_not_shown(setting, size, kept, hits):
    rolling = measured(setting, size)["protocols"]["rolling"]
    places = min(size, 10)
    assert rolling["stages"]["slate"]["k"] == places_of(rolling) == places
    assert rolling["stages"]["slate"]["shares"]["kept"] == pytest.approx(kept)
    own = rolling["models"]["slate"]
    assert own[f"hr@{places}"]["mean"] == pytest.approx(hits)
    assert own["hr@10"]["mean"] == pytest.approx(20 / 25), "ten of the ranking, whatever is shown of it"
    assert own[f"coverage@{places}"] == places / 20, "the same items for all"
    assert all(len(each["slates"]["slate"]) == places for each in rolling["examples"])


def test_a_short_slate_is_told_as_one(setting):
    metrics = measured(setting, 5, champion=20)
    for text in (summary(metrics, None), words(page(metrics, None))):
        assert "Slates have 5 places" in text and "`evaluate.primary: ndcg@5` does not" in text
        assert "HR@5" in text and "HR@10" not in text
    assert "the slate has it among its first 5 at 40" in words(page(metrics, None))
    shown = replace(setting, settings=setting.settings.model_copy(update={"primary": "ndcg@5"}))
    assert "evaluate.primary" not in summary(measured(shown, 5), None)
    assert "Slates have" not in summary(measured(setting, 10), None) + words(page(measured(setting, 10), None))


def test_guardrails_look_at_the_places_of_the_shortest_slates(setting):
    for size, champion in ((5, 20), (20, 5)):
        metrics = measured(setting, size, champion)
        assert (
            main_metrics(metrics)["slate_coverage@5"]
            == metrics["protocols"]["rolling"]["models"]["slate"]["coverage@5"]
        )
        rules = {rule.name: rule for rule in guardrails(metrics, Evaluate())}
        assert rules["coverage"].passed and not rules["coverage"].skipped
        assert rules["popularity_bias"].passed and not rules["popularity_bias"].skipped
