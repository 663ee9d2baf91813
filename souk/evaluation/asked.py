"""In words, who is asked what: the window, and how many of its users."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

LAST_OUT = (
    "leave-last-out, each user's last engagement; the models know what others did later, and are not to be served"
)


def window(metrics: Mapping[str, Any]) -> str:
    """Where the queries come from, in words."""
    if metrics.get("last_out"):
        return LAST_OUT[0].upper() + LAST_OUT[1:]
    return f"Test window from {datetime.fromtimestamp(metrics['test_start'] / 1000, UTC):%Y-%m-%d %H:%M UTC}"


def drawn(metrics: Mapping[str, Any]) -> str:
    """In words, that not all users who engage in the window are asked; nothing where they are."""
    users = metrics["users"]
    if users["drawn"] == users["engaging"]:
        return ""
    return f", of {users['drawn']} drawn from the {users['engaging']} who engage,"
