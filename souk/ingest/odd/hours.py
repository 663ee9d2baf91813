"""A day that is quiet at noon and busy at night: its times are by another clock than the config says."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

FEWEST, DAYS = 1000, 7  # events and days, at least
HOURS, BUSY = 12, 0.01  # hours of the day, at least, that have that share of the events: of dates alone one has all
SPAN, NIGHT = 4, 2  # hours of a night and of the quietest time, and when a night is at its quietest
EVEN = SPAN / 24  # of the events, where they come at all hours alike, as made-up ones
QUIET = EVEN / 4  # that the quietest hours have at most


def odd_hours(times: np.ndarray, timezone: str) -> Iterator[str]:
    """Whether a shop's day seems to be night by the clock of `timezone`.

    Times that name no zone are read by that clock, so one of another place, by which the day is day, is not seen.

    Args:
        times: `[events]` int64 of what users did, UTC epoch milliseconds.
        timezone: that of the config, of the IANA's names. UTC is where nobody lives, and what is taken where none is
            said: nothing follows of it.
    """
    if timezone == "UTC" or len(times) < FEWEST:
        return
    local = pd.DatetimeIndex(pd.to_datetime(times, unit="ms", utc=True)).tz_convert(timezone)
    shares = np.bincount(local.hour, minlength=24) / len(times)
    spans = np.array([np.roll(shares, -hour)[:SPAN].sum() for hour in range(24)])
    quietest = int(spans.argmin())
    if (shares >= BUSY).sum() < HOURS or local.normalize().nunique() < DAYS:
        return
    if spans[NIGHT] > EVEN and spans[quietest] <= QUIET:
        found = f"events: by the clock of {timezone}, the timezone of data.events, {spans[NIGHT]:.0%} come from "
        found += (
            f"{NIGHT} to {NIGHT + SPAN} at night, and {spans[quietest]:.1%} from {quietest} to {(quietest + SPAN) % 24}"
        )
        yield f"{found}: is the file's clock another one, UTC perhaps? Or does `timezone` name another place?"
