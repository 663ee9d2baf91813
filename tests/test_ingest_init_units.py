"""`souk init`: amounts with a unit or for a month, and lists of what was measured."""

from pathlib import Path

import pyarrow as pa
import pytest

from souk.ingest.guess.kind import guess_kind
from souk.ingest.profile import Column
from souk.schema import Kind
from tests.test_ingest_first_config import init, write


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (
            [f"€{n},000" if n % 3 else f"€{n}00 pcm" for n in range(1, 90)],
            "WITH A CURRENCY, such as €1,000: write 1000",
        ),
        ([f"€{n}00/month" if n % 9 else "POA" for n in range(1, 90)], "WITH A CURRENCY, such as €100/month: write 100"),
        ([f"{n}.000 € mtl." for n in range(1, 90)], "WITH A CURRENCY, such as 1.000 € mtl.: write 1000"),
        ([f"{n} m²" if n % 2 else str(n) for n in range(20, 90)], "WITH A UNIT, such as 21 m²: write 21"),
        ([f"{n} Min." for n in range(20, 90)], "WITH A UNIT, such as 20 Min.: write 20"),
        ([f"{n},5 km" for n in range(20, 90)], "WITH A UNIT, such as 20,5 km: write 20.5"),
        ([str([n + 0.5, n]) for n in range(90)], "2 NUMBERS IN EACH"),
    ],
)
def test_amounts_that_are_not_read_are_left_out_and_told(values: list[str], told: str) -> None:
    guess = guess_kind(Column("size", pa.array(values)))
    assert guess.kind is None and told in guess.evidence


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["64 GB", "128 GB", "256 GB"] * 30, Kind.CATEGORICAL),  # few, as of what is chosen among
        ([f"{n % 40} {'ml' if n % 2 else 'g'}" for n in range(900)], Kind.CATEGORICAL),  # of two units
        ([f"{n % 40} rooms in all" for n in range(900)], Kind.CATEGORICAL),
        ([str([n % 9, n % 7]) for n in range(90)], Kind.LIST),  # ids of genres
        ([str([n % 9 + 0.5] * (n % 3 + 2)) for n in range(90)], Kind.LIST),  # as many as there are
    ],
)
def test_what_is_no_amount_is_what_it_was(values: list[str], kind: Kind) -> None:
    assert guess_kind(Column("size", pa.array(values))).kind is kind


def test_what_counts_or_averages_the_events_is_left_out_whatever_it_is_called(tmp_path: Path) -> None:
    """The stars of 80 recipes depend on the recipe and on which of three to thirteen users gives them."""
    stars = {n: [1 + (n * 13 + u * u) % (2 + n % 4) for u in range(3 + 7 * n % 11)] for n in range(80)}
    events = [
        {"user_id": u, "recipe_id": f"r{n}", "act": "review", "stars": given, "ts": 1_700_000_000 + 99 * n + u}
        for n, each in stars.items()
        for u, given in enumerate(each)
    ]
    items = [
        {"recipe_id": f"r{n}", "mittel": sum(each) / len(each), "laenge": n % 7 + 0.5, "leads": n % 6}
        | {"days_on_market": n % 9 + 31, "mean_price": n % 3 + 0.9}
        for n, each in stars.items()
    ]
    text, config = init(tmp_path, write(events, tmp_path / "e.csv"), write(items, tmp_path / "i.csv"))
    assert config.columns.items == {"laenge": Kind.NUMERIC, "mean_price": Kind.NUMERIC}
    assert "left out: mittel (IT TELLS EVENTS OF LATER: it goes with the mean stars of each, by a rank corr" in text
