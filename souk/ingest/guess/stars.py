"""Which numbers of a column of ratings say that there is none, and what becomes of their rows."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc

from souk.ingest import cells
from souk.ingest.guess.acts import event_types
from souk.ingest.guess.chosen import skip_rows
from souk.ingest.guess.columns import Table
from souk.ingest.profile import Column

FEWEST, OFTENER = 0.05, 3  # share of the rows, and times as often as the worst rating, that is given seldom
WORST, BEST = 0.5, 3  # the least rating beside, and the least that is the best


def unrated(column: Column) -> tuple[list[str], str]:
    """The values of a column of ratings that stand for none, as the 0 of what was read and not rated, and why; none
    and "" where a 0 is the worst of them.

    Args:
        column: of numbers, whole or halves.
    """
    counts = Counter(column.numbers.tolist())
    rated = sorted(number for number in counts if number > 0)
    none = [number for number in counts if number <= 0]
    if not none or not rated or min(none) < -1 or rated[0] < WORST or rated[-1] < BEST or len(rated) < BEST:
        return [], ""
    often = sum(counts[number] for number in none)
    if often < FEWEST * len(column.numbers) or often < OFTENER * counts[rated[0]]:
        return [], ""
    texts = [text for text in set(column.texts.to_pylist()) if float(text) <= 0]
    told = f"{often:,} of {len(column.numbers):,} are {' or '.join(f'{number:g}' for number in sorted(none))}"
    return sorted(texts), f"{told}, which stands for no rating beside {rated[0]:g} to {rated[-1]:g}"


def skip_unrated(events: Table) -> None:
    """Leaves out, by `skip`, the ratings of a log of several acts whose number stands for none, as the 0 of a review
    without stars: it is no bad one. Where other acts have it, too, it is told beside the column."""
    value = events.mapped.get("value", (None, ""))[0]
    typed = events.mapped.get("event_type", (None, ""))[0]
    if value is None or typed is None or value.name == typed.name:
        return
    rated = pc.equal(event_types(events), "rating").fill_null(False)
    stars = Column(value.name, value.values.filter(rated))
    none, why = unrated(stars) if stars.numeric else ([], "")
    if not none:
        return
    others = cells.parse_text(value.values.filter(pc.invert(rated)))[0]
    if pc.any(pc.is_in(others.drop_null(), value_set=pa.array(none))).as_py():
        told = f"OF THE RATINGS {why}: leave them empty in the file"
        events.mapped["value"] = value, f"{events.mapped['value'][1]}; {told}"
    elif count := skip_rows(events, value, none):
        events.notes["unrated"] = f"ratings without stars, {' and '.join(none)} of {value.name} ({count}): {why}"
