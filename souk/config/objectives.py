"""The section of the config that says what success is."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, model_serializer, model_validator

from souk.config.tables import Section
from souk.errors import SoukError
from souk.schema import EventType

BEGINNINGS = ("user", "item", "token", "query", "context", "slate", "gate", "cross", "expert")
OBJECTIVE_NAME = re.compile(rf"^(?!({'|'.join(BEGINNINGS)})_)[a-z][a-z0-9_]*(?<!_at)$")
TAKEN_NAMES = frozenset(  # by columns of examples and impressions, by parts of the ranker, and by its figures
    {"visible", "request_id", "user_id", "item_id", "event_id", "row_id", "timestamp", "release", "arm", "degraded"}
    | {"score", "scores", "sources", "items", "users", "propensities", "features", "order", "placed", "slate", "body"}
    | {"moments", "normalise", "relative", "hinges", "absolute", "level", "position", "pass_through", "drop"}
    | {"retrieval", "previous", "request", "moment", "own_score", "familiar"}
)


def may_name(name: str) -> bool:
    """Whether an objective may have this name: one of small letters, digits and _ that names nothing else."""
    return bool(OBJECTIVE_NAME.match(name)) and name not in TAKEN_NAMES


class Objective(Section):
    """A label: which events carry it, and what makes it true.

    An event of one of `events` is positive when its value is at least `min_value`, its dwell at least
    `min_dwell_seconds`, and, within `within_days` after it, the same user did none of `unless` and at least one of
    `followed_by` with the same item. With `any_item` the latter may be with any, and from `from_days` after the event
    on: a visit that follows, not the one that goes on. `weight` is the objective's exponent in the slate's score;
    `auto` is 1 for `engaged`, and for `satisfied` what costs few clicks (`train_ranker.max_click_loss`),
    times the weight of `engaged`; any other objective has a number.
    """

    events: tuple[EventType, ...] = Field(min_length=1)
    min_value: float | None = None
    min_dwell_seconds: float | None = Field(default=None, ge=0)
    unless: tuple[EventType, ...] = ()
    followed_by: tuple[EventType, ...] = ()
    any_item: bool = False
    from_days: float = Field(default=0, ge=0)
    within_days: float = Field(default=0, ge=0)
    weight: Annotated[float, Field(ge=0, le=1e6)] | Literal["auto"] = "auto"

    @model_validator(mode="after")
    def _a_window_to_come_back_in(self) -> Objective:
        if (self.any_item or self.from_days) and not self.followed_by:
            raise ValueError("any_item and from_days are about followed_by, which is empty")
        if self.from_days and self.from_days >= self.within_days:
            raise ValueError(f"from_days {self.from_days:g} is not below within_days {self.within_days:g}")
        return self

    @model_serializer(mode="wrap")
    def _without_what_is_not_asked_for(self, handler: Any) -> dict[str, Any]:
        """Specs of before these keys keep their hash, and releases with them their checks."""
        return {k: v for k, v in handler(self).items() if v or k not in ("any_item", "from_days")}


class Objectives(Section):
    """`engaged` says what is taken, every other objective what came of it: each is P(name | engaged), a head of the
    ranker. Any name beside the two is a further one."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Objective] = Field(init=False)
    of_other_keys: ClassVar[type[Section]] = Objective

    engaged: Objective
    satisfied: Objective

    @property
    def given(self) -> dict[str, Objective]:
        """The objectives of what was engaged with: `satisfied`, then the further ones by name."""
        return {"satisfied": self.satisfied, **dict(sorted(self.__pydantic_extra__.items()))}

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, `engaged` first."""
        return ("engaged", *self.given)

    @model_validator(mode="after")
    def _what_is_tuned_has_a_measure(self) -> Objectives:
        if self.engaged.weight == 0 and self.satisfied.weight == "auto":
            raise SoukError(
                "a number as objectives.satisfied.weight where objectives.engaged.weight is 0",
                "auto, which is tuned beside a weight of engaged",
                "Give satisfied a number, or engaged a weight above 0.",
            )
        return self

    @model_validator(mode="after")
    def _further_ones_can_be_learned(self) -> Objectives:
        for name, objective in self.__pydantic_extra__.items():
            if not may_name(name):
                raise SoukError(
                    "an objective's name of small letters, digits and _ that names nothing else",
                    f"objectives.{name}",
                    "Rename it. Taken are names of columns and of parts of the ranker, those that begin as features or "
                    f"such parts do ({', '.join(f'{word}_' for word in BEGINNINGS)}), and those that end with _at.",
                )
            if objective.weight == "auto":
                raise SoukError(
                    f"a number as objectives.{name}.weight",
                    "none: only that of satisfied is tuned",
                    "Say how much it counts in the slate's score; 0 has it learned and measured, and leaves the order.",
                )
            self.check_carried(name)
        return self

    def check_order(self) -> None:
        """With no weight at all, the score of every item would be the same. No validator: releases have such specs.

        Raises:
            SoukError: every objective has the weight 0.
        """
        if not any((self.engaged.weight, *(objective.weight for objective in self.given.values()))):
            raise SoukError(
                "an objective with a weight above 0, to order items by",
                f"0 as that of {', '.join(self.names)}",
                "Leave objectives.engaged.weight out, which makes it 1, or give another one a weight.",
            )

    def check_windows(self) -> None:
        """What is to come within no time never comes: the label would be the same for all.

        Raises:
            SoukError: an objective given engagement waits, and has no window, or waits for what spoils it.
        """
        for name, objective in self.given.items():
            both = sorted(set(objective.unless) & set(objective.followed_by))
            if both and not objective.any_item:
                raise SoukError(
                    f"objectives.{name}.unless and followed_by of different events",
                    f"{', '.join(both)} in both",
                    "What has to follow would spoil it. Take it out of one of them.",
                )
            keys = [key for key in ("unless", "followed_by") if getattr(objective, key)]
            if keys and not objective.within_days:
                raise SoukError(
                    f"objectives.{name}.within_days above 0, the days in which {' and '.join(keys)} may come",
                    "0, which is the default",
                    "Add within_days: 7, for instance.",
                )

    def check_carried(self, name: str) -> None:
        """An objective given engagement is asked of what engaged.

        Raises:
            SoukError: none of the events of `name` is one of engaged's.
        """
        objective, engaged = self.given[name], self.engaged.events
        if set(objective.events) & set(engaged):
            return
        kinds = ", ".join(objective.events)
        after = _after(objective, engaged)
        least = ", which min_value needs" if objective.min_value is not None else ""
        first = all(kind in _before(engaged) for kind in objective.events)
        ways = [f"write what is to come of it as {name}: {after}"] if after else []
        ways += [f"let objectives.engaged.events be {kinds} alone, the first step"] if first else []
        ways += [] if first else [f"add {kinds} to objectives.engaged.events{least}"]
        mend = ", or ".join(ways)
        raise SoukError(
            f"objectives.{name}.events to have one of objectives.engaged.events",
            kinds,
            f"It is asked of what engaged, so no event would carry its label. {mend[0].upper()}{mend[1:]}.",
        )


def _before(engaged: tuple[EventType, ...]) -> list[EventType]:
    """The steps of a visit before all of those that engage."""
    return list(EventType)[: min(map(list(EventType).index, engaged))]


def _after(objective: Objective, engaged: tuple[EventType, ...]) -> str:
    """The rule that asks of what engages for what comes after it; "" where the objective has nothing that does."""
    last = objective.followed_by or objective.events
    later = [kind for kind in last if objective.any_item or kind not in (*engaged, *_before(engaged))]
    wanted = {"unless": objective.unless, "followed_by": later}
    if not any(wanted.values()):
        return ""
    lists = {"events": engaged, **wanted}
    parts = [f"{key}: [{', '.join(kinds)}]" for key, kinds in lists.items() if kinds]
    parts += ["any_item: true"] if later and objective.any_item else []
    parts += [f"from_days: {objective.from_days:g}"] if later and objective.from_days else []
    return f"{{{', '.join(parts)}, within_days: {objective.within_days or 7:g}}}"
