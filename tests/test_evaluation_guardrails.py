"""Each guardrail on both sides of its limit, on figures that are made by hand."""

import pytest

from souk.config import Evaluate
from souk.evaluation.guardrails import LEAST_EXAMPLES, LEAST_OF_EACH, RULES, guardrails
from souk.evaluation.slice_metrics import LEAST_SERVED, LEAST_USERS

TINY = 1e-9
STAGES = {"slate": {"k": 10}}  # the places that are looked at
NEARLY_ALL = LEAST_EXAMPLES - LEAST_OF_EACH  # positives


def bounds(mean, apart=0.01):
    return {"mean": mean, "low": mean - apart, "high": mean + apart}


def slices(high):
    """Of two slices the one whose upper bound is `high`, where the champion has .4."""
    told = {"users": 90, "challenger": 0.3, "difference": -0.1, "champion": 0.4}
    return {"rolling": {"against_champion": {"b": told | {"high": high}, "a": told | {"high": 1.0}}}}


def new_items(high, users=LEAST_USERS, served=LEAST_SERVED, gain=0, lose=0):
    models = {"slate": {"ndcg@10": bounds(0.1)}, "champion": {"ndcg@10": bounds(0.2)}}
    lead = {"champion": {"mean": -0.1, "low": -0.2, "high": high}}
    told = {"users": users, "models": models, "differences": lead}
    signs = {"champion": {"served": served, "gain": gain, "lose": lose}}
    return {"rolling": {"slices": {"new items": told | {"signs": signs}}}}


def shown(coverage):
    models = {"slate": {"coverage@10": coverage}, "champion": {"coverage@10": 0.4}}
    return {"rolling": {"models": models, "stages": STAGES}}


def top1(low, served):
    """The share of the most popular 1% of 200 items, which an even exposure gives .01."""
    models = {"slate": {"top1_share@10": bounds(0.5)}, "champion": {"top1_share@10": bounds(served)}}
    change = {"champion": {"top1_share@10": bounds(low + 0.01)}}
    return {"rolling": {"models": models, "differences": change, "stages": STAGES}}


def heads(ours, theirs, examples=LEAST_EXAMPLES, positives=LEAST_OF_EACH):
    """One head; a fifth of the least examples is positive. A champion without it has None."""
    size = {"examples": examples, "positives": positives}
    return {
        name: {"heads": {} if error is None else {"engaged": size | {"calibration_error": error}}}
        for name, error in (("slate", ours), ("champion", theirs))
    }


def cost(milliseconds=1.0, size=100, calls=5, served=5, theirs=100):
    return {
        "slate": {"calls": calls, "milliseconds": milliseconds, "bytes": size},
        "champion": {"calls": served, "milliseconds": 1.0, "bytes": theirs},
    }


@pytest.mark.parametrize(
    ("name", "limits", "metrics", "passed", "skipped"),
    [
        ("worst_slice", (0.05,), {"protocols": slices(-0.05 * 0.4)}, True, False),
        ("worst_slice", (0.05,), {"protocols": slices(-0.05 * 0.4 - TINY)}, False, False),
        ("worst_slice", (0.0,), {"protocols": slices(0.0)}, True, False),
        ("cold_items", (0.1,), {"protocols": new_items(-0.1 * 0.2)}, True, False),
        ("cold_items", (0.1,), {"protocols": new_items(-0.1 * 0.2 - TINY)}, False, False),
        ("cold_items", (0.1,), {"protocols": new_items(-0.1, LEAST_USERS - 1)}, True, True),
        ("cold_items", (0.1,), {"protocols": new_items(-0.1, served=5, lose=5)}, True, False),  # by chance 1 / 32
        ("cold_items", (0.1,), {"protocols": new_items(-0.1, served=7, lose=7)}, False, False),  # 1 / 128
        ("cold_items", (0.1,), {"protocols": new_items(-0.1, served=29, gain=6, lose=23)}, False, False),  # .001
        ("cold_items", (0.1,), {"protocols": new_items(-0.1, served=29, gain=9, lose=20)}, True, False),  # .03
        ("coverage", (0.25,), {"protocols": shown(0.75 * 0.4)}, True, False),
        ("coverage", (0.25,), {"protocols": shown(0.75 * 0.4 - TINY)}, False, False),
        ("popularity_bias", (0.25, 0.05), {"protocols": top1(0.05 - TINY, 0.2)}, True, False),
        ("popularity_bias", (0.25, 0.05), {"protocols": top1(0.05 + TINY, 0.2)}, False, False),
        ("popularity_bias", (0.25, 0.05), {"protocols": top1(0.049, 0.001)}, True, False),  # below the floor
        ("popularity_bias", (0.25, 0.0), {"protocols": top1(0.0115 - TINY, 0.001)}, True, False),  # a quarter of even
        ("popularity_bias", (0.25, 0.0), {"protocols": top1(0.0115 + TINY, 0.001)}, False, False),
        ("popularity_bias", (0.25, 0.0), {"items": 20, "protocols": top1(0.06, 0.001)}, True, False),  # even: one of 20
        ("calibration", (0.4, 0.002), {"ranker": heads(0.4 * 0.2, 0.01)}, True, False),
        ("calibration", (0.4, 0.002), {"ranker": heads(0.4 * 0.2 + TINY, 0.01)}, False, False),
        ("calibration", (0.4, 0.002), {"ranker": heads(0.5, 0.5)}, True, False),  # no more than the champion's
        ("calibration", (0.4, 0.002), {"ranker": heads(0.4 * 0.2, None)}, True, False),
        ("calibration", (0.4, 0.002), {"ranker": heads(0.4 * 0.2 + TINY, None)}, False, False),
        ("calibration", (0.4, 0.002), {"ranker": heads(0.5, 0.1, examples=LEAST_EXAMPLES - 1)}, True, True),
        ("calibration", (0.4, 0.002), {"ranker": heads(0.5, 0.1, positives=LEAST_OF_EACH - 1)}, True, True),
        ("calibration", (0.4, 0.002), {"ranker": heads(0.4 * 0.2, 0.01, positives=NEARLY_ALL)}, True, False),
        ("calibration", (0.4, 0.002), {"ranker": heads(0.4 * 0.2 + TINY, 0.01, positives=NEARLY_ALL)}, False, False),
        ("calibration", (0.4, 0.002), {"ranker": heads(0.2, 0.01, positives=NEARLY_ALL)}, False, False),  # 1 for all
        ("calibration", (0.4, 0.002), {"ranker": heads(0.5, 0.1, positives=NEARLY_ALL + 1)}, True, True),
        ("calibration", (0.4, 0.002), {"ranker": heads(0.4 * 0.45, 0.01, positives=550)}, True, False),
        ("calibration", (0.4, 0.002), {"ranker": heads(0.4 * 0.45 + TINY, 0.01, positives=550)}, False, False),
        ("latency", (1.0,), {"cost": cost(milliseconds=2.0)}, True, False),
        ("latency", (1.0,), {"cost": cost(milliseconds=2.0 + TINY)}, False, False),
        ("latency", (1.0,), {"cost": cost(milliseconds=9.0, calls=4)}, True, True),
        ("latency", (1.0,), {"cost": cost(milliseconds=9.0, served=4)}, True, True),
        ("size", (1.0,), {"cost": cost(size=200)}, True, False),
        ("size", (1.0,), {"cost": cost(size=201)}, False, False),
        ("size", (1.0,), {"cost": cost(size=0)}, True, True),
        ("size", (1.0,), {"cost": cost(theirs=0)}, True, True),
    ],
)
def test_a_rule_breaks_beyond_its_limit_and_no_sooner(name, limits, metrics, passed, skipped):
    metrics = {"primary": "ndcg@10", "items": 200, **metrics}
    rule = RULES[name](metrics, *limits)
    assert (rule.name, rule.passed, rule.skipped) == (name, passed, skipped)


def test_the_slice_that_is_furthest_beyond_its_own_limit_is_the_worst():
    """A loss of .03 is more than a twentieth of .4, and less than one of .8."""
    told = {"users": 90, "challenger": 0.3, "difference": -0.1, "high": -0.03}
    slices = {"large": told | {"champion": 0.8}, "small": told | {"champion": 0.4}}
    rule = RULES["worst_slice"]({"primary": "ndcg@10", "protocols": {"rolling": {"against_champion": slices}}}, 0.05)
    assert (rule.passed, rule.numbers["slice"]) == (False, "small")


def test_a_slice_that_certainly_loses_is_the_worst_before_one_that_may_lose_more():
    told = {"users": 90, "challenger": 0.3, "champion": 0.4}
    slices = {"noisy": told | {"difference": -0.1, "high": 0.02}, "sure": told | {"difference": -0.05, "high": -0.04}}
    rule = RULES["worst_slice"]({"primary": "ndcg@10", "protocols": {"rolling": {"against_champion": slices}}}, 0.05)
    assert (rule.passed, rule.numbers["slice"]) == (False, "sure")


def test_the_head_that_broke_is_told_before_one_that_is_further_off_and_no_worse_than_the_champions():
    size = {"examples": LEAST_EXAMPLES, "positives": LEAST_OF_EACH}
    errors = {"slate": {"engaged": 0.9, "kept": 0.1}, "champion": {"engaged": 0.95, "kept": 0.01}}
    ranker = {
        model: {"heads": {head: size | {"calibration_error": error} for head, error in own.items()}}
        for model, own in errors.items()
    }
    rule = RULES["calibration"]({"ranker": ranker}, 0.4, 0.002)
    assert (rule.passed, rule.numbers["head"]) == (False, "kept")


@pytest.mark.parametrize(("low", "passed"), [(0.3, True), (0.3 + TINY, False)])
def test_parity_breaks_where_the_certain_part_of_a_gap_is_more_than_allowed_of_a_first_release_too(low, passed):
    gap = {"highest": "town: a", "lowest": "town: b", "gap": 0.5, "low": low, "high": 0.7}
    metrics = {"primary": "ndcg@10", "protocols": {"rolling": {"models": {}, "parity": {"town": gap}}}}
    *others, parity = guardrails(metrics, Evaluate(segment_parity={"town": 0.3}))
    assert all(rule.skipped for rule in others)
    assert (parity.name, parity.passed, parity.skipped) == ("segment_parity_town", passed, False)
