"""`souk init`: numbers with commas between thousands or with a currency, and names that commas part."""

from pathlib import Path

import pyarrow as pa
import pytest

from souk.ingest import cells
from souk.ingest.guess.kind import guess_kind
from souk.ingest.profile import Column
from souk.schema import Kind
from tests.test_ingest_first_config import init, write

SURNAMES, FIRST = [f"Sur{n}" for n in range(40)], [f"First{n}" for n in range(8)]
GENRES = ["Action", "Comedy", "Drama", "Horror", "Romance", "War"]


def test_commas_between_thousands_are_read() -> None:
    texts = [
        "558.77",
        "1,250.00",
        "-12,345,678",
        "+1,000.5",
        "1,25",
        "0,250",
        "1,2500",
        "12,345,67",
        "1,250e3",
        "1.250,00",
    ]
    values, wrong = cells.parse_number(pa.array(texts))
    assert values.to_pylist() == [558.77, 1250, -12_345_678, 1000.5, *[None] * 6]
    assert wrong.tolist() == [False] * 4 + [True] * 6
    assert cells.with_points(pa.array(["1,250,000", "1,250"])).to_pylist() == ["1, 250, 000", "1.250"]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (lambda n: f"{(n * 37 % 90 + 1) * 100:,}.00", Kind.NUMERIC),  # round ones come again, as entries of a list do
        (lambda n: f"{(n * 37 % 90 + 1) * 100:,}", Kind.NUMERIC),
        (lambda n: f"{100_000 + n * 37 % 90 * 5000:,}", Kind.NUMERIC),  # of houses
        (lambda n: ",".join(str(100 + (n * k + n // 30) % 30) for k in range(1, 2 + n % 3)), Kind.LIST),  # of codes
        (lambda n: f"{SURNAMES[n % 30]}, {FIRST[n // 30 % 8]}", Kind.CATEGORICAL),
        (lambda n: f"{SURNAMES[n % 30]}, {FIRST[n // 30 % 8]}" if n % 3 else f"Abbey {n % 4}", Kind.CATEGORICAL),
        (lambda n: f"Town{n % 20}, Shire{n // 20 % 6}, UK", Kind.CATEGORICAL),
        (lambda n: ", ".join(sorted({GENRES[n % 6], GENRES[n * n % 5], GENRES[n // 7 % 6]})), Kind.LIST),
        (lambda n: ", ".join(sorted([GENRES[n % 6], GENRES[(n + 1 + n // 6 % 5) % 6]])), Kind.LIST),  # two in each
    ],
)
def test_what_commas_part(values, kind: Kind) -> None:
    assert guess_kind(Column("worth", pa.array([values(n) for n in range(600)]))).kind is kind


def test_what_cannot_be_read_is_shown_and_not_what_can(tmp_path: Path) -> None:
    rows = [{"user_id": n % 9, "item_id": f"i{n % 30}", "timestamp": 1_700_000_000 + n} for n in range(90)]
    goods = [{"item_id": f"i{n}", "price": "558.77" if n % 3 else f"on request {n}"} for n in range(30)]
    text, _ = init(tmp_path, write(rows, tmp_path / "e.csv"), write(goods, tmp_path / "i.csv"))
    assert "no numbers, such as on request 0, on request 3, on request 6" in text


@pytest.mark.parametrize("written", ["{:.2f}", "£{:.2f}", "{:,.2f} €", "{:,.2f}"])
def test_sums_of_amounts_are_found_however_these_are_written(tmp_path: Path, written: str) -> None:
    """Of two gifts each nobody is told apart by how many they are."""
    gifts = [10 + n * n * 7 % 3000 for n in range(120)]
    rows = [
        {
            "user_id": f"u{n % 40}",
            "item_id": f"i{n // 2}",
            "timestamp": 1_700_000_000 + n,
            "amount": written.format(gift),
        }
        for n, gift in enumerate(gifts)
    ]
    goods = [{"item_id": f"i{n}", "reach": gifts[2 * n] + gifts[2 * n + 1]} for n in range(60)]
    text, config = init(tmp_path, write(rows, tmp_path / "e.csv"), write(goods, tmp_path / "i.csv"))
    assert "# left out: reach (IT TELLS EVENTS OF LATER: it goes with the sum of amount of each" in text
    assert "reach" not in config.columns.items
