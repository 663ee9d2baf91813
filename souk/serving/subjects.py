"""For whom a slate or an explanation may be asked, beyond what each field says."""

from __future__ import annotations

from collections.abc import Sequence

from souk.errors import SoukError
from souk.serving.request import Request
from souk.values import quoted

MAX_EXPLAINED = 8  # each takes as long as some hundred slates


def check_subjects(requests: Sequence[Request], path: str = "") -> None:
    """Requests for slates: each is of a user, of a session, or of an item.

    Args:
        requests: of one body, or one, at
        path: "" for the instances of a body.

    Raises:
        SoukError: an item stands beside a user or events.
    """
    for place, request in enumerate(requests):
        if request.item_id and not request.similar:
            remedy = "item_id alone asks for similar items; beside user_id or events it belongs to :explain."
            raise SoukError(f"{path or f'instances[{place}]'} without item_id", quoted(request.item_id), remedy)


def check_explained(requests: Sequence[Request]) -> None:
    """Requests for explanations: each is of a user or of a session, if without events; `item_id` is what to explain.

    Raises:
        SoukError: there are too many, or one has neither.
    """
    if len(requests) > MAX_EXPLAINED:
        raise SoukError(f"at most {MAX_EXPLAINED} instances to explain", f"{len(requests)}", "Send several requests.")
    for place, request in enumerate(requests):
        if request.similar and not request.session:
            remedy = 'An item is explained to someone; "events": [] is a visitor who did nothing yet.'
            raise SoukError(f"instances[{place}].user_id, or events", "item_id alone", remedy)
