"""What the arms of experiments ask of a release."""

from __future__ import annotations

import logging
from collections.abc import Set
from typing import TypeVar

from souk.config import Rerank
from souk.config.experiments import Arm, Experiments
from souk.config.tables import Section
from souk.rerank import kept_rules
from souk.serving.releases import Served

logger = logging.getLogger(__name__)
T = TypeVar("T", bound=Section)


def apart(plan: Experiments, main: Served) -> Experiments:
    """The experiments without those that would compare the current release by its name with itself."""
    name = main.bundle.name
    releases = {of: {arm.release for arm in each.arms.values()} for of, each in plan.experiments.items()}
    resting = [of for of, named in releases.items() if {"", name} <= named]
    if resting:
        logger.warning("experiments rest while %s, which an arm has, is the current one: %s", name, ", ".join(resting))
    return plan.model_copy(update={"experiments": {of: e for of, e in plan.experiments.items() if of not in resting}})


def within(plan: Experiments, names: Set[str]) -> Experiments:
    """The experiments whose arms name no releases but these."""
    named = {of: {arm.release for arm in each.arms.values()} - {""} for of, each in plan.experiments.items()}
    return plan.model_copy(update={"experiments": {of: e for of, e in plan.experiments.items() if named[of] <= names}})


def key_of(arm: Arm) -> str:
    """Names an arm's rules by their content: what goes by one name is one thing, whatever the file says meanwhile."""
    return arm.rerank.model_dump_json(exclude_unset=True) if arm.rerank else ""


def rules_of(plan: Experiments, served: Served) -> dict[str, Rerank]:
    """The rules of all arms: the release's own, but for the keys that the arm gives."""
    (own, _), found = kept_rules(served.bundle.settings.rerank), dict[str, Rerank]()
    for arm in (arm for experiment in plan.experiments.values() for arm in experiment.arms.values()):
        if arm.rerank:
            found[key_of(arm)] = _over(own, arm.rerank)
    return found


def _over(own: T, arm: T) -> T:
    """A section with the keys that the arm gives, and of a section in it, too, only those."""
    given = {key: getattr(arm, key) for key in arm.model_fields_set}
    within = {key: _over(getattr(own, key), value) for key, value in given.items() if isinstance(value, Section)}
    return own.model_copy(update=given | within)
