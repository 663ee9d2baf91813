"""The step tells of amounts in several currencies, which it reads as one."""

import pyarrow as pa
import pytest

from souk.config import Source
from souk.ingest.mapping import TableSource
from souk.ingest.odd.currencies import Currencies

ITEMS = Source(path="i.csv", columns={"price": "amount"})
HUNDRED = ["EUR"] * 99


def told(
    column: str, *batches: list[object], source: Source = ITEMS, table: str = "items", amount: object = "9.90"
) -> list[str]:
    found = Currencies(TableSource(table, source, {}))
    for values in batches:
        found.note(
            pa.table({"item_id": ["i"] * len(values), "amount": [amount] * len(values), column: pa.array(values)})
        )
    return list(found.notices())


@pytest.mark.parametrize(
    ("column", "batches", "expected"),
    [
        ("currency", [[*HUNDRED, "JPY"]], True),
        ("priceCurrency", [HUNDRED, ["USD", "USD"]], True),  # in two parts of the file
        ("Währung", [[*HUNDRED, "CHF"]], True),
        ("currency_code", [["eur", "EUR ", None]], False),  # one, in several spellings
        ("currency", [[*HUNDRED, *HUNDRED, "JPY"]], False),  # less than one in a hundred
        ("currency", [HUNDRED], False),
        ("currently", [[*HUNDRED, "JPY"]], False),
        ("country", [[*HUNDRED, "JPY"]], False),
        ("currency", [[{"code": "EUR"}, {"code": "JPY"}]], False),
        ("currency", [[f"{n}" for n in range(600)]], False),  # no currencies: there are fewer
    ],
)
def test_a_column_of_several_currencies(column: str, batches: list[list[object]], expected: bool) -> None:
    assert len(told(column, *batches)) == expected


def test_it_says_how_many_are_of_which() -> None:
    (line,) = told("currency", ["EUR"] * 6 + ["USD"] * 3 + ["JPY"])
    assert line.startswith(
        "items: AMOUNTS ARE IN SEVERAL CURRENCIES: currency says EUR 60.0%, USD 30.0%, JPY 10.0%, and"
    )
    (line,) = told("currency", ["EUR", "EUR", "USD", "JPY", "CHF", "GBP"])
    assert ", CHF 16.7% and 1 more, and all are read as one: write them in one currency" in line


def test_without_amounts_currencies_do_not_matter() -> None:
    assert told("currency", ["EUR", "USD"], source=Source(path="i.csv")) == []
    assert told("currency", ["EUR", "USD"], amount=None) == []
    assert told("currency", ["EUR", "USD"], table="users", source=Source(path="u.csv")) == []
    assert (
        len(told("currency", ["EUR", "USD"], table="events", source=Source(path="e.csv", columns={"value": "amount"})))
        == 1
    )
