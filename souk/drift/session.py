"""A release, its detector and its state, opened together: what both commands work with."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from souk.drift.alarm import Bell
from souk.drift.detector import Detector, Settings
from souk.drift.in_use import Needed
from souk.drift.reference import Reference
from souk.drift.rows import RowReader
from souk.drift.state import State
from souk.drift.windows import Monitor


@dataclass(frozen=True)
class Session:
    """What one process works with.

    Args:
        monitor: the detector with its state.
        reader: makes rows of requests.
        bell: tells alarms.
        needed: says that the release is in use; has said so once.
    """

    monitor: Monitor
    reader: RowReader
    bell: Bell
    needed: Needed


def open_session(
    release: str | Path,
    settings: Settings,
    state: str | Path | None = None,
    excluded: Collection[str] | None = None,
    on_alarm: str = "",
) -> Session:
    """Builds the detector of a release and opens its state.

    Args:
        release: its folder.
        settings: of windows and alarms.
        state: the folder of the state; None for one that ends with the process.
        excluded: features that are not to be tested; None for those that `Reference.load` leaves out.
        on_alarm: is sent each new alarm by POST; "" for nobody.

    Raises:
        SoukError: the reference is damaged or of another release, or the state cannot be opened.
    """
    folder = Path(release).resolve()
    reference = Reference.load(folder, excluded)
    opened = State.open(state, reference.release)
    monitor = Monitor(Detector(reference, settings), opened)
    bell, needed = Bell(opened, state, on_alarm), Needed(folder)
    needed.say()
    return Session(monitor, RowReader(reference), bell, needed)
