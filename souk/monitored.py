"""What drift is looked for in: the columns of a release's reference, and how a request and its slate fill them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from souk.spec import Entity, Feature, FeatureSpec

REFERENCE = "drift_reference.parquet"
TOP = 5  # places of a slate whose scores count, whatever its length
SCORES = ("score", "engaged", "satisfied")
SCORE_COLUMNS = tuple(f"slate_{name}" for name in SCORES)


def monitored_features(spec: FeatureSpec) -> tuple[Feature, ...]:
    """The raw features of a request: the user's, but the id, and the query's with its context."""
    return tuple(f for entity in (Entity.USER, Entity.QUERY) for f in spec.of(entity) if f.name != "user_id")


def slate_scores(columns: Mapping[str, Sequence[float | None]]) -> dict[str, float]:
    """The mean over the first TOP places of each kind of score, NaN where no place has it.

    Args:
        columns: by each of SCORES, a value for every place of the slate, best first.
    """
    return {f"slate_{name}": _mean(columns.get(name, ())[:TOP]) for name in SCORES}


def item_scores(items: Sequence[Mapping[str, Any]]) -> dict[str, list[float | None]]:
    """What `slate_scores` takes, from the items of a slate's JSON."""
    return {name: [{**item["scores"], "score": item["score"]}.get(name) for item in items] for name in SCORES}


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None and not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan
