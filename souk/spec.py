"""The feature specification: every feature that Souk learns from, listed once.

Built from the dataset config, it drives TensorFlow Data Validation, TensorFlow Transform, Feast, the towers and the
ranker, request parsing and drift. Nothing else lists features.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

from souk.config import BuildFeatures, Columns, Objective, Objectives, Repeat
from souk.schema import NO_ACTS, EventType, Kind

ENGAGED = "engaged"  # the objective that is asked of every candidate; all others are of what was engaged with
SATISFIED = "satisfied"  # the first of these, whose exponent is tuned
LIST_LENGTH = 16  # entries kept of a list, path or text feature


class Entity(StrEnum):
    """What a feature describes; each entity has one TensorFlow Transform graph over rows of its own."""

    USER = "user"
    ITEM = "item"
    TOKEN = "token"  # one past event in a history
    QUERY = "query"  # the moment of a request, or of the event that is to be predicted


class Role(StrEnum):
    """How the raw values of a feature become numbers."""

    USER_ID = "user_id"
    ITEM_ID = "item_id"
    CATEGORY = "category"  # vocabulary
    ENUM = "enum"  # small known set of strings
    INTEGER = "integer"  # whole numbers below `size`
    NUMBER = "number"  # normalised
    COUNT = "count"  # log1p, then normalised
    BAG = "bag"  # list of categories
    TEXT = "text"  # words, hashed
    VECTOR = "vector"  # ready-made numbers, as they are


SHARED_ROLES = (Role.CATEGORY, Role.BAG)


@dataclass(frozen=True)
class Feature:
    """A raw feature.

    Args:
        name: the name in every model signature, Feast view and log; prefixed with its entity.
        entity: what it describes.
        role: how it becomes numbers.
        source: the column that it comes from; "" for those that `features_at` computes.
        values: the known strings of an ENUM.
        size: the number of values of an INTEGER, the width of a VECTOR.
    """

    name: str
    entity: Entity
    role: Role
    source: str = ""
    values: tuple[str, ...] = ()
    size: int = 0

    @property
    def dtype(self) -> str:
        """`string`, `int64` or `float32`. A missing string is "", a missing number NaN."""
        if self.role is Role.INTEGER:
            return "int64"
        return "float32" if self.role in (Role.NUMBER, Role.COUNT, Role.VECTOR) else "string"

    @property
    def length(self) -> int:
        """The entries of one value: 0 for a scalar, else the padded length of a list or the width of a vector."""
        if self.role is Role.VECTOR:
            return self.size
        return LIST_LENGTH if self.role in (Role.BAG, Role.TEXT) else 0


ROLES = {
    Kind.CATEGORICAL: Role.CATEGORY,
    Kind.NUMERIC: Role.NUMBER,
    Kind.TEXT: Role.TEXT,
    Kind.LIST: Role.BAG,
    Kind.PATH: Role.BAG,
    Kind.VECTOR: Role.VECTOR,
}
TOKEN_FEATURES = (
    Feature("token_item_id", Entity.TOKEN, Role.ITEM_ID),
    Feature(
        "token_event_type",
        Entity.TOKEN,
        Role.ENUM,
        values=tuple(kind for kind in EventType if kind is not EventType.HIDE),
    ),
    Feature("token_gap", Entity.TOKEN, Role.COUNT),  # seconds since the event before it
    Feature("token_value", Entity.TOKEN, Role.NUMBER),
)
DWELL = Feature("token_dwell", Entity.TOKEN, Role.COUNT)  # seconds, where engagement or satisfaction is told by them
HOUR = Feature("query_hour", Entity.QUERY, Role.INTEGER, size=24)  # UTC
QUERY_FEATURES = (
    HOUR,
    Feature("query_weekday", Entity.QUERY, Role.INTEGER, size=7),  # Monday is 0
    Feature("query_since_last", Entity.QUERY, Role.COUNT),  # seconds since the last event, NaN without one
    Feature("query_events", Entity.QUERY, Role.COUNT),
    Feature("query_events_1d", Entity.QUERY, Role.COUNT),  # today and so far, by UTC day
    Feature("query_events_7d", Entity.QUERY, Role.COUNT),
    Feature("query_events_30d", Entity.QUERY, Role.COUNT),
)


@dataclass(frozen=True)
class FeatureSpec:
    """All features of a data set and how histories and labels are cut.

    Args:
        dataset: the config's name.
        columns: declared columns, by table.
        objectives: the label rules.
        repeat: what keeps an item out that the user did something with.
        build: history length and bucket counts.
        acts: the types of events that users do more than one of, each of which pairs look at by itself (`souk.acts`).
        shown: whether the log tells how often each item is taken where it is shown (`souk.features.responses`).
        timed: whether events have a time of day. Of dates alone every query of training is at midnight, and a request
            at none: no model looks at its hour.
    """

    dataset: str
    columns: Columns
    objectives: Objectives
    repeat: Repeat
    build: BuildFeatures
    acts: tuple[str, ...] = ()
    shown: bool = False
    timed: bool = True

    @cached_property
    def features(self) -> tuple[Feature, ...]:
        """Every raw feature, in a fixed order."""
        users = (Feature("user_id", Entity.USER, Role.USER_ID, "user_id"), *self._declared("users", Entity.USER))
        items = (Feature("item_id", Entity.ITEM, Role.ITEM_ID, "item_id"), *self._declared("items", Entity.ITEM))
        rules = self.objectives.engaged, self.objectives.satisfied  # that pairs ask past events about
        dwells = any(rule.min_dwell_seconds is not None for rule in rules)
        tokens = (*TOKEN_FEATURES, DWELL) if dwells else TOKEN_FEATURES
        queries = QUERY_FEATURES if self.timed else tuple(f for f in QUERY_FEATURES if f is not HOUR)
        return (*users, *items, *tokens, *queries, *self._declared("events", Entity.QUERY))

    def of(self, entity: Entity) -> tuple[Feature, ...]:
        """The features of one entity."""
        return self._by_entity[entity]

    @cached_property
    def _by_entity(self) -> dict[Entity, tuple[Feature, ...]]:
        return {entity: tuple(feature for feature in self.features if feature.entity is entity) for entity in Entity}

    @cached_property
    def context(self) -> tuple[Feature, ...]:
        """The query features that an event carries, or a request's `context`."""
        return tuple(feature for feature in self.of(Entity.QUERY) if feature.source)

    @cached_property
    def shared(self) -> tuple[Feature, ...]:
        """The item features whose values several items may have."""
        return tuple(feature for feature in self.of(Entity.ITEM) if feature.role in SHARED_ROLES)

    @cached_property
    def numbers(self) -> tuple[str, ...]:
        """The names of the item features that are numbers."""
        return tuple(feature.name for feature in self.of(Entity.ITEM) if feature.role is Role.NUMBER)

    @cached_property
    def history_events(self) -> tuple[EventType, ...]:
        """The event types that make a history, whatever objectives and `repeat` are of: all but NO_ACTS."""
        return tuple(kind for kind in EventType if kind not in NO_ACTS)

    @property
    def engaged_again(self) -> bool:
        """Whether a user may engage with an item again: not where all that engages keeps its item out for good."""
        keeping = set(self.repeat.events or self.objectives.engaged.events)
        return self.repeat.rule != "never" or not keeping.issuperset(self.objectives.engaged.events)

    @property
    def keeps_acts(self) -> bool:
        """Whether features have `acts.parquet`: examples do not tell what `repeat` keeps out."""
        return bool(self.repeat.events or self.repeat.pause_minutes or self.repeat.fatigue)

    @property
    def history_length(self) -> int:
        """The padded length of a history, in tokens; at most one less is used."""
        return int(self.build.history_length)

    @property
    def matches(self) -> tuple[tuple[str, str], ...]:
        """Features of the user or the visit, each with one of the item whose values say the same (`souk.matches`)."""
        return () if self.build.matches == "auto" else tuple((own, theirs) for own, theirs in self.build.matches)

    def weights(self, tuned: Mapping[str, float]) -> dict[str, float]:
        """The exponent of each objective in the slate's score: the config's, or where it says `auto`, the tuned one.

        Args:
            tuned: exponents beside 1 for `engaged`; its own in the config multiplies them: ratios make an order.
        """
        rules = {ENGAGED: self.objectives.engaged, **self.objectives.given}
        given = {name: rule.weight for name, rule in rules.items()}
        engaged = 1.0 if given[ENGAGED] == "auto" else float(given[ENGAGED])
        return {
            name: engaged * (1.0 if name == ENGAGED else tuned.get(name, 1.0)) if weight == "auto" else float(weight)
            for name, weight in given.items()
        }

    @cached_property
    def hash(self) -> str:
        """Names the spec: twelve hex digits. Releases carry it, and Feast views that of `of_states`."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:12]

    @cached_property
    def of_states(self) -> FeatureSpec:
        """Itself without what user states, events and requests do not depend on: releases that differ in it alone read
        and write the same states."""
        return replace(self, acts=(), shown=False, timed=True)

    def to_json(self) -> str:
        """Canonical JSON; `FeatureSpec.from_json` reads it."""
        build = self.build.model_dump(mode="json")
        if not self.matches:  # found none, was told so, or is of before: it is the same
            build.pop("matches", None)
        values: dict[str, Any] = {
            "dataset": self.dataset,
            "columns": self.columns.model_dump(mode="json"),
            "objectives": self.objectives.model_dump(mode="json"),
            "repeat": self.repeat.model_dump(mode="json"),
            "build": build,
            "features": [asdict(feature) for feature in self.features],
        }
        if self.acts:  # without them it is as it was before there were any
            values["acts"] = list(self.acts)
        if self.shown:
            values["shown"] = True
        if not self.timed:
            values["timed"] = False
        return json.dumps(values, sort_keys=True, indent=1)

    @classmethod
    def from_json(cls, text: str) -> FeatureSpec:
        """The inverse of `to_json`."""
        values: dict[str, Any] = json.loads(text)
        return cls(
            dataset=values["dataset"],
            columns=Columns.model_validate(values["columns"]),
            objectives=Objectives.model_validate(values["objectives"]),
            repeat=Repeat.model_validate(values["repeat"]),
            build=BuildFeatures.model_validate(values["build"]),
            acts=tuple(values.get("acts", ())),
            shown=bool(values.get("shown", False)),
            timed=bool(values.get("timed", True)),
        )

    def _declared(self, table: str, entity: Entity) -> tuple[Feature, ...]:
        kinds: dict[str, Kind] = getattr(self.columns, table)
        prefix = {"users": "user", "items": "item", "events": "context"}[table]
        widths = self.columns.widths
        return tuple(
            Feature(f"{prefix}_{name}", entity, ROLES[kind], name, size=widths.get(f"{table}.{name}", 0))
            for name, kind in sorted(kinds.items())
        )


def read_spec(path: str | Path) -> FeatureSpec:
    """Reads the `spec.json` of a features folder or a release."""
    return FeatureSpec.from_json(Path(path).read_text(encoding="utf-8"))


def positive(objective: Objective, value: float | None, dwell_seconds: float | None) -> bool:
    """Whether an event's own fields meet the rule of `objective`; what follows the event is not looked at."""
    if objective.min_value is not None and not (value is not None and value >= objective.min_value):
        return False
    return objective.min_dwell_seconds is None or (
        dwell_seconds is not None and dwell_seconds >= objective.min_dwell_seconds
    )
