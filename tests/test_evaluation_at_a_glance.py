"""The first sentence of the report says in words how often the slate has what is taken."""

import pytest

from souk.evaluation.at_a_glance import at_a_glance, too_good


def told(mean, low, high, lead=(0.01, 0.05), rule=0.2, unanswered=0, users=20, other=0.0, **served):
    """Of one model with an interval, a rule, and how far the lead on it goes; beside 90 moments with an answer."""
    models = {
        "slate": {"hr@10": {"mean": mean, "low": low, "high": high}},
        "item_knn": {"hr@10": {"mean": rule}},
        "popularity": {"hr@10": {"mean": other}},
        **{name: {"hr@10": {"mean": value}} for name, value in served.items()},
    }
    differences = {name: {"hr@10": {"low": lead[0], "high": lead[1]}} for name in ("item_knn", "popularity")}
    counts = {"queries": 90, "users": users, "unanswered": unanswered}
    looked_at = {"stages": {"slate": {"k": 10}}}
    rolling = {"models": models, "best_baseline": "item_knn", "differences": differences, **counts, **looked_at}
    return at_a_glance(rolling, "shop-1")


def test_it_has_the_slate_with_its_interval_the_champion_and_the_best_rule():
    assert told(0.312, 0.284, 0.343, rule=0.266, champion=0.295) == (
        "Of 100 moments at which a user takes something that may be recommended, the slate has it among its first ten "
        "at 31 (95% 28 to 34), the release shop-1 at 30; the best simple rule, item knn, at 27, which is fewer "
        "beyond chance."
    )
    assert "shop-1" not in told(0.3, 0.2, 0.4)


def test_the_rule_is_the_one_that_has_it_most_often_whatever_decides():
    """`best_baseline` is the best by the primary metric, and the figures here are of HR@10."""
    assert "the best simple rule, popularity, at 33" in told(0.312, 0.284, 0.343, rule=0.266, other=0.334)
    assert "the best simple rule, item knn, at 27" in told(0.312, 0.284, 0.343, rule=0.266, other=0.266)


@pytest.mark.parametrize("lead", [(0.1, 0.2), (-0.2, -0.1), (-0.1, 0.1)])
def test_of_few_users_no_lead_is_beyond_chance(lead):
    assert told(1.0, 1.0, 1.0, lead, users=19).endswith("item knn, at 20, of too few users to tell.")


def test_moments_without_an_answer_are_told_where_they_are_more_than_a_few():
    told_of = told(0.3, 0.2, 0.4, unanswered=10)
    assert told_of.endswith(
        "beyond chance. Beside these, 10% of all moments have no answer: `repeat`, the user or the catalogue keeps all "
        "that was taken at them out of slates."
    )
    assert "no answer" not in told(0.3, 0.2, 0.4, unanswered=4)


def test_few_of_a_hundred_have_a_decimal():
    assert "first ten at 0.4 (95% 0.0 to 10)" in told(0.0042, 0.0, 0.0996)


@pytest.mark.parametrize(
    ("lead", "words"),
    [
        ((0.001, 0.1), "which is fewer beyond chance"),
        ((-0.2, -0.001), "which is more beyond chance"),
        ((-0.1, 0.1), "no difference beyond chance"),
        ((0.0, 0.0), "no difference beyond chance"),
    ],
)
def test_the_lead_on_the_rule_is_told_by_its_interval(lead, words):
    assert told(0.3, 0.2, 0.4, lead).endswith(f"item knn, at 20, {words}.")


@pytest.mark.parametrize(
    ("own", "rule", "low", "asked"),
    [
        (0.6162, 0.2047, 0.4, True),  # of a store of apps whose context told the version of the app that was used
        (0.6162, 0.0, 0.5, True),
        (0.15, 0.05, 0.05, True),
        (0.2049, 0.1529, 0.01, False),
        (0.3, 0.15, 0.1, False),
        (0.03, 0.001, 0.01, False),  # of next to nothing
        (0.15, 0.0, 0.0, False),  # two hits of a dozen queries
    ],
)
def test_a_lead_that_is_too_good_to_be_true_is_asked_for(own, rule, low, asked):
    models = {"slate": {"ndcg@10": {"mean": own}}, "item_knn": {"ndcg@10": {"mean": rule}}}
    lead = {"item_knn": {"ndcg@10": {"low": low}}}
    rolling = {"models": models, "best_baseline": "item_knn", "differences": lead}
    found = too_good(rolling | {"users": 20}, "ndcg@10")
    assert ("Does a column tell the answer?" in found) is asked is bool(found)
    assert too_good(rolling | {"users": 19}, "ndcg@10") == "", "of too few users to tell"
