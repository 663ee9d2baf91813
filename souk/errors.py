"""The one error that Souk raises for what a user can mend."""

from __future__ import annotations

import difflib
import errno
import os
from collections.abc import Iterable

COMPARED = 512  # characters of a name; difflib takes a second for four million
FULL = (errno.ENOSPC, errno.EDQUOT)  # no room on the disk, or none left of what one may have
MAKE_ROOM = "Make room, as by `souk release prune`, and do it again."


class SoukError(Exception):
    """Something outside the code is wrong: a file, a configuration, a request, a release, a service.

    Args:
        expected: what would have been right.
        received: what came instead.
        remedy: what the reader can do about it.
    """

    def __init__(self, expected: str, received: str, remedy: str = "") -> None:
        self.expected = expected
        self.received = received
        self.remedy = remedy
        stop = "" if received.endswith(".") and not received.endswith("..") else "."  # what a library says has its own
        text = f"Expected {expected}. Received: {received}{stop}"
        super().__init__(f"{text} {remedy}" if remedy else text)


class Unanswered(OSError):
    """Something that may answer another time did not; the text is whole, as that of a `SoukError`."""


def unknown(what: str, name: str, known: Iterable[str], remedy: str = "") -> SoukError:
    """The error for a `name` that is not among the `known` ones; it has a remedy, or names the nearest."""
    names = sorted(known)
    if not names:
        return SoukError(f"{what}, and there is none here", repr(name), remedy)
    remedy = remedy or nearest(name, names) or "Use one of these names."
    return SoukError(f"{what} to be one of {', '.join(names)}", repr(name), remedy)


def of_a_clone(*extras: str) -> str:
    """How to install extras of setup.cfg. Never by the name alone: `souk` on PyPI is another project."""
    return f"pip install -e '.[{','.join(extras)}]' in a clone of Souk"


def nearest(name: str, known: Iterable[str]) -> str:
    """The question for what may have been meant by `name`; "" where none of the `known` names is like it."""
    near = difflib.get_close_matches(name[:COMPARED], sorted(known), n=1, cutoff=0.6)
    return f"Did you mean {near[0]!r}?" if near else ""


def cut(text: str, most: int) -> str:
    """At most so many characters of a text, with an ellipsis where it goes on."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def shown(uri: str) -> str:
    """An address as messages and logs may have it: without what stands before `@` or in its query, which may be a
    password.

    What has no colon there is no address with a password: `ndcg@10` stays what it is.
    """
    if "://" in uri:
        uri, query, _ = uri.partition("?")
        uri += "?…" if query else ""
    before, _, after = uri.rpartition("@")
    if ":" not in before:
        return uri
    scheme, slashes, _ = before.partition("://")
    return f"{scheme if slashes else ''}{slashes}…@{after}"


def not_taken(error: OSError) -> SoukError:
    """What the operating system refused a server, for who asked over the network: no path, which the log has."""
    return SoukError(
        "a server that can write this down", error.strerror or type(error).__name__, "Send it again later."
    )


def of_disk(error: OSError) -> SoukError:
    """What the operating system refused, for a command that has no better word for it."""
    if error.errno in FULL:
        place = f"free space for {error.filename}" if error.filename else "free space on the disk"
        return SoukError(place, os.strerror(error.errno), MAKE_ROOM)
    place = f"{error.filename} to be readable or writable" if error.filename else "the operating system to help"
    return SoukError(place, error.strerror or str(error), "Check the path, your rights and the free space.")
