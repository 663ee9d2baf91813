"""Which numbers of items and users count what the events tell: those of later, too."""

from __future__ import annotations

import pandas as pd

from souk.ingest import cells
from souk.ingest.guess_columns import Table

ALIKE = 0.9  # rank correlation with how many events of one type each has, from which a column counts them
FEWEST = 50  # rows that say so
FEWEST_VALUES = 3


def map_counts(events: Table, other: Table, target: str) -> None:
    """Notes the columns of `other` that grow with the events of its rows, as the students of a course or the orders of
    a customer: at any time of the training they tell what came later.

    Args:
        events: with their types.
        other: items or users.
        target: the id of its rows, in both.
    """
    ids = cells.parse_text(other.mapped[target][0].values)[0].to_pandas()
    whose = cells.parse_text(events.mapped[target][0].values)[0].to_pandas()
    told = {"events": whose.value_counts()}
    if events.has("event_type"):
        words = cells.parse_text(events.mapped["event_type"][0].values)[0].to_pandas()
        told |= {str(word): own.value_counts() for word, own in whose.groupby(words)}
    each = pd.DataFrame({word: ids.map(count).fillna(0) for word, count in told.items()}).rank()
    for column in other.free:
        if column.nested or not column.numeric or column.distinct < FEWEST_VALUES:
            continue
        numbers = cells.parse_number(column.values)[0].to_pandas()
        if numbers.notna().sum() < FEWEST:
            continue
        known = each[numbers.notna()]
        known = known.loc[:, known.nunique() > 1]
        alike = known.corrwith(numbers.dropna().rank()).abs()  # the best-seller is the first in a rank
        if len(alike) and alike.max() >= ALIKE:
            why = f"it goes with how many of {alike.idxmax()} each has, by a rank correlation of {alike.max():.2f}"
            other.counts[column.name] = (
                f"IT TELLS EVENTS OF LATER: {why}, such as {column.examples}; declare it if it is of before them"
            )
