"""Raw features of a batch as the arrays that the models' `serve` signatures take."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from souk.items import ItemTable
from souk.pair_query import PairQuery
from souk.serving.request import Request
from souk.spec import Entity, Feature, FeatureSpec
from souk.stages import staged
from souk.state import QueryFeatures, UserState, features_at, habits_at

FILL: dict[str, Any] = {"string": "", "int64": 0, "float32": math.nan}
DTYPE: dict[str, Any] = {"string": object, "int64": np.int64, "float32": np.float32}


@staged("features")
def raw_features(
    states: Sequence[UserState], requests: Sequence[Request], spec: FeatureSpec
) -> tuple[list[QueryFeatures], dict[str, np.ndarray]]:
    """What each request is answered from, and the inputs of the query tower."""
    each = zip(states, requests, strict=True)
    features = [features_at(state, request.timestamp, spec, request.context) for state, request in each]
    return features, query_inputs(features, spec)


def pair_query(state: UserState, features: QueryFeatures, time: int, items: ItemTable, spec: FeatureSpec) -> PairQuery:
    """What the sources and the pair features need to know of a query at `time`."""
    habits, since = habits_at(state, time, spec), features.query["query_since_last"]
    return PairQuery.of(time, features.tokens, since, items, features.user | features.query, habits)


def query_inputs(batch: Sequence[QueryFeatures], spec: FeatureSpec) -> dict[str, np.ndarray]:
    """The inputs of the query tower.

    Returns:
        user features `[B]` or `[B, length]`, token features `[B, history_length]` padded at the end, `token_count`
        `[B]` int64, query features `[B]`.
    """
    inputs = {f.name: column([row.user[f.name] for row in batch], f) for f in spec.of(Entity.USER)}
    inputs |= {f.name: column([row.query[f.name] for row in batch], f) for f in spec.of(Entity.QUERY)}
    for feature in spec.of(Entity.TOKEN):
        inputs[feature.name] = padded([row.tokens[feature.name] for row in batch], spec.history_length, feature.dtype)
    inputs["token_count"] = np.array([len(row.window) for row in batch], np.int64)
    return inputs


def item_inputs(rows: Mapping[str, Sequence[Any]], spec: FeatureSpec) -> dict[str, np.ndarray]:
    """The raw item features of the catalogue, `[items]` or `[items, length]`, from the columns of the item table."""
    return {f.name: column(rows[f.name], f) for f in spec.of(Entity.ITEM)}


def column(values: Sequence[Any], feature: Feature) -> np.ndarray:
    """One feature's values, `[rows]` or `[rows, length]`; what is missing takes its default."""
    if feature.length:
        return padded([() if value is None else value for value in values], feature.length, feature.dtype)
    fill = FILL[feature.dtype]
    return np.array([fill if value is None else value for value in values], DTYPE[feature.dtype])


def padded(rows: Sequence[Sequence[Any]], length: int, dtype: str) -> np.ndarray:
    """Rows of at most `length` values, padded at the end: `[rows, length]`."""
    array = np.full((len(rows), length), FILL[dtype], DTYPE[dtype])
    for line, row in zip(array, rows, strict=True):
        line[: len(row)] = row
    return array
