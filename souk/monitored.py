"""What drift is looked for in: the columns of a release's reference, and how a request and its slate fill them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from souk.spec import Entity, Feature, FeatureSpec

REFERENCE = "drift_reference.parquet"
MOMENTS = REQUESTS, VISITS, ENGAGEMENTS = "requests", "visits", "engagements"  # what the rows of a reference are
KIND = b"moments"  # by which its metadata say it
PACE = ("query_since_last", "query_events_1d")  # tells requests from what is none
TOP = 5  # places of a slate whose scores count, whatever its length
SCORE = "score"


def score_columns(spec: FeatureSpec) -> dict[str, str]:
    """The columns of a slate's scores: by column the score, or the objective whose probability it is."""
    return {f"slate_{name}": name for name in (SCORE, *spec.objectives.names)}


def monitored_features(spec: FeatureSpec) -> tuple[Feature, ...]:
    """The raw features of a request: the user's, but the id, and the query's with its context."""
    return tuple(f for entity in (Entity.USER, Entity.QUERY) for f in spec.of(entity) if f.name != "user_id")


def slate_scores(values: Mapping[str, Sequence[float | None]], spec: FeatureSpec) -> dict[str, float]:
    """The mean over the first TOP places of each kind of score, NaN where no place has it.

    Args:
        values: by score and objective, a value for every place of the slate, best first.
        spec: tells the columns.
    """
    return {column: _mean(values.get(name, ())[:TOP]) for column, name in score_columns(spec).items()}


def item_scores(items: Sequence[Mapping[str, Any]], spec: FeatureSpec) -> dict[str, list[float | None]]:
    """What `slate_scores` takes, from the items of a slate's JSON."""
    names = score_columns(spec).values()
    return {name: [{**item["scores"], SCORE: item[SCORE]}.get(name) for item in items] for name in names}


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None and not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan
