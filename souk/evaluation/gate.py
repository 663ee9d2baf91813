"""The gate: whether a challenger may replace what is served. It compares twins, on a window that neither has seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from souk.config import Evaluate
from souk.evaluation.guardrails import guardrails
from souk.evaluation.protocol import SEED
from souk.evaluation.verdict import CHALLENGER, CHAMPION, POPULARITY, Rule, Verdict, digits
from souk.metrics import LEAST_USERS, bootstrap

MOST_SHOWN = 0.5  # share of the queries with a logged slate from which on what was shown decides
REMEDY = (
    "Wait for more events or make split.test smaller, so that the window starts later, or start afresh in another "
    "--workspace, where the first release has to beat popularity (docs/evaluation.md)."
)


@dataclass(frozen=True)
class Champion:
    """What the gate must know of the served release before it compares.

    Args:
        name: the release, "" before the first.
        twin: its twin's bundle; need not exist.
        twin_name: the twin's identity, "" where there is none.
        dataset: whose data it was trained on.
        trained_until: the end of what its twin was fitted on, UTC epoch milliseconds.
        inputs: digest of the data and settings beside the twin that its release was made of.
        whole: whether all its files are as they were deployed.
        states: whether there are user states, published to the end.
        other_classes: classes of one's own that it was judged with and that are other ones by now, "" for none.
    """

    name: str = ""
    twin: Path | None = None
    twin_name: str = ""
    dataset: str = ""
    trained_until: int = 0
    inputs: str = ""
    whole: bool = True
    states: bool = True
    other_classes: str = ""

    @property
    def lost(self) -> str:
        """Why nobody can ask what is served, "" where it can be compared with."""
        if not self.whole:
            return "it is damaged"
        if self.other_classes:
            return f"classes of your own that it was made with are other ones by now, or gone ({self.other_classes})"
        return ""


def compare_identity(champion: Champion, challenger: str, inputs: str, dataset: str, test_start: int) -> Verdict | None:
    """The verdict that needs no comparison: the same twin, or one that cannot be compared; None where it is needed.

    Args:
        champion: the served release.
        challenger: the identity of the challenger's twin.
        inputs: digest of the challenger's data and settings.
        dataset: the challenger's.
        test_start: the start of the test window, UTC epoch milliseconds.
    """
    if not champion.name:
        return None
    if champion.twin_name and champion.twin_name == challenger:
        return _same_twin(champion, challenger, inputs)
    if not champion.whole:
        return None
    rule = _comparable(champion, dataset, test_start)
    return None if rule.passed else Verdict("not_comparable", champion.name, (rule,))


def _same_twin(champion: Champion, twin: str, inputs: str) -> Verdict:
    """Nothing to judge: the release is made again where what it was made of has changed, or where it or the
    store of user states is damaged."""
    if champion.inputs == inputs and champion.whole and champion.states:
        detail = "Both have the same twin, data and settings: nothing to release."
        return Verdict("unchanged", champion.name, (Rule("differs_from_champion", False, {"twin": twin}, detail),))
    why = "other data after the twin's, or settings"
    if not champion.whole:
        why = "damaged files in the workspace"
    elif not champion.states:
        why = "user states that are gone, or were not published to the end"
    detail = f"Both have the same twin: the release is made again, for {why}."
    return Verdict("promote", champion.name, (Rule("refresh", True, {"twin": twin}, detail),))


def judge(metrics: Mapping[str, Any], per_user: pd.DataFrame, champion: str, config: Evaluate) -> Verdict:
    """Promotes what beats popularity, or as the config has it the best baseline (the first release), or the champion by
    the margin without breaking a guardrail.

    Args:
        metrics: the content of `metrics.json`.
        per_user: a row per user and model, a column per metric (`protocol.summarise`).
        champion: the served release, "" before the first.
        config: primary metric, margins, resamplings, and what the guardrails allow.
    """
    if champion:
        first: tuple[Rule, ...] = (beats(per_user, CHAMPION, config, config.margin), *_of_columns(metrics))
    else:
        first = _of_the_first(metrics, per_user, config)
    if not first[0].passed and (told := _of_what_was_shown(metrics)):
        first = (replace(first[0], detail=f"{first[0].detail}. {told}"), *first[1:])
    rules = (*first, *guardrails(metrics, config))
    return Verdict("promote" if all(each.passed for each in rules) else "reject", champion, rules)


def _of_columns(metrics: Mapping[str, Any]) -> tuple[Rule, ...]:
    """A warning where the champion was asked without columns that it learned from. It decides nothing: a column that is
    gone for good must not stop all releases to come."""
    if not metrics["champion_lacks"]:
        return ()
    columns = ", ".join(metrics["champion_lacks"])
    detail = (
        f"measured beside a champion that was asked without columns it learned from: {columns}. This config does not "
        "declare them, or as another kind. Where its server still gets them, it is better than its figures here: "
        "declare them again to compare with that"
    )
    return (Rule("champion_columns", True, {"columns": columns}, detail, warning=True),)


def _of_what_was_shown(metrics: Mapping[str, Any]) -> str:
    """What a lead that is missing may not mean where most of what was taken stood in logged slates; else ""."""
    queries = metrics["protocols"]["rolling"]["queries"]
    slates = metrics["ranker"][CHALLENGER].get("shown", {}).get("slates", 0)
    if not slates or slates < MOST_SHOWN * queries:
        return ""
    return (
        f"{slates:,} of the {queries:,} queries have a logged slate: what is shown often is taken often, and is ahead "
        'here whatever users would make of another slate; see "What was shown" in docs/evaluation.md'
    )


def without_lost(verdict: Verdict, champion: Champion) -> Verdict:
    """The verdict of a comparison with popularity alone, where what is served cannot be asked: it says so."""
    if not champion.lost:
        return verdict
    first, *others = verdict.rules
    why = f"{champion.name} is served, but it was not compared with: {champion.lost}"
    return Verdict(verdict.outcome, champion.name, (replace(first, detail=f"{first.detail}. {why}"), *others))


def beats(per_user: pd.DataFrame, other: str, config: Evaluate, margin: float) -> Rule:
    """Whether the paired interval of the challenger's lead over `other` lies above `margin`, with LEAST_USERS users."""
    values = per_user.set_index("user_id").groupby("model")[config.primary]
    ours, theirs = (dict(iter(values)).get(name, pd.Series(dtype=float)) for name in (CHALLENGER, other))
    lead = (ours - theirs).dropna().to_numpy()
    interval = bootstrap(lead, config.bootstrap, SEED)  # that of `summary.differences`, which the report tells
    enough = len(lead) >= LEAST_USERS
    passed = bool(enough and interval.low > margin)
    numbers: dict[str, float | str] = {
        "metric": config.primary,
        "challenger": float(ours.mean()),
        other: float(theirs.mean()),
        "difference": interval.mean,
        "low": interval.low,
        "high": interval.high,
        "margin": margin,
        "users": len(lead),
    }
    d = digits(interval.low, margin)
    detail = (
        f"{config.primary} {numbers['challenger']:.4f} beside {numbers[other]:.4f} of {other}: difference "
        f"{interval.mean:+.4f} (95% {interval.low:+.{d}f} to {interval.high:+.{d}f}), "
        f"asked to lie above {margin:+.{d}f}"
        + ("" if enough else f", and of at least {LEAST_USERS} users, not {len(lead)}: enlarge split.test")
        if np.isfinite(interval.mean)
        else "No user engages in the test window: enlarge split.test."
    )
    return Rule(f"beats_{other}", passed, numbers, detail)


def _of_the_first(metrics: Mapping[str, Any], per_user: pd.DataFrame, config: Evaluate) -> tuple[Rule, ...]:
    """The rules for a first release. It has to beat popularity, and is told beside the best baseline: where all is new,
    popularity is nothing to beat. Being surely behind that is a warning, since it may still be better than nothing. Who
    has something to put in its place asks for the lead over the best baseline itself."""
    rolling = metrics["protocols"]["rolling"]
    best, primary = rolling["best_baseline"], config.primary
    if config.baseline_margin is not None:
        return (beats(per_user, best, config, config.baseline_margin),)
    rule = beats(per_user, POPULARITY, config, 0.0)
    if best == POPULARITY:
        return (rule,)
    theirs, lead = rolling["models"][best][primary]["mean"], rolling["differences"][best][primary]
    behind = lead["high"] < 0
    where = "behind" if behind else "ahead of" if lead["low"] > 0 else "not certainly ahead of"
    told = f"{where} the best baseline, {best} {theirs:.4f}: difference {lead['mean']:+.4f}"
    bounds = f"(95% {lead['low']:+.4f} to {lead['high']:+.4f})"
    detail = f"{rule.detail.rstrip('.')}. It is {told} {bounds}, which is told and decides nothing"
    first = replace(rule, detail=detail)
    if not (behind and rule.passed):
        return (first,)
    numbers = {"metric": primary, best: theirs, "difference": lead["mean"], "low": lead["low"], "high": lead["high"]}
    mend = "What needs no training is better here; evaluate.baseline_margin keeps such a release back"
    return first, Rule(f"beats_{best}", True, numbers, f"{told} {bounds}. {mend}", warning=True)


def _comparable(champion: Champion, dataset: str, test_start: int) -> Rule:
    """Whether the champion's twin knows nothing of the test window."""
    numbers: dict[str, float | str] = {"trained_until": champion.trained_until, "test_start": test_start}
    name = "champion_comparable"
    if not champion.twin_name or champion.twin is None:
        return Rule(name, False, numbers, f"{champion.name} has no twin. {REMEDY}")
    if champion.dataset != dataset:
        return Rule(
            name,
            False,
            {"champion": champion.dataset, "challenger": dataset},
            f"{champion.name} serves the data set {champion.dataset}, not {dataset}: use a --workspace of its own.",
        )
    if champion.trained_until > test_start and not champion.lost:
        detail = f"The twin of {champion.name} was fitted past the start of the test window. {REMEDY}"
        return Rule(name, False, numbers, detail)
    return Rule(name, True, numbers, "The champion's twin has not seen the test window.")
