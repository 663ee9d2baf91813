"""Events that go on with an item at hand: a look, a cart and a purchase of one visit. Whoever names the last item again
is right about them, and recommends nothing."""

from __future__ import annotations

import numpy as np

from souk.schema import MINUTE_MS, EventType

PAUSE_MS = 30 * MINUTE_MS  # a longer one ends a visit
LONGEST_MS = 6 * 60 * MINUTE_MS  # that anything is taken to go on: a player may be left on
MUCH = 0.2  # share of what is asked for that is worth a warning
STEPS = {str(kind): place for place, kind in enumerate(EventType)}  # from what is shown to what came of it


def next_steps(pairs: np.ndarray, kinds: np.ndarray, times: np.ndarray, lasted: np.ndarray | None = None) -> np.ndarray:
    """Which events follow an earlier step of the same user and item, within a visit.

    Args:
        pairs: `[events]` integers, one for each user and item.
        kinds: `[events]` integers, places in STEPS; none of impressions, which are no act of the user.
        times: `[events]` int64 milliseconds; what happens at one time is one step.
        lasted: `[events]` milliseconds, for how long each went on, NaN where not known: what is liked at the end
            of an hour's episode is of one visit with it.

    Returns:
        `[events]` bool.
    """
    found = np.zeros(len(pairs), bool)
    order = np.lexsort((-kinds, times, pairs))  # of one time, what may go before comes last
    pairs, kinds, times = pairs[order], kinds[order], times[order]
    if not len(pairs):
        return found
    lengths = np.zeros(len(times)) if lasted is None else np.minimum(np.nan_to_num(lasted[order]), LONGEST_MS)
    apart = np.ptp(times) + LONGEST_MS + 2 * PAUSE_MS  # so far that no pair reaches the next
    starts = times - times.min() + apart * np.cumsum(np.diff(pairs, prepend=pairs[:1]) != 0)
    ends = starts + np.maximum(lengths, 0).astype(np.int64)
    for kind in np.unique(kinds)[1:]:
        furthest = np.maximum.accumulate(np.where(kinds < kind, ends, -apart))  # a look meanwhile ends no play
        found[order[(kinds == kind) & (starts - furthest <= PAUSE_MS)]] = True
    return found
