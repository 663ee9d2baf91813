"""What users hid, and what they were shown lately: the parts of a state that no model reads.

Both are the same in whatever order events come, and however often: an act counts by its item and time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from souk.config import Fatigue
from souk.schema import DAY_MS

HIDDEN = 1000  # items that a user's state keeps as hidden, those of the last hides
SHOWN = 300  # showings that it keeps


def hidden_after(hidden: Mapping[str, int], hides: Iterable[tuple[str, int]]) -> dict[str, int]:
    """`UserState.hidden` after more hides.

    Args:
        hidden: by item, the time of the last hide; negative where that took it back.
        hides: items and times, in the same form.
    """
    found = dict(hidden)
    for item, time in hides:
        found[item] = max(found.get(item, 0), time, key=lambda t: (abs(t), t))
    return dict(sorted(found.items(), key=lambda entry: (-abs(entry[1]), entry[0]))[:HIDDEN])


def shown_after(
    shown: Mapping[str, tuple[int, ...]], showings: Iterable[tuple[str, int]], fatigue: Fatigue
) -> dict[str, tuple[int, ...]]:
    """`UserState.shown` after more showings: of each item the last `fatigue.shown`, of all the last SHOWN.

    None is older than the last by `fatigue.days`.
    """
    all_times = {(time, item) for item, times in shown.items() for time in times} | {(t, i) for i, t in showings}
    last = max(all_times, default=(0, ""))[0]
    found: dict[str, list[int]] = {}
    kept = 0
    for time, item in sorted(all_times, reverse=True):
        if kept == SHOWN or time <= last - fatigue.days * DAY_MS:
            break
        own = found.setdefault(item, [])
        if len(own) < fatigue.shown:
            own.insert(0, time)
            kept += 1
    return {item: tuple(times) for item, times in sorted(found.items())}
