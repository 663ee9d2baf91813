"""Prices in several currencies: a column beside them says which, and nothing converts them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import pyarrow as pa

from souk.ingest.mapping import TableSource
from souk.ingest.profile import Column, snake
from souk.schema import contract

AMOUNTS = ("price", "value")  # what a table may say in money
NAMED = re.compile(r"(^|_)(curr(ency)?|ccy|w(ae|ä)hrung|devise|moneda|moeda|valuta|divisa)(_|$)")
LEAST = 0.01  # of the amounts are of the second currency: fewer are mistyped
MOST = 500  # distinct values: no more are currencies
SHOWN = 4


class Currencies:
    """How many amounts are of each currency, by the column of the file that tells it."""

    def __init__(self, table: TableSource) -> None:
        self._table = table
        self._counts: dict[str, Counter[str]] = {}

    def note(self, raw: pa.Table) -> None:
        """Counts more rows, as they stand in the file."""
        columns = self._table.columns(raw.column_names)
        amount = next((columns[name] for name in AMOUNTS if name in columns and name in contract(self._table.name)), "")
        if not amount:
            return
        for name in raw.column_names:
            if not NAMED.search(snake(name)) or pa.types.is_nested(raw.schema.field(name).type):
                continue
            known = self._counts.setdefault(name, Counter())
            if len(known) <= MOST:
                priced = raw[name].filter(raw[amount].is_valid()).combine_chunks()
                counted = Column(name, priced).texts.value_counts().to_pylist()
                known.update({each["values"].strip().upper(): each["counts"] for each in counted})

    def notices(self) -> Iterator[str]:
        """Each column that tells of several currencies."""
        for name, counts in self._counts.items():
            rows, most = counts.total(), counts.most_common()
            if not 1 < len(counts) <= MOST or most[1][1] < LEAST * rows:
                continue
            shown = ", ".join(f"{code[:12]} {count / rows:.1%}" for code, count in most[:SHOWN])
            more = f" and {len(most) - SHOWN} more" if len(most) > SHOWN else ""
            found = f"{self._table.name}: AMOUNTS ARE IN SEVERAL CURRENCIES: {name} says {shown}{more}"
            yield f"{found}, and all are read as one: write them in one currency into the file, by one day's rates"
