"""A release is read for as long as it is wanted, and no reading that hangs keeps a server from another."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Protocol, TypeVar

logger = logging.getLogger(__name__)
PATIENCE = 600.0  # seconds that a reading is waited for, whatever is wanted meanwhile: two at once take two's memory
LOOK_SECONDS = 0.5  # from then on between two looks whether it is wanted


class Closing(Protocol):
    """What holds something open."""

    def close(self) -> None:
        """Lets go."""


Read = TypeVar("Read", bound=Closing)


class Unwanted(Exception):
    """Another release is wanted than the one that was read."""


def read_while(wanted: Callable[[], bool], read: Callable[[Path], Read], folder: Path) -> Read:
    """The release of a folder, where it is wanted once it is read; it is closed where it is not.

    It is read in a thread of its own, so that who waits can leave a reading that takes longer than PATIENCE once
    another is wanted. What that reads is closed at its end, whenever that comes.

    Raises:
        Unwanted: another is wanted.
        Exception: what `read` raises.
    """
    future = Future[Read]()
    threading.Thread(target=_read, args=(future, read, folder), name="reading", daemon=True).start()
    wait([future], PATIENCE)
    if not future.done():
        logger.warning("release %s: not read after %.0f s, and left once another is wanted", folder.name, PATIENCE)
    while wanted():
        if future.done():
            try:
                return future.result()
            finally:
                del future  # an error would hold it, and it the error, and that all that was read
        wait([future], LOOK_SECONDS)
    future.add_done_callback(_closed)
    raise Unwanted(f"release {folder.name} is not wanted any more")


def _read(future: Future[Read], read: Callable[[Path], Read], folder: Path) -> None:
    try:
        future.set_result(read(folder))
    except BaseException as error:  # is whose who waits
        future.set_exception(error)
        del future  # as above


def _closed(future: Future[Read]) -> None:
    with contextlib.suppress(Exception):  # it could not be read, or its index is gone already
        future.result().close()
