"""The section `repeat`: when an item may be recommended again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_serializer, model_validator

from souk.config.tables import Section
from souk.errors import SoukError, unknown
from souk.schema import NO_ACTS, EventType, Kind


class Fatigue(Section):
    """What was shown so often within so many days, and not acted upon since, waits until nothing else is left."""

    shown: int = Field(ge=1, le=50)
    days: float = Field(gt=0, le=90)


class Repeat(Section):
    """When an item may be recommended again: to a user who did something with it, or who was shown it often.

    By `rule`, what keeps an item out are the `events` of these types; without any, what `objectives.engaged` says. With
    any rule, so do all acts of the last `pause_minutes`. What is `sold_once` ends for everybody with its purchase.
    What is the user's `own`, by the id in that column of the items, is never recommended to this user.
    """

    rule: Literal["never", "after_days", "always"] = "always"
    days: float = Field(default=0, ge=0)
    events: tuple[EventType, ...] = ()
    pause_minutes: float = Field(default=0, ge=0, le=366 * 24 * 60)
    fatigue: Fatigue | None = None
    sold_once: bool = False
    own: str = ""

    @model_validator(mode="after")
    def _of_acts_that_count(self) -> Repeat:
        if self.events and self.rule == "always":
            raise SoukError(
                "a rule of repeat for which its events count: never or after_days",
                "always, which keeps nothing out",
                "Change repeat.rule, or leave repeat.events out.",
            )
        strange = [str(kind) for kind in self.events if kind in NO_ACTS]
        if strange:
            raise SoukError(
                "repeat.events to be acts of a user",
                ", ".join(strange),
                "Leave them out: what is hidden stays out anyway, and `fatigue` is about what was shown.",
            )
        return self

    def check(self, items: Mapping[str, Kind]) -> None:
        """Refuses an `own` that is no declared column of items with words as they are, `after_days` without days,
        which would keep nothing out, and days that no rule asks for. No validator: specs of releases are read.

        Args:
            items: the declared columns.

        Raises:
            SoukError: it is so.
        """
        fit = [name for name, kind in items.items() if kind in (Kind.CATEGORICAL, Kind.LIST)]
        if self.own and self.own not in fit:
            raise unknown("a categorical or list column of items, with ids of users, in repeat.own", self.own, fit)
        if self.days and self.rule != "after_days":
            remedy = f"Say {{rule: after_days, days: {self.days:g}}}, or leave repeat.days out."
            raise SoukError("a rule of repeat for which its days count: after_days", str(self.rule), remedy)
        if self.rule == "after_days" and not self.days:
            remedy = "Say {rule: after_days, days: 30}, for instance, or always, which keeps nothing out."
            raise SoukError("repeat.days above 0, since repeat.rule is after_days", f"{self.days:g}", remedy)

    @model_serializer(mode="wrap")
    def _without_what_is_not_asked_for(self, handler: Any) -> dict[str, Any]:
        """Specs of before these keys keep their hash."""
        return {k: v for k, v in handler(self).items() if v or k in ("rule", "days")}
