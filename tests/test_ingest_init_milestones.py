"""`souk init`: how far a look got is no further one, and a handful of carts beside dwell times satisfies nobody."""

import random
from pathlib import Path

import pytest

from souk.ingest.guess.first_config import first_config
from tests.test_ingest_first_config import Table, init, write


def site(before: bool, carts: float = 0.01, looks: int = 500) -> Table:
    """Looks of an article, how far each got, and few bookmarks; without a look `before` they may be anything."""
    rng, rows = random.Random(3), []
    for n in range(looks):
        own = {"user_id": f"u{n % 40}", "item_id": f"i{rng.randrange(60)}"}
        times = [1_700_000_000 + 3600 * n + 20 * step for step in range(4)]
        words = ["pageview", "scroll_25", "scroll_50", "bookmark"]
        for word, at in zip(words if before else reversed(words), times, strict=True):
            if word != "bookmark" or rng.random() < carts:
                read = rng.choice([4.5, 61.5]) if word == "pageview" else ""
                rows.append({**own, "event": word, "ts": at, "read_time_sec": read})
    return rows


@pytest.mark.parametrize("before", [True, False])
def test_types_that_differ_in_a_number_and_follow_a_look_are_left_out(tmp_path: Path, before: bool) -> None:
    first = first_config(write(site(before), tmp_path / "e.csv"), None, None, "x")
    told = "they say how far a look got, scroll_25, scroll_50 of event (1,000 of"
    assert any(why.startswith(told) for why in first.left_out) == before
    assert ("scroll_25" in first.unknown) != before


@pytest.mark.parametrize(("carts", "dwell"), [(0.01, True), (0.5, False)])
def test_of_few_carts_how_long_users_stayed_tells_more(tmp_path: Path, carts: float, dwell: bool) -> None:
    _, config = init(tmp_path, write(site(True, carts), tmp_path / "e.csv"))
    satisfied = config.objectives.satisfied
    assert (satisfied.min_dwell_seconds == 30, bool(satisfied.followed_by)) == (dwell, not dwell)
