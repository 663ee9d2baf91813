"""Who is in which arm: a salted hash that any system can compute, and the test of whether the arms came out as planned.

A unit (a user, or a request) has a bucket for each salt:

    bucket(salt, unit) = the first 8 bytes of SHA-256("<salt>:<unit>", UTF-8), as a big-endian number, modulo 10,000

A user is held out where bucket("holdout", user) is below 10,000 · `holdout`. A unit is in an experiment where
bucket("<salt>.traffic", unit) is below 10,000 · `traffic`. Its arm is the one into whose part of the 10,000 buckets
bucket("<salt>", unit) falls: the arms have adjoining parts, in the order of their names, as large as their shares. So a
change of `traffic` moves nobody from one arm to another, and what one experiment does tells nothing of another.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from itertools import accumulate, pairwise

from souk.config.experiments import BUCKETS, HOLDOUT, Experiment, Experiments

PRIOR_UNITS = 100  # what the prior weighs: few enough for a large fault to be told soon, and a small one little later
BETWEEN, OF = ",", "="  # experiments of a label, and the experiment and its arm


def bucket(salt: str, unit: str) -> int:
    """The bucket of a unit, from 0 to BUCKETS - 1."""
    return number(salt, unit) % BUCKETS


def number(salt: str, unit: str) -> int:
    """64 uniform bits of a salt and a unit."""
    return int.from_bytes(hashlib.sha256(f"{salt}:{unit}".encode("utf-8", "surrogatepass")).digest()[:8], "big")


def arm_of(name: str, experiment: Experiment, unit: str) -> str:
    """The arm of a unit, "" for one that is not in the experiment."""
    salt = experiment.salt or name
    if bucket(f"{salt}.traffic", unit) >= round(experiment.traffic * BUCKETS):
        return ""
    place, names = bucket(salt, unit), sorted(experiment.arms)
    ends = accumulate(experiment.arms[arm].share for arm in names)
    return next((arm for arm, end in zip(names, ends, strict=True) if place < round(end * BUCKETS)), names[-1])


def held_out(plan: Experiments, user_id: str) -> bool:
    """Whether a user is in no experiment."""
    return bool(plan.holdout and user_id) and bucket(HOLDOUT, user_id) < round(plan.holdout * BUCKETS)


def assigned(plan: Experiments, user_id: str, request_id: str) -> dict[str, str]:
    """The arm of a request by experiment, without those that it is not in.

    Args:
        plan: the experiments.
        user_id: who asks. Without one there is nobody to keep in an arm: only experiments by request take it.
        request_id: the unit of experiments by request.
    """
    if held_out(plan, user_id):
        return {}
    units = {"user": user_id, "request": request_id}
    found = {n: arm_of(n, e, units[e.unit]) for n, e in plan.experiments.items() if units[e.unit]}
    return {name: arm for name, arm in found.items() if arm}


def label(arms: Mapping[str, str]) -> str:
    """How arms stand in an answer: `experiment=arm`, several with a comma between, in the order of the names."""
    return BETWEEN.join(f"{name}{OF}{arms[name]}" for name in sorted(arms))


def arms_of(text: str) -> dict[str, str]:
    """What `label` wrote; of "", `holdout` and what others wrote, nothing."""
    pairs = (part.partition(OF) for part in text.split(BETWEEN) if OF in part)
    return {name: arm for name, _, arm in pairs}


def sample_ratio_p(counts: Mapping[str, int], experiment: Experiment) -> float:
    """The always-valid p value of units by arm against the shares: it is below p at any look, of however many, in at
    most a share p of the experiments whose arms come out as planned.

    It is 1 / B, and at most 1, of the Bayes factor B of a multinomial whose chances have a Dirichlet prior around the
    shares, of PRIOR_UNITS, against one of the shares (Lindon and Malek 2022, Anytime-Valid Inference for Multinomial
    Count Data). A small one says that the arms did not come out as planned, and so that their users may differ in more
    than their arm (Fabijan et al. 2019, Diagnosing Sample Ratio Mismatch in Online Controlled Experiments).

    Args:
        counts: units, each counted once, by arm; other arms are not looked at.
        experiment: its shares.
    """
    names, ends = sorted(experiment.arms), [0]
    ends += [round(end * BUCKETS) for end in accumulate(experiment.arms[arm].share for arm in names)]
    units, shares = [counts.get(arm, 0) for arm in names], [(end - start) / BUCKETS for start, end in pairwise(ends)]
    evidence = math.lgamma(PRIOR_UNITS) - math.lgamma(PRIOR_UNITS + sum(units))
    for count, share in zip(units, shares, strict=True):
        prior = PRIOR_UNITS * share
        evidence += math.lgamma(prior + count) - math.lgamma(prior) - count * math.log(share)
    return math.exp(min(0.0, -evidence))
