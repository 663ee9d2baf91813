"""What an online store says of a failure, as a log and a reader may have it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from souk.errors import shown
from souk.store.address import PASSWORD
from souk.store.interface import StoreError

PIPELINE = " of pipeline caused error: "  # redis-py quotes the command before it, and its key is a user's id
ARGUMENTS = ", with args beginning with"  # a Redis quotes them behind it, of a command that it does not know
DENIED = "noauth", "authentica", "wrongpass", "username-password", "invalid password", "noperm", "no permissions"


def said(error: Exception) -> str:
    """The first line of an error, without what it quotes of a command."""
    if ARGUMENTS in str(error):
        return "an unknown command"
    lines = str(error).rpartition(PIPELINE)[2].splitlines()
    return lines[0] if lines else ""


def remedy_for(error: Exception, usual: str) -> str:
    """What to do about an error: `usual`, unless the Redis wants to know who asks, or the disk is full."""
    if isinstance(error, sqlite3.OperationalError) and "full" in str(error):
        return "Make room on the disk: what waits is taken then."
    denied = type(error).__module__.startswith("redis.") and any(word in said(error).lower() for word in DENIED)
    return f"Give the password of a user who may do all that states need: {PASSWORD}." if denied else usual


@contextmanager
def answering(uri: str, file: Path | None = None) -> Iterator[None]:
    """An error of the Redis, or of sqlite's file, meanwhile is a StoreError, which says what to do.

    Raises:
        StoreError: the Redis does not answer, or refuses; the file cannot be written.
    """
    try:
        yield
    except sqlite3.Error as error:
        usual = "May this user write the file and its folder, and is it a database? Mend that, and do it again."
        held = "Another process holds it: end that, and do it again."
        remedy = remedy_for(error, held if "locked" in str(error) else usual)
        raise StoreError(f"a sqlite file that takes user states at {file}", str(error), remedy) from error
    except Exception as error:
        if not type(error).__module__.startswith("redis."):
            raise
        remedy = remedy_for(
            error, "Is it running, and is that its address? What is written already stays; do it again."
        )
        received = f"{type(error).__name__}: {said(error)}"
        raise StoreError(f"a Redis that takes user states at {shown(uri)}", received, remedy) from error
