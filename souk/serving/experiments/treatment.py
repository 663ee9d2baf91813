"""What an experiment's arm changes in the answer to a request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from souk.config.experiments import Exploration
from souk.serving.exploration import OFF


@dataclass(frozen=True)
class Treatment:
    """How a request is answered otherwise than the release says.

    Args:
        arm: what the answer says of it (souk.experiments.label); "" for none.
        weights: exponents of heads that replace the release's.
        rerank: which of the recommender's rerankers; "" for the release's.
        exploration: what is drawn.
    """

    arm: str = ""
    weights: Mapping[str, float] = field(default_factory=dict)
    rerank: str = ""
    exploration: Exploration = OFF


AS_RELEASED = Treatment()
