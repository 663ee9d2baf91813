"""`souk init`: how long an item is bounds how long users stay with it, and is learned from; how long they stayed on
average is not."""

import random
from pathlib import Path
from typing import Any

import pytest

from tests.test_ingest_first_config import Table, init, write

ITEMS = 60


def length(item: int) -> float:
    """Seconds."""
    return 600 + 7 * (11 * item % ITEMS) + 0.25


def plays(longest: float) -> tuple[Table, list[float]]:
    """Items differ in how often they are played, for a tenth of their length at least and so much of it at most.

    Returns:
        The events, and how long each item was played on average.
    """
    rng = random.Random(3)
    rows: Table = []
    for n, item in enumerate(rng.choices(range(ITEMS), [1 + 37 * n % ITEMS for n in range(ITEMS)], k=9000)):
        row = {"user_id": f"u{n % 40}", "item_id": f"i{item}", "ts": 1_700_000_000 + 900 * n}
        rows.append({**row, "dwell_seconds": rng.uniform(0.1, longest) * length(item)})
    stays = [[row["dwell_seconds"] for row in rows if row["item_id"] == f"i{item}"] for item in range(ITEMS)]
    return rows, [sum(own) / len(own) for own in stays]


@pytest.mark.parametrize(
    ("name", "value", "longest", "learned"),
    [
        ("duration_s", lambda n, mean: length(n), 1, True),
        ("duration_ms", lambda n, mean: 1000 * length(n) + 0.5, 1, True),
        ("laufzeit", lambda n, mean: length(n) / 60, 1, True),
        ("span", lambda n, mean: length(n), 1, False),  # as the longest stay of each would be
        ("durchschnittliche_dauer", lambda n, mean: mean, 1, False),
        ("duree_moyenne", lambda n, mean: mean / 60, 1, False),
        ("duration", lambda n, mean: 1000 * mean, 1, False),
        ("duration_p90", lambda n, mean: length(n), 1, False),
        ("span", lambda n, mean: mean, 1, False),
        ("span", lambda n, mean: mean / 60, 1, False),
        ("span", lambda n, mean: 1000 * mean, 1, False),
        ("episode_length_s", lambda n, mean: length(n), 1.5, True),  # as where a tab stays open
        ("avg_duration", lambda n, mean: mean, 1, False),
        ("listen_duration", lambda n, mean: mean, 1, False),
    ],
)
def test_how_long_an_item_is_is_no_mean_of_stays(
    tmp_path: Path, name: str, value: Any, longest: float, learned: bool
) -> None:
    rows, means = plays(longest)
    items: Table = [{"item_id": f"i{n}", name: value(n, mean)} for n, mean in enumerate(means)]
    text, config = init(tmp_path, write(rows, tmp_path / "e.csv"), write(items, tmp_path / "i.csv"))
    assert (name in config.columns.items) == learned != (f"left out: {name} (IT TELLS EVENTS OF LATER" in text)
