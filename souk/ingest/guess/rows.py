"""What a config must say of the rows of events: ids that repeat, users that are missing, times long after the others,
slates without a request, and which column may name it."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa

from souk.ingest import cells
from souk.ingest.guess.columns import Table
from souk.ingest.guess.names import NAMES, PSEUDONYMS
from souk.ingest.notices import moment
from souk.ingest.odd.events import end_of_most
from souk.ingest.profile import MANY, Column
from souk.schema import EventType, contract

SHARED = 0.5  # of what users did, at least, with what names a slate
FEW_LISTED = 0.05  # share of the rows of a type that have an item of the file
KNOWN = 0.5  # share of the rows without a user whose user another id tells, from which that is told
SLATES = 1.2  # of a user, at least: what names one alone may name the user


def note_rows(table: Table) -> None:
    """Sets `repeated_ids` and `skip` of the events' source where their rows ask for it, and says why."""
    _note_repeats(table)
    _note_no_user(table)
    _note_late(table)
    shown = EventType.IMPRESSION in {kind for kind, _ in table.types.values()}
    if shown and not table.has("request_id"):
        _note_slates(table, _note_requests(table))


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
        own = next(column for column in table.columns if column.name == name)
        none = ("",) * (own.filled < 1) + (*table.nobody,)
        table.source = table.source.model_copy(update={"skip": {name: none, **table.source.skip}})
        share = f"{missing:,} of {len(users):,} rows ({missing / len(users):.1%})"
        known = _known_otherwise(table, users)
        told = f"{share} have no user: left out, and counted as skipped{known}"
        table.notes["skip"] = "; ".join(filter(None, [told, table.notes.get("skip", "")]))


def _known_otherwise(table: Table, users: pd.Series) -> str:
    """What says whose the rows without a user are, as the device of who logs in later; "" where nothing does.

    Args:
        table: of events.
        users: of its rows.
    """
    for column in table.columns:
        if column.nested or column.plain not in (*PSEUDONYMS, *NAMES["session_id"]):
            continue
        rows = pd.DataFrame({"id": cells.parse_text(column.values)[0].to_pandas(), "user": users})
        each = rows.dropna().groupby("id")["user"].nunique()
        mine = rows.loc[rows["user"].isna(), "id"]
        known = int(mine.isin(each.index[each == 1]).sum())
        if (each == 1).mean() >= MANY and known >= KNOWN * len(mine):
            return f"; OF {known:,} THE {column.name} IS ONE USER'S IN OTHER ROWS: write that user into these, too"
    return ""


def note_no_item(table: Table, items: Table | None) -> None:
    """Event types of which no row has an item, as searches, are none of those that are asked for here; nor are unknown
    ones which hardly ever have an item of the file, as a word that was searched for, and known ones where nearly all
    others have, as what is shown of an advertiser."""
    if not table.has("event_type") or "*" in table.types:
        return
    rows = pd.DataFrame({name: _texts(table, name) for name in ("event_type", "item_id")})
    having = rows.groupby("event_type")["item_id"].count()
    listed = rows["item_id"].isin(_texts(items, "item_id")) if items else pd.Series(True, rows.index)
    shares = listed.groupby(rows["event_type"]).mean()
    few = shares.index[shares < FEW_LISTED]
    sure = listed[~rows["event_type"].isin(few) & rows["item_id"].notna()].mean() >= MANY
    strange = few if sure else few[few.isin(table.unknown)]
    words = [str(text) for text in having.index[(having == 0) | having.index.isin(strange)] if text in table.types]
    if not words or len(words) == len(table.types):
        return
    for word in words:
        del table.types[word]
    table.unknown = [word for word in table.unknown if word not in words]
    name, source = table.mapped["event_type"][0].name, table.source
    skip = {**source.skip, name: (*source.skip.get(name, ()), *words)}
    table.source = source.model_copy(update={"skip": skip})
    told = f"of {', '.join(words)} {'hardly a' if len(strange) else 'no'} row has an item: left out"
    table.notes["skip"] = "; ".join(filter(None, [table.notes.get("skip", ""), told]))


def _note_late(table: Table) -> None:
    """A few times long after the others are errors of dates more often than events, and move every window's end."""
    column, evidence = table.mapped["timestamp"]
    times = cells.parse_time(column.values, table.source.timestamp_unit)[0].drop_null().cast(pa.int64()).to_numpy()
    end = end_of_most(times)
    late, usual = times[times > end], times[times <= end]
    if len(late):
        why = f"{len(late):,} OF {len(times):,} COME LONG AFTER THE OTHERS, up to {moment(late.max())}"
        table.mapped["timestamp"] = column, f"{why}; the others up to {moment(usual.max())}; {evidence}"


def _note_requests(table: Table) -> str:
    """What names the slates has another name than `request_id`, and is no context: its column, "" where none does."""
    rows = pd.DataFrame({name: _texts(table, name) for name in ("user_id", "timestamp", "event_type")})
    words = {text for text, (kind, _) in table.types.items() if kind is EventType.IMPRESSION}
    rows["shown"] = rows.pop("event_type").isin(words)
    if table.has("position"):
        rows["position"] = _texts(table, "position")
    own = {column.name: target for target, (column, _) in table.declared.items() if target not in contract("events")}
    left = [name for name, _ in table.left_out]
    found = [c for c in table.columns if c.name in {*own, *left} and _names_slates(c, rows)]
    for column in found:
        table.declared.pop(own.get(column.name, ""), None)
        table.mapped.pop(own.get(column.name, ""), None)
        why = (
            "IT SEEMS TO NAME WHAT WAS SHOWN TOGETHER, since impressions and what came of them share it: then map it, "
        )
        entry = column.name, f"{why}request_id: {column.name}"
        table.left_out = [entry if name == column.name else (name, told) for name, told in table.left_out]
        table.left_out += [] if column.name in left else [entry]
    return found[0].name if found else ""


def _names_slates(column: Column, rows: pd.DataFrame) -> bool:
    """Whether a column has one value for what a user was shown at one time, and for what the user did with it.

    Args:
        column: of events.
        rows: their user, timestamp and, where there is one, position; and whether something was `shown`.
    """
    if column.nested or column.time_unit or (column.numeric and not column.whole):
        return False
    rows = rows.assign(value=cells.parse_text(column.values)[0].to_pandas()).dropna(subset=["value", "user_id"])
    shown, done = rows[rows["shown"]], rows[~rows["shown"]]
    if not len(shown) or not len(done) or done["value"].isin(shown["value"]).mean() < SHARED:
        return False
    whose = rows[["value", "user_id"]].drop_duplicates()
    of_one = not whose["value"].duplicated().mean() > 1 - MANY
    several = whose["value"].nunique() > SLATES * whose["user_id"].nunique()
    place = ["value", "position"] if "position" in shown else ["value"]
    moments = shown[place] if "position" in shown else shown[["value", "timestamp"]].drop_duplicates()["value"]
    return bool(of_one and several and moments.duplicated().mean() <= 1 - MANY)


def _note_slates(table: Table, request: str) -> None:
    if table.has("position"):
        column, evidence = table.mapped["position"]
        why = "NO request_id SAYS WHAT WAS SHOWN TOGETHER: logged slates are not used"
        why += f"; {request} may, see columns" if request else ""
        table.mapped["position"] = column, f"{evidence}; {why}"


def _texts(table: Table, target: str) -> pd.Series:
    return cells.parse_text(table.mapped[target][0].values)[0].to_pandas()
