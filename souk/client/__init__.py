"""Calls of a running server (docs/serving.md), with a deadline, retries and types.

    with Client("http://localhost:8080") as souk:
        slate = souk.slate(Request(user_id="42", k=5))
        likewise = souk.slate(Request(item_id=slate.items[0].item_id))
        souk.send_events([{"event_id": "e1", "user_id": "42", "item_id": "50", "event_type": "click", ...}])

`AsyncClient` has the same calls, to be awaited. Both keep connections open and may be shared, by threads and by tasks.
Imports nothing but httpx, the extra `client`: `pip install -e '.[client]'` in a clone of Souk.
"""

from souk.client.http import AsyncClient, Client
from souk.client.records import ClientError, Event, Item, Overloaded, Refused, Request, Slate, Taken, Unavailable

__all__ = [
    "AsyncClient",
    "Client",
    "ClientError",
    "Event",
    "Item",
    "Overloaded",
    "Refused",
    "Request",
    "Slate",
    "Taken",
    "Unavailable",
]
