"""What the arms of experiments ask of a release."""

from __future__ import annotations

import logging

from souk.config import Rerank
from souk.config.experiments import Arm, Experiments
from souk.serving.releases import Served

logger = logging.getLogger(__name__)


def apart(plan: Experiments, main: Served) -> Experiments:
    """The experiments without those that would compare the current release by its name with itself."""
    name = main.bundle.folder.name
    releases = {of: {arm.release for arm in each.arms.values()} for of, each in plan.experiments.items()}
    resting = [of for of, named in releases.items() if {"", name} <= named]
    if resting:
        logger.warning("experiments rest while %s, which an arm has, is the current one: %s", name, ", ".join(resting))
    return plan.model_copy(update={"experiments": {of: e for of, e in plan.experiments.items() if of not in resting}})


def key_of(arm: Arm) -> str:
    """Names an arm's rules by their content: what goes by one name is one thing, whatever the file says meanwhile."""
    return arm.rerank.model_dump_json(exclude_unset=True) if arm.rerank else ""


def rules_of(plan: Experiments, served: Served) -> dict[str, Rerank]:
    """The rules of all arms: the release's own, but for the keys that the arm gives."""
    own, found = Rerank(**served.bundle.settings.rerank), dict[str, Rerank]()
    for arm in (arm for experiment in plan.experiments.values() for arm in experiment.arms.values()):
        if arm.rerank:
            given = {key: getattr(arm.rerank, key) for key in arm.rerank.model_fields_set}
            found[key_of(arm)] = own.model_copy(update=given)
    return found
