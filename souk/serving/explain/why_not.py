"""Why an item that is explained is not among what is ranked for its request, whatever its score."""

from __future__ import annotations

from enum import StrEnum

from souk.serving.catalogue import Catalogue
from souk.serving.ranking import Ranking
from souk.serving.request import Request


class WhyNot(StrEnum):
    """What keeps an item out: where several do, the first of these."""

    UNAVAILABLE = "unavailable"
    WITHHELD = "withheld"  # by the request's `exclude`, or from this user
    FILTERED = "filtered"
    NO_CANDIDATE = "no_candidate"  # the request names others
    SHOWN_OFTEN = "shown_often"  # until nothing else is left


def why_not(request: Request, ranking: Ranking, catalogue: Catalogue, position: int) -> WhyNot | None:
    """What keeps the item at a position out of the slate of a request; None where nothing does."""
    if not catalogue.shown((), request.timestamp)[position]:
        return WhyNot.UNAVAILABLE
    if position in ranking.excluded.difference(ranking.tired):
        return WhyNot.WITHHELD
    if not catalogue.shown(request.filter, request.timestamp)[position]:
        return WhyNot.FILTERED
    if request.candidates is not None and catalogue.ids[position] not in request.candidates:
        return WhyNot.NO_CANDIDATE
    return WhyNot.SHOWN_OFTEN if position in ranking.tired else None
