"""Which items a request may not be shown, and which only when there are no others."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

from souk.serving.catalogue import Catalogue
from souk.serving.request import Request
from souk.spec import FeatureSpec
from souk.state import UserState
from souk.withheld import tired, withheld


@dataclass(frozen=True)
class KeptOut:
    """Positions in the catalogue.

    Args:
        never: what the request, the repeat rule or the user keeps out, and what is the user's own.
        tired: what was shown too often lately, in the order in which it may come back when nothing else is left.
    """

    never: frozenset[int]
    tired: tuple[int, ...]

    @classmethod
    def of(cls, request: Request, state: UserState, catalogue: Catalogue, spec: FeatureSpec) -> KeptOut:
        """What is kept out of one user's slate."""
        never = catalogue.known(chain(request.exclude, withheld(state, request.timestamp, spec)))
        if spec.repeat.own and request.user_id and catalogue.filters:
            never.update(catalogue.filters.places(spec.repeat.own, request.user_id).tolist())
        places = (catalogue.positions.get(item, -1) for item in tired(state, request.timestamp, spec))
        return cls(frozenset(never), tuple(place for place in places if place >= 0 and place not in never))

    @property
    def all(self) -> frozenset[int]:
        """Both: no candidate."""
        return self.never.union(self.tired)
