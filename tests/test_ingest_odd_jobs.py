"""Purchases that a program wrote at its time of the day are told: nobody chose them then."""

import numpy as np
import pytest

from souk.ingest.odd.jobs import odd_jobs
from souk.schema import DAY_MS, MINUTE_MS

NIGHT = 3 * 60 * MINUTE_MS + 5 * MINUTE_MS  # 03:05:00


def told(
    standing: int, others: int = 2000, days: int = 50, step: int = 7 * MINUTE_MS, at: int = NIGHT, of: int = 200
) -> list[str]:
    """Of `standing` purchases at one time on several days, and others at times that are multiples of a step."""
    bought = np.arange(others) % 50 * DAY_MS + np.arange(others) * 7919 % of * step + 1000
    jobs = np.arange(standing) % days * DAY_MS + at + np.arange(standing) % 1000  # of the same second
    return list(odd_jobs(np.concatenate([bought, jobs])))


def test_standing_orders_are_told_with_their_share_and_their_time() -> None:
    """An eighth of a wholesaler's lines were ordered by nobody, and were the surest of all to recommend."""
    (line,) = told(500)
    assert line.startswith("events: 20.0% of the purchases are of 03:05:00 UTC: did a program write them")


@pytest.mark.parametrize(
    "log",
    [
        {"standing": 40},  # of 2%
        {"standing": 150},  # as many as 15 others
        {"standing": 500, "days": 4},  # a sale, perhaps
        {"standing": 500, "at": 0},  # days without a time
        {"standing": 2500, "step": 60 * MINUTE_MS},  # hours
        {"standing": 300, "others": 20_000, "step": 17_000, "of": 5000},  # 1.5% of all
        {"standing": 300, "others": 600},  # few
    ],
)
def test_what_comes_by_chance_or_once_is_not(log: dict[str, int]) -> None:
    assert told(**log) == []
