"""What users took and hid, and what they were shown lately: the parts of a state that no model reads.

All are the same in whatever order events come, and however often: an act counts by its item and time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from souk.config import Fatigue, Repeat
from souk.daily import COUNT_DAYS
from souk.schema import DAY_MS

HIDDEN = 1000  # items that a user's state keeps as hidden, those of the last hides
SHOWN = 300  # showings that it keeps


def taken_after(taken: Mapping[str, int], acts: Iterable[tuple[str, int]], repeat: Repeat) -> dict[str, int]:
    """`UserState.engaged` after more acts that keep their items out.

    Where that is for `repeat.days`, none is older than the last by COUNT_DAYS more, so that a query up to COUNT_DAYS
    before the last still sees right.

    Args:
        taken: by item, the time of its act.
        acts: items and times.
        repeat: the rule.
    """
    if repeat.rule == "always":
        return dict(taken)
    found = dict(taken)
    for item, time in acts:
        found[item] = taken_at(found, item, time, repeat)
    if repeat.rule == "never":
        return found
    oldest = max(found.values(), default=0) - (repeat.days + COUNT_DAYS) * DAY_MS
    return {item: time for item, time in sorted(found.items()) if time > oldest}


def taken_at(taken: Mapping[str, int], item: str, time: int, repeat: Repeat) -> int:
    """What `UserState.engaged` says of an item after an act at `time` that keeps it out."""
    chosen = min if repeat.rule == "never" else max
    return chosen(taken.get(item, time), time)


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
