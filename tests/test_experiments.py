"""Who is in which arm, and whether the arms came out as planned."""

import itertools
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from souk.config.experiments import BUCKETS, Experiments, parse_experiments
from souk.errors import SoukError
from souk.experiments import PRIOR_UNITS, arms_of, assigned, bucket, held_out, label, sample_ratio_p
from tests.chi_square import chi_square_p
from tests.requirements import require

USERS = [f"user-{n}" for n in range(40_000)]
PLAN = parse_experiments(
    """
holdout: 0.1
experiments:
  colour:
    traffic: 0.6
    arms: {red: {share: 0.3}, blue: {share: 0.2}, control: {share: 0.5}}
  weight:
    arms: {control: {share: 0.5}, more: {share: 0.5, weights: {satisfied: 2}}}
  shuffle: {unit: request, arms: {a: {share: 0.5}, b: {share: 0.5}}}
"""
)


def chi_square(counts, expected):
    return sum((c - e) ** 2 / e for c, e in zip(counts, expected, strict=True))


def test_a_bucket_is_what_any_other_system_computes():
    assert bucket("colour", "ann") == int("aa503345887e43dd", 16) % 10_000
    program = require("sha256sum", "apt-get install -y coreutils")
    for salt, unit in (("holdout", "42"), ("colour.traffic", "Zoë"), ("s-1", "日本")):
        words = subprocess.run([program], input=f"{salt}:{unit}".encode(), capture_output=True, check=True).stdout
        assert bucket(salt, unit) == int(words[:16], 16) % 10_000


def test_buckets_are_uniform():
    counts = np.bincount([bucket("colour", user) // 100 for user in USERS], minlength=100)
    assert chi_square_p(chi_square(counts, [len(USERS) / 100] * 100), 99) > 0.001


@pytest.mark.parametrize(("one", "other"), [("colour", "weight"), ("a", "b"), ("colour", "colour.traffic")])
def test_salts_tell_nothing_of_each_other(one, other):
    table = np.zeros((10, 10))
    for user in USERS:
        table[bucket(one, user) // 1000, bucket(other, user) // 1000] += 1
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / len(USERS)
    assert chi_square_p(((table - expected) ** 2 / expected).sum(), 81) > 0.001


def test_arms_get_their_shares_of_the_traffic_and_are_independent_of_the_other_experiment():
    arms = [assigned(PLAN, user, f"r-{user}") for user in USERS]
    free = [a for user, a in zip(USERS, arms, strict=True) if not held_out(PLAN, user)]
    shares = {"control": 0.3, "red": 0.18, "blue": 0.12, None: 0.4}
    counts = [sum(a.get("colour") == arm for a in free) for arm in shares]
    assert chi_square_p(chi_square(counts, [len(free) * s for s in shares.values()]), 3) > 0.001
    both = [(a["colour"], a["weight"]) for a in free if "colour" in a]
    table = np.array([[both.count((c, w)) for w in ("control", "more")] for c in ("red", "blue", "control")])
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    assert chi_square_p(((table - expected) ** 2 / expected).sum(), 2) > 0.001


def test_the_held_out_are_in_no_experiment_and_as_many_as_asked_for():
    held = [user for user in USERS if held_out(PLAN, user)]
    assert chi_square_p(chi_square([len(held), len(USERS) - len(held)], [4_000, 36_000]), 1) > 0.001
    assert all(assigned(PLAN, user, "r") == {} for user in held)


def test_more_traffic_moves_nobody_from_arm_to_arm():
    more = PLAN.model_copy(
        update={"experiments": {"colour": PLAN.experiments["colour"].model_copy(update={"traffic": 1.0})}}
    )
    before = {u: a["colour"] for u in USERS if "colour" in (a := assigned(PLAN, u, ""))}
    after = {u: a["colour"] for u in USERS if "colour" in (a := assigned(more, u, ""))}
    assert len(before) < 0.7 * len(after) and before.items() <= after.items()


def test_without_a_user_only_experiments_by_request_assign():
    assert assigned(PLAN, "", "r1").keys() == {"shuffle"} and not held_out(PLAN, "")
    assert len({assigned(PLAN, "", f"r{n}")["shuffle"] for n in range(20)}) == 2


def test_a_label_can_be_read_again():
    arms = {"weight": "more", "colour": "red"}
    assert label(arms) == "colour=red,weight=more" and arms_of(label(arms)) == arms
    assert label({}) == "" and arms_of("") == arms_of("holdout") == {}


@pytest.mark.parametrize(
    ("statistic", "freedom", "p"),  # of tables: chi-square beyond which the chance is p
    [
        (3.841459, 1, 0.05),
        (10.827566, 1, 0.001),
        (5.991465, 2, 0.05),
        (7.814728, 3, 0.05),
        (18.307038, 10, 0.05),
        (0, 3, 1),
    ],
)
def test_the_chance_of_a_chi_square_is_that_of_the_tables(statistic, freedom, p):
    assert chi_square_p(statistic, freedom) == pytest.approx(p, rel=1e-5)


def test_a_sample_ratio_that_is_off_is_found_and_one_that_is_not_is_not():
    colour = PLAN.experiments["colour"]
    assert sample_ratio_p({"red": 3000, "blue": 2000, "control": 5000}, colour) == 1
    assert sample_ratio_p({"red": 3000, "blue": 2000, "control": 4500}, colour) < 0.001
    assert sample_ratio_p({"red": 30_000, "blue": 20_000, "control": 48_000}, colour) < 0.001
    assert sample_ratio_p({"red": 30}, colour) < 0.001, "and soon"


def test_a_sample_ratio_is_the_bayes_factor_of_one_unit_after_the_other():
    """Each unit has, under the prior, the share of what came to its arm so far, with PRIOR_UNITS to begin with."""
    arms = {"red": 0.3, "blue": 0.2, "control": 0.5}
    came = np.random.default_rng(5).choice(list(arms), 500, p=[0.6, 0.1, 0.3]).tolist()
    factor = 1.0
    for place, arm in enumerate(came):
        chance = (PRIOR_UNITS * arms[arm] + came[:place].count(arm)) / (PRIOR_UNITS + place)
        factor *= chance / arms[arm]
    assert sample_ratio_p(Counter(came), PLAN.experiments["colour"]) == pytest.approx(1 / factor, rel=1e-6)


def test_of_fair_experiments_that_are_looked_at_all_the_time_so_few_ever_have_a_small_p():
    """At one of these hundred looks the p value of a chi-square test is below 0.01 in one of ten."""
    weight = PLAN.experiments["weight"]
    steps = np.random.default_rng(5).binomial(200, 0.5, (2_000, 100)).cumsum(axis=1)
    least = [
        min(sample_ratio_p({"control": c, "more": 200 * n - c}, weight) for n, c in enumerate(path, start=1))
        for path in steps.tolist()
    ]
    assert 0 < np.mean(np.array(least) < 0.01) <= 0.01


def test_the_page_says_how_often_equal_arms_differ_at_one_of_some_looks():
    """Sums of a normal distribution, as what many users did has; the page has the figures of a paper."""
    steps = np.random.default_rng(5).normal(size=(100_000, 20))
    outside = np.abs(steps.cumsum(axis=1)) > 1.96 * np.sqrt(np.arange(1, 21))
    page = " ".join(Path(__file__).parents[1].joinpath("docs/experiments.md").read_text("utf-8").split())
    told = {1: "in {:.0%} of experiments at one look", 5: "of 5 looks after equally many new users each in {:.0%}"}
    for looks in (1, 5, 10, 20):
        assert told.get(looks, f"of {looks} in {{:.0%}}").format(outside[:, :looks].any(axis=1).mean()) in page


def test_the_first_units_of_a_small_arm_are_no_sign_of_a_fault():
    """One unit in an arm of 5% is nothing strange, and half of a hundred are."""
    arms = {"control": {"share": 0.95}, "small": {"share": 0.05}}
    plan = Experiments.model_validate({"experiments": {"x": {"arms": arms}}}).experiments["x"]
    for few in ({}, {"small": 1}, {"control": 3, "small": 2}):
        assert sample_ratio_p(few, plan) > 0.5
    assert sample_ratio_p({"control": 50, "small": 50}, plan) < 1e-9
    generator = np.random.default_rng(7)
    sizes = generator.integers(1, 200, 5_000)
    small = generator.binomial(sizes, 0.05)
    found = [sample_ratio_p({"small": s, "control": n - s}, plan) for n, s in zip(sizes, small, strict=True)]
    assert np.mean(np.array(found) < 0.001) <= 0.001


@given(st.text(max_size=40), st.sets(st.integers(1, BUCKETS - 1), min_size=1, max_size=7))
def test_every_unit_in_the_traffic_has_one_arm_and_no_arm_is_empty(unit, cuts):
    ends = [0, *sorted(cuts), BUCKETS]
    arms = {f"a{n}": {"share": (end - start) / BUCKETS} for n, (start, end) in enumerate(itertools.pairwise(ends))}
    plan = Experiments.model_validate({"experiments": {"x": {"unit": "request", "arms": arms}}})
    assert assigned(plan, "", unit).keys() == ({"x"} if unit else set())
    assert 0 <= sample_ratio_p({"a0": 5 * BUCKETS}, plan.experiments["x"]) <= 1


TWO = "{a: {share: 0.5}, b: {share: 0.5, %s}}"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("experiments: [", ["e.yaml to be YAML"]),
        ("- 1", ["e.yaml to be a mapping"]),
        ("experimnts: {}", ["key experimnts", "Did you mean 'experiments'"]),
        ("experiments: {x: {arms: " + TWO % "wieghts: {}" + "}}", ["experiments.x.arms.b.wieghts", "'weights'"]),
        ("experiments: {x: {trafic: 1, arms: " + TWO % "" + "}}", ["experiments.x.trafic", "'traffic'"]),
        ("experiments: {x: {arms: {a: {share: 1}}}}", ["experiments.x.arms", "arms: 2 or more entries"]),
        ("experiments: {x: {arms: {a: {share: 0.5}, b: {share: 0.4}}}}", ["add up to 0.9", "docs/experiments.md"]),
        (
            "experiments: {x: {salt: y.traffic, arms: " + TWO % "" + "}}",
            ["experiments.x.salt", "at most 64 letters, digits, _ and -"],
        ),
        (
            "experiments: {x: {arms: {a: {share: 0.00014}, b: {share: 0.00016}, c: {share: 0.9997}}}}",
            ["experiments.x.arms.a.share: a multiple of 0.0001. Received: 0.00014"],
        ),
        (
            "experiments: {x: {traffic: 0.00004, arms: " + TWO % "" + "}}",
            ["experiments.x.traffic: a multiple of 0.0001. Received: '0.00004'"],
        ),
        ("holdout: 0.12345", ["holdout: a multiple of 0.0001. Received: 0.12345", "docs/experiments.md"]),
        ("holdout: 1.0e+305", ["holdout: less than 1"]),
        (
            "experiments: {X: {arms: " + TWO % "" + "}}",
            ["experiments.X", "at most 64 small letters, digits, _ and -, the first a letter"],
        ),
        ("experiments: {x: {arms: " + TWO % "rerank: {diversity: 2}" + "}}", ["arms.b.rerank.diversity", "equal to 1"]),
        ("experiments: {x: {arms: " + TWO % "weights: {engaged: -1}" + "}}", ["weights.engaged"]),
        ("experiments: {x: {arms: " + TWO % "release: ../x" + "}}", ["arms.b.release", "the name of a release"]),
        ("holdout: 1", ["holdout", "less than 1", "docs/experiments.md"]),
        ("exploration: {slots: 3, method: best}", ["exploration.method", "one of epsilon or softmax"]),
        (
            "experiments: {x: {salt: y, arms: " + TWO % "" + "}, y: {arms: " + TWO % "" + "}}",
            ["a salt of its own", "y"],
        ),
        ("experiments: {holdout: {arms: " + TWO % "" + "}}", ["a salt of its own", "holdout"]),
        (
            "experiments: {x: {arms: " + TWO % "release: r" + "}, y: {arms: " + TWO % "release: q" + "}}",
            ["e.yaml: one experiment at a time to change release", "x and y"],
        ),
    ],
)
def test_a_wrong_file_is_refused_in_words_that_help(text, words):
    with pytest.raises(SoukError) as error:
        parse_experiments(text, "e.yaml")
    assert all(word in str(error.value) for word in words), error.value


def test_an_empty_file_is_no_experiment_and_experiments_that_change_different_things_go_together():
    assert parse_experiments("") == Experiments() == parse_experiments("# none\n")
    pairs = itertools.permutations(["weights: {engaged: 2}", "rerank: {diversity: 0.1}", "release: r"], 2)
    for one, other in pairs:
        parse_experiments("experiments: {x: {arms: " + TWO % one + "}, y: {arms: " + TWO % other + "}}")
