"""What an evaluation found, in words for who decides and reads no metric."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from souk.evaluation.baselines import BASELINES
from souk.evaluation.places import in_words, places_of
from souk.evaluation.verdict import CHALLENGER, CHAMPION
from souk.metrics import LEAST_USERS

FAR, TELLING = 2.5, 0.1  # times the best simple rule, and the least figure, from which a leak is asked for
NOT_SMALL = 0.05  # share of the moments
WHOLE = 10  # of a hundred: fewer are told with a decimal


def at_a_glance(rolling: Mapping[str, Any], champion: str) -> str:
    """How often the slate has what is taken, beside the best simple rule and the champion.

    Args:
        rolling: that protocol of `metrics.json`.
        champion: the release that stands as one, which is named: by the time of reading another may be served.
    """
    models, places = rolling["models"], places_of(rolling)
    metric = f"hr@{places}"
    own, other = models[CHALLENGER][metric], _best_rule(rolling, metric)
    told = f", the release {champion} at {_of_100(models[CHAMPION][metric]['mean'])}" if CHAMPION in models else ""
    return (
        "Of 100 moments at which a user takes something that may be recommended, the slate has it among its first "
        f"{in_words(places)} at {_of_100(own['mean'])} (95% {_of_100(own['low'])} to {_of_100(own['high'])}){told}; "
        f"the best simple rule, {other.replace('_', ' ')}, at {_of_100(models[other][metric]['mean'])}"
        f"{_beside(rolling['differences'][other][metric], rolling['users'])}.{_others(rolling)}"
    )


def _best_rule(rolling: Mapping[str, Any], metric: str) -> str:
    """The simple rule with most of `metric`, which need not be the best by the metric that decides."""
    models, best = rolling["models"], rolling["best_baseline"]
    return max(models.keys() & {*BASELINES}, key=lambda name: (models[name][metric]["mean"], name == best, name))


def few_users(users: int) -> str:
    """In words, that so few users tell nothing for certain; "" where there are enough."""
    return f"Intervals of fewer than {LEAST_USERS} users are too narrow to tell." if users < LEAST_USERS else ""


def _others(rolling: Mapping[str, Any]) -> str:
    """A sentence on the moments that these hundred are not drawn from, where they are more than a few."""
    share = rolling["unanswered"] / max(1, rolling["queries"] + rolling["unanswered"])
    return (
        f" Beside these, {share:.0%} of all moments have no answer: `repeat`, the user or the catalogue keeps all that "
        "was taken at them out of slates."
        if share >= NOT_SMALL
        else ""
    )


def too_good(rolling: Mapping[str, Any], primary: str) -> str:
    """A question where the slate is so far ahead of all simple rules that it may know the answer; "" where it is not,
    or may be by chance, as of a dozen queries or of few users.

    Args:
        rolling: that protocol of `metrics.json`.
        primary: the metric that decides.
    """
    models, other = rolling["models"], rolling["best_baseline"]
    own, rule = (models[name][primary]["mean"] for name in (CHALLENGER, other))
    by_chance = rolling["users"] < LEAST_USERS or rolling["differences"][other][primary]["low"] <= 0
    if own < TELLING or own < FAR * rule or by_chance:
        return ""
    times = f"{own / rule:.1f} times that of" if rule else "above nothing of"
    return (
        f"The slate's {primary} is {times} {other}, the best simple rule. Does a column tell the answer? Under "
        "columns.events what no request knows before (a version, a source, what only some acts have), under items and "
        "users what is counted later (docs/data.md)."
    )


def _of_100(share: float) -> str:
    return f"{100 * share:.0f}" if round(100 * share, 1) >= WHOLE else f"{100 * share:.1f}"


def _beside(lead: Mapping[str, float], users: int) -> str:
    """Whether the lead on the simple rule is one, by its interval."""
    if users < LEAST_USERS:
        return ", of too few users to tell"
    if lead["low"] > 0:
        return ", which is fewer beyond chance"
    return ", which is more beyond chance" if lead["high"] < 0 else ", no difference beyond chance"
