"""Purchases that the events tell twice: once in the log of an app or a site, once in the orders beside it."""

from __future__ import annotations

from itertools import combinations

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from souk.ingest import cells
from souk.ingest.guess.acts import times_of
from souk.ingest.guess.auction_words import settles
from souk.ingest.guess.columns import Table
from souk.ingest.guess.dates import NO_ZONE
from souk.ingest.guess.repeat import sold_once
from souk.ingest.profile import MANY, plain
from souk.schema import MINUTE_MS, EventType

FEWEST = 30  # pairs of a user and an item
A_DAY = 26 * 60 * MINUTE_MS  # orders may have days alone, or times of another zone
STEP = "checkout"  # a purchase where no other word tells them
MORE = 0.5  # columns that the rows of one word fill more than those of another on the mean, where they say more
APART = 27 * MINUTE_MS  # half an hour, the least that zones differ by, less what it takes to write an order


def skip_twice(events: Table) -> None:
    """Of two words for purchases one is left out, where the users have nearly all of its items by the other, too: each
    would count twice, and the second as bought again. Where both have nearly all, the one whose rows say less is.

    Purchases among what else was begun and given up stay; where that is a `checkout`, it is no purchase, but a step."""
    words = [text for text, (kind, _) in events.types.items() if kind is EventType.PURCHASE]
    if len(words) < 2 or not events.has("event_type"):
        return
    said = cells.parse_text(events.mapped["event_type"][0].values)[0]
    ids = {key: cells.parse_text(events.mapped[key][0].values)[0].to_pandas() for key in ("user_id", "item_id")}
    rows = pd.DataFrame(ids).assign(word=said.to_pandas(), told=_told(events), time=times_of(events).to_pandas())
    rows = rows[rows["word"].isin(words)].dropna(subset=["user_id", "item_id"])
    pairs = {str(word): set(zip(own["user_id"], own["item_id"], strict=True)) for word, own in rows.groupby("word")}
    told = rows.groupby("word")["told"].mean().to_dict()
    first = rows.groupby(["word", "user_id", "item_id"])["time"].min()
    for one, other in combinations(sorted(pairs), 2):
        if any(word not in events.types or events.types[word][0] is EventType.CART for word in (one, other)):
            continue
        both = len(pairs[one] & pairs[other])
        gaps = (first[other] - first[one]).dropna()
        within = [word for word in (one, other) if both >= MANY * len(pairs[word])]
        if both < FEWEST or not within:
            continue
        if (gaps.abs() <= A_DAY).mean() < MANY:
            _skip_settled(events, rows, [one, other], within)
            continue
        less = min(within, key=lambda word: (told[word], word))
        kept = other if less == one else one
        same = len(within) == 2 or _all_of_its_time(first, less, kept)
        if not same and plain(kept) == STEP:
            events.types[kept] = EventType.CART, f"carts: {less} comes after it, or nothing"
        elif same or told[less] + MORE <= told[kept]:
            share = f"{both:,} of {len(pairs[less]):,} pairs of a user and an item"
            gap = float(gaps.median()) * (1 if less == one else -1)
            apart = _apart(kept, gap)
            if apart and not _local(events, said, less) and _local(events, said, kept):
                events.stand_ins[kept] = less  # what engages is guessed by times that are right
            _skip(events, less, f"{less} and {kept} seem to be the same purchases: {share} have both{apart}")


def _skip_settled(events: Table, rows: pd.DataFrame, words: list[str], within: list[str]) -> None:
    """Leaves out the word that settles, days later, what the other tells: the payment of an order, or of what is there
    once. Of an order that is one more the word is another one, too.

    Args:
        events: with their types.
        rows: of purchases.
        words: two.
        within: those of which nearly all pairs of a user and an item have the other, too.
    """
    own = rows[rows["word"].isin(words)].sort_values("time", kind="stable")
    nth = own.assign(n=own.groupby(["word", "user_id", "item_id"]).cumcount())
    times = nth.set_index(["word", "user_id", "item_id", "n"])["time"]
    for earlier, later in (words, words[::-1]):
        gaps = (times[later] - times[earlier]).reindex(times[later].index)
        if (gaps >= 0).mean() < MANY or later not in within:
            continue
        if settles(later) or sold_once(own.assign(kind="purchase")):
            both = int(gaps.notna().sum())
            told = f"{both:,} of {len(gaps):,} of {later} come after {earlier} of the same user and item"
            _skip(events, later, f"{later} settles what {earlier} tells: {told}")
            return


def _skip(events: Table, word: str, why: str) -> None:
    del events.types[word]
    events.notes["twice"] = why
    name = events.mapped["event_type"][0].name
    skip = {**events.source.skip, name: (*events.source.skip.get(name, ()), word)}
    events.source = events.source.model_copy(update={"skip": skip})


def _all_of_its_time(first: pd.Series, less: str, kept: str) -> bool:
    """Whether nearly all pairs of one word are those of another while there is that: the one of them began later."""
    meanwhile = first[kept][first[kept].between(first[less].min(), first[less].max())].index
    return bool(meanwhile.isin(first[less].index).mean() >= MANY)


def _apart(word: str, gap: float) -> str:
    """What says that the times of a word are of another zone, by their distance (ms); "" where they are not."""
    if abs(gap) < APART:
        return ""
    when = "later" if gap > 0 else "earlier"
    return f"; {word} IS {abs(gap) / 60 / MINUTE_MS:.1f} HOURS {when.upper()}: set timezone, see timestamp_unit"


def _local(events: Table, said: pa.Array, word: str) -> bool:
    """Whether most times of a word name no zone."""
    times = cells.parse_text(events.mapped["timestamp"][0].values)[0].filter(pc.equal(said, word))
    return bool((pc.mean(pc.match_substring_regex(times, NO_ZONE)).as_py() or 0) > 0.5)


def _told(events: Table) -> pd.Series:
    """How many columns each row fills, those with a price and a quantity before all others."""
    known = [events.mapped[key][0].name for key in ("price", "value") if events.has(key)]
    filled = [(column.name, pc.is_valid(column.values).to_pandas()) for column in events.columns if not column.nested]
    each = [present * (100.0 if name in known else 1.0) for name, present in filled]
    return pd.concat(each, axis=1).sum(axis=1)
