"""Counts of a log's answers that outlive the process: what it never wrote is lost, and known."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import mmap
import os
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from souk.errors import SoukError

logger = logging.getLogger(__name__)
FORM = struct.Struct("<4q")  # answered, written, dropped, and the part files that hold what is written
SUFFIX = ".counts"
LOOKS = 20
SAME = "Two servers have one name, and would replace each other's files: start this one again."


@dataclass(frozen=True)
class Counts:
    """What became of the answers: `answered == written + dropped + pending`, always.

    Args:
        lost: answers of processes before this one that were pending when they ended.
    """

    answered: int
    written: int
    dropped: int
    pending: int
    lost: int = 0


class CountsFile:
    """A process's counts in shared memory that the system keeps when the process is killed; locked while it lives.

    Where the disk refuses, the counts are kept in the process alone.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._memory: mmap.mmap | None = None
        self._file = -1

    def open(self) -> None:
        """Makes the file.

        Raises:
            SoukError: another process has this name.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = _locked(self._path)
            os.pwrite(self._file, bytes(FORM.size), 0)  # on the disk: a full one refuses here, not in shared memory
            self._memory = mmap.mmap(self._file, FORM.size)
        except OSError as error:
            logger.warning("%s: %s: what is lost when this process is killed is not counted", self._path, error)

    def put(self, *counts: int) -> None:
        """Notes counts in the order of FORM."""
        if self._memory is not None:
            FORM.pack_into(self._memory, 0, *counts)

    def close(self, keep: bool = False) -> None:
        """Removes the file: all that was answered is written or dropped.

        Args:
            keep: leaves it to `lost`, since some of it is not.
        """
        if self._memory is not None:
            self._memory.close()
            self._memory = None
        if self._file >= 0:
            with contextlib.suppress(OSError):  # an empty one too, which a full disk left
                if not keep:
                    self._path.unlink()
            os.close(self._file)
            self._file = -1


def _locked(path: Path) -> int:
    """This process's file, made anew where `lost` of another one took it away, empty as it was, before the lock."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        _lock(file, path)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file), path.stat()):
                return file
        os.close(file)


def _lock(file: int, path: Path) -> None:
    """Locks this process's file, which `lost` of another one may look at for a moment."""
    for _ in range(LOOKS):
        with contextlib.suppress(BlockingIOError):
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        time.sleep(0.05)
    os.close(file)
    raise SoukError(f"{path} to be this server's alone", "another process has locked it", SAME)


def lost(folder: Path, sink: str, rows_of: Callable[[str, int], int]) -> int:
    """What processes of before answered and never wrote; their files go.

    Args:
        folder: where the files are, `<sink>.<writer>.counts`.
        sink: whose.
        rows_of: of a writer and a number of part files, the rows beyond these: they are written, but not counted.
    """
    found = 0
    for path in sorted(folder.glob(f".{sink}.*{SUFFIX}")):
        try:
            with path.open("r+b") as file:  # writable, or a network file system gives no lock
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # refused where its process is alive
                if not os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    continue
                writer, counts = path.name.removeprefix(f".{sink}.").removesuffix(SUFFIX), file.read()
                if len(counts) != FORM.size:  # killed as it began, or on a full disk
                    path.unlink(missing_ok=True)
                    logger.warning("%s: no counts: whether process %s lost impressions is not known", path, writer)
                    continue
                answered, written, dropped, parts = FORM.unpack(counts)
                missing = answered - written - dropped - rows_of(writer, parts)
                path.unlink(missing_ok=True)
        except OSError as error:
            if not isinstance(error, BlockingIOError | FileNotFoundError):  # or another one counted it
                logger.warning("%s: %s: %s", path, type(error).__name__, error)
            continue
        if missing > 0:
            found += missing
            logger.warning("%d impressions (%s) were lost with process %s", missing, sink, writer)
    return found
