"""What the gate answers: a verdict, and the rules that it rests on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from souk.metrics import LEAST_USERS

Outcome = Literal["promote", "reject", "unchanged", "not_comparable"]
CHALLENGER, CHAMPION, POPULARITY = "slate", "champion", "popularity"
MOST_DIGITS = 9
Numbers = Mapping[str, float | str]


@dataclass(frozen=True)
class Rule:
    """One condition of a verdict.

    Args:
        name: what is asked.
        passed: whether it holds, or could not be asked.
        numbers: the values that decided it.
        detail: the same in words, with what to do where it failed.
        skipped: whether it could not be asked, or is off.
        warning: whether it does not hold, and passes all the same: it is told, and decides nothing.
    """

    name: str
    passed: bool
    numbers: Numbers
    detail: str
    skipped: bool = False
    warning: bool = False


@dataclass(frozen=True)
class Verdict:
    """The gate's answer. Only `promote` lets the release through.

    Args:
        outcome: `promote`, `reject`, `unchanged` or `not_comparable`.
        champion: the release that is served, "" before the first.
        rules: each condition that was looked at, in order.
        replaces: the release that was current then, champion or not, and may be replaced; None where nobody looked.
    """

    outcome: Outcome
    champion: str
    rules: tuple[Rule, ...]
    replaces: str | None = None

    @property
    def broken(self) -> tuple[str, ...]:
        """The guardrails that alone stand in the way: of a challenger that has the lead it was asked for."""
        first, *others = self.rules
        return tuple(rule.name for rule in others if not rule.passed) if first.passed else ()

    @property
    def reason(self) -> str:
        """What decided: the lead that was asked for, and the rules that failed."""
        first, *others = self.rules
        told = "; ".join([first.detail, *(f"{rule.name}: {rule.detail}" for rule in others if not rule.passed)])
        return f"{better_but(self.broken)}. {told}" if self.broken else told

    def to_json(self) -> str:
        """The text of `verdict.json`."""
        rules = [asdict(rule) for rule in self.rules]
        told = {"verdict": self.outcome, "champion": self.champion, "replaces": self.replaces, "broken": self.broken}
        return json.dumps(told | {"rules": rules}, indent=1)


def better_but(broken: Sequence[str]) -> str:
    """What a rejection means that guardrails alone decided."""
    return f"better, but {'a guardrail' if len(broken) == 1 else 'guardrails'} broke: {', '.join(broken)}"


def fallen_short(rule: Mapping[str, Any]) -> str:
    """What a rejection means of a challenger without the lead that it was asked for.

    Args:
        rule: the first of `verdict.json`, or {}.
    """
    name, numbers = rule.get("name", ""), rule.get("numbers", {})
    if numbers.get("users", LEAST_USERS) < LEAST_USERS:
        return "too few users to tell"
    margin, other = numbers.get("margin", 0.0), name.removeprefix("beats_")
    if not margin:
        return "not better than what it had to beat"
    much = f"by more than {abs(margin):g} of {numbers['metric']}"
    if margin > 0:
        return f"not surely better than {other} {much}"
    return f"{'is' if numbers['high'] <= margin else 'may be'} worse than {other} {much}"


def digits(value: float, bound: float, least: int = 4) -> int:
    """How many decimals tell a value and what it is compared with apart: `least`, or more where these print alike."""
    enough = (count for count in range(least, MOST_DIGITS + 1) if round(value, count) != round(bound, count))
    return next(enough, least)


def skipped(name: str, why: str) -> Rule:
    """A rule that was not asked."""
    return Rule(name, True, {}, f"not asked: {why}", skipped=True)
