"""Event types that say how far a look got, as `scroll_50` and `scroll_75`: each would be a further one."""

from __future__ import annotations

import re
from collections import defaultdict

from souk.ingest import cells
from souk.ingest.guess.acts import acts
from souk.ingest.guess.chosen import skip_rows
from souk.ingest.guess.columns import Table
from souk.ingest.profile import MANY

FEWEST = 30  # rows of such types


def skip_milestones(events: Table) -> None:
    """Leaves out, by `skip`, the unknown types that differ in a number alone, where nearly all of their rows follow
    another act of the same user with the same item."""
    if not events.has("event_type") or "*" in events.types:
        return
    alike = defaultdict(list)
    for text in events.unknown:
        if re.search(r"\d", text):
            alike[re.sub(r"\d+", "0", text)].append(text)
    words = [text for texts in alike.values() if len(texts) > 1 for text in texts]
    if not words:
        return
    column, rows = events.mapped["event_type"][0], acts(events)
    said = cells.parse_text(column.values)[0].to_pandas()[rows.index]
    others = rows[~said.isin(words)].groupby(["user_id", "item_id"])["time"].min().rename("first")
    far = rows[said.isin(words)].join(others, on=["user_id", "item_id"])
    if len(far) < FEWEST or (far["first"] <= far["time"]).mean() < MANY:
        return
    if count := skip_rows(events, column, words):
        events.notes["milestones"] = f"they say how far a look got, {', '.join(words)} of {column.name} ({count})"
