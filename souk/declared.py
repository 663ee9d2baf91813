"""Raw features of a moment and of the declared columns of users and items: one definition, for training and serving."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from souk.schema import DAY_MS, Kind
from souk.spec import Entity, Feature, FeatureSpec
from souk.values import clean, entries


def user_features(user_id: str, profile: Mapping[str, Any], spec: FeatureSpec) -> dict[str, Any]:
    """The raw user features of a profile (the declared user columns)."""
    return _declared_features({**profile, "user_id": user_id}, spec.columns.users, spec.of(Entity.USER))


def moment(t: Any) -> dict[str, Any]:
    """The raw features of a moment, or of an array of them; `t` is in UTC epoch milliseconds."""
    # The epoch was a Thursday.
    return {"query_hour": t % DAY_MS // 3_600_000, "query_weekday": (t // DAY_MS + 3) % 7}


def item_features(row: Mapping[str, Any], spec: FeatureSpec) -> dict[str, Any]:
    """The raw item features of a row of the items table."""
    return _declared_features(row, spec.columns.items, spec.of(Entity.ITEM))


def feature_value(feature: Feature, kind: Kind, value: Any) -> Any:
    """The raw feature of a value of its column."""
    return clean(entries(value, kind) if feature.length else value, feature.dtype, feature.length)


def _declared_features(
    row: Mapping[str, Any], kinds: Mapping[str, Kind], features: Iterable[Feature]
) -> dict[str, Any]:
    return {
        each.name: feature_value(each, kinds.get(each.source, Kind.CATEGORICAL), row.get(each.source))
        for each in features
    }
