"""What a config must say of the rows of events: ids that repeat, users that are missing, slates without a request."""

from __future__ import annotations

import pandas as pd

from souk.ingest import cells
from souk.ingest.guess_columns import Table
from souk.schema import EventType


def note_rows(table: Table) -> None:
    """Sets `repeated_ids` and `skip` of the events' source where their rows ask for it, and says why."""
    _note_repeats(table)
    _note_no_user(table)
    _note_slates(table)


def _note_repeats(table: Table) -> None:
    """An id that comes again is an event that was sent twice: without its column each would be an event of its own."""
    if not table.has("event_id"):
        return
    rows = pd.DataFrame({name: _texts(table, name) for name in ("event_id", "user_id", "item_id", "timestamp")})
    column, evidence = table.mapped["event_id"]
    missing = int(rows["event_id"].isna().sum())
    if missing:
        evidence += f"; {missing:,} of {len(rows):,} rows have none: they go to the quarantine"
        table.mapped["event_id"] = column, evidence
    rows = rows.dropna(subset=["event_id", "user_id"])  # those without a user are skipped
    repeated = rows["event_id"].duplicated()
    if repeated.any():
        other = int((repeated & ~rows.duplicated()).sum())
        why = f"{int(repeated.sum()):,} of {len(repeated):,} rows have the id of an earlier one, which counts once"
        why += f"; {other:,} OF THEM ARE OF ANOTHER USER, ITEM OR TIME" if other else ""
        table.source = table.source.model_copy(update={"repeated_ids": "first"})
        table.notes["repeated_ids"] = why


def _note_no_user(table: Table) -> None:
    """Events of nobody are no faults of their rows, and would stop the run where they are many."""
    users = _texts(table, "user_id")
    missing = int(users.isna().sum())
    if missing:
        name = table.mapped["user_id"][0].name
        table.source = table.source.model_copy(update={"skip": {name: ("",)}})
        share = f"{missing:,} of {len(users):,} rows ({missing / len(users):.1%})"
        table.notes["skip"] = f"{share} have no user: left out, and counted as skipped"


def _note_slates(table: Table) -> None:
    shown = EventType.IMPRESSION in {kind for kind, _ in table.types.values()}
    if shown and table.has("position") and not table.has("request_id"):
        column, evidence = table.mapped["position"]
        why = "NO request_id SAYS WHAT WAS SHOWN TOGETHER: logged slates are not used"
        table.mapped["position"] = column, f"{evidence}; {why}"


def _texts(table: Table, target: str) -> pd.Series:
    return cells.parse_text(table.mapped[target][0].values)[0].to_pandas()
