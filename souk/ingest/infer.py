"""The first schema of a data set, of what its rows show."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from souk.ingest.schemas import contract_schema
from souk.schema import Kind

MAX_DOMAIN = 100  # a column with more values than this gets no list of known values
KNOWN_MASS = 0.9  # the share of known values below which a column is reported
DRIFT = 0.1  # L-infinity distance of categories, Jensen-Shannon divergence of numbers
KEPT_PRESENCE = 0.9  # a column may lose this share of its present values before it is reported


def infer_schema(table: str, kinds: Mapping[str, Kind], statistics: Any) -> Any:
    """The first schema of a data set: the contract, and what the statistics show of the declared columns."""
    import tensorflow_data_validation as tfdv

    schema = contract_schema(table, kinds)
    shown = tfdv.infer_schema(statistics, infer_feature_shape=False, max_string_domain_size=MAX_DOMAIN)
    domains = {domain.name: sorted(domain.value) for domain in shown.string_domain}
    inferred = {feature.name: feature for feature in shown.feature}
    stats = {feature.path.step[0]: feature for feature in statistics.datasets[0].features}
    for feature in list(schema.feature):
        name = feature.name
        if name in kinds:
            _learn(feature, kinds[name], inferred.get(name), stats.get(name), statistics, domains)
        elif feature.name not in stats and feature.presence.min_fraction < 1:
            schema.feature.remove(feature)
    return schema


def _learn(
    feature: Any, kind: Kind, inferred: Any, stats: Any, statistics: Any, domains: Mapping[str, list[str]]
) -> None:
    """Adds to a declared column's feature what the statistics show."""
    if stats is None:
        return
    common = stats.string_stats.common_stats if stats.HasField("string_stats") else stats.num_stats.common_stats
    share = common.num_non_missing / max(1, statistics.datasets[0].num_examples)
    if feature.presence.min_fraction < 1:
        feature.presence.min_fraction = math.floor(100 * KEPT_PRESENCE * share) / 100
    if kind is Kind.VECTOR:
        feature.value_count.min = feature.value_count.max = common.max_num_values
    if kind is Kind.NUMERIC:
        feature.drift_comparator.jensen_shannon_divergence.threshold = DRIFT
    if kind in (Kind.CATEGORICAL, Kind.LIST) and inferred is not None and inferred.domain in domains:
        feature.string_domain.value.extend(domains[inferred.domain])
        feature.distribution_constraints.min_domain_mass = KNOWN_MASS
        feature.drift_comparator.infinity_norm.threshold = DRIFT
