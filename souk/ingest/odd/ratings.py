"""Ratings that are none of the scale of the others: a mistyped star, a code for "unknown"."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from souk.schema import EventType

FEWEST = 100  # ratings
LEAST, GRADES = 3, 25  # grades of a scale, at least and at most
MOST = 1000  # values that are counted: of more there is no scale
NEARLY_ALL = 0.9  # of the ratings, that are of the scale
GAP = 1.5  # steps of the scale, beyond which a value is none of it
EXAMPLES = 3


class Ratings:
    """Counts the values of ratings, and of other events those that have a value."""

    def __init__(self) -> None:
        self._counts, self._others = Counter[float](), [np.inf, -np.inf]

    def add(self, rows: pa.RecordBatch) -> None:
        """Takes events; those without a column `value` have none."""
        if "value" not in rows.schema.names or len(self._counts) > MOST:
            return
        rated = pc.equal(rows["event_type"], EventType.RATING.value)
        for found in pc.value_counts(rows["value"].filter(rated).drop_null()).to_pylist():
            self._counts[found["values"]] += found["counts"]
        acts = pc.invert(pc.is_in(rows["event_type"], value_set=pa.array(["rating", "impression", "hide"])))
        ends = pc.min_max(rows["value"].filter(acts))
        if ends["min"].is_valid:
            self._others = [min(self._others[0], ends["min"].as_py()), max(self._others[1], ends["max"].as_py())]

    def notices(self) -> Iterator[str]:
        """What a reader should know."""
        grades = scale(self._counts)
        if grades is None:
            return
        low, high = grades
        outside = sorted(value for value in self._counts if not low <= value <= high)
        if not outside:
            return
        some, count = sum(self._counts[value] for value in outside), self._counts.total()
        shown = ", ".join(f"{value:g}" for value in outside[:EXAMPLES]) + (", ..." if len(outside) > EXAMPLES else "")
        found = (
            f"events: {some:,} of {count:,} ratings are not of the scale of the others, {low:g} to {high:g}: {shown}"
        )
        if self._others[0] < low or self._others[1] > high:
            mend = "leave them out of the file (a range in the schema would refuse the values of other events)"
        else:
            mend = f"`float_domain {{ min: {low:g} max: {high:g} }}` of value in the schema events.pbtxt refuses them"
        yield f"{found}. They count as they are: {mend}"


def scale(counts: Counter[float]) -> tuple[float, float] | None:
    """The lowest and the highest grade of nearly all ratings; None where these are too few, or of no few grades.

    Args:
        counts: of each value.
    """
    values = np.array(sorted(value for value, count in counts.items() if count > 1))
    if counts.total() < FEWEST or not LEAST <= len(values) <= GRADES:
        return None
    steps = np.diff(values)
    reach = GAP * float(np.median(steps))
    groups = np.split(values, np.flatnonzero(steps > reach) + 1)
    own = max(groups, key=lambda group: sum(counts[value] for value in group.tolist()))
    within = [value for value in counts if own[0] - reach <= value <= own[-1] + reach]  # one that is rare, too
    if len(own) < LEAST or sum(counts[value] for value in within) < NEARLY_ALL * counts.total():
        return None
    return min(within), max(within)
