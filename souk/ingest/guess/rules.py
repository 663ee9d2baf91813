"""What engages and what satisfies in a sample of events."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from souk.ingest import cells
from souk.ingest.guess.acts import ENGAGING, acts, counts_of, engaging_kinds, event_types, times_of
from souk.ingest.guess.columns import Table
from souk.ingest.guess.repeat import repeated, sold_once
from souk.ingest.odd.events import end_of_most
from souk.ingest.odd.ratings import scale
from souk.loans import are_loans, given_back
from souk.next_steps import STEPS, next_steps
from souk.schema import DAY_MS, MINUTE_MS, EventType

AGAIN = 0.02  # share of the events of a type that are a user's second or later with an item, from which that satisfies
DWELL = (30, 60, 120, 300, 600, 1200, 1800, 3600)  # seconds from which reading, watching or listening satisfies:
LEAVE = 0.2  # the least of them before which this share leaves; of an hour nearly all stay for half a minute
LABELLED = "at most half of what either of the last two tenths of the events takes: a label is known after its days"
FEW_RATED = 0.1  # ratings for each purchase: of fewer, what is kept tells far more often who is satisfied
FEW_PLANNED = 0.005  # share of the ends that are after the last event, from which ends are planned
FEWEST_USED = 30  # that were bought and clicked
NEARLY_ALL = 0.8  # of the events of a type, that follow another act: it is the next step of a visit
REPEATED = "The last item would be the answer to what is asked of these, and nothing be recommended"
SHORT = 0.1  # days within which what is looked at may be bought, in a log of a few
TELLING = 0.02  # least share of events on either side of a bar that tells them apart


def objectives(table: Table) -> list[str]:
    """The lines of the section: what engages, and what satisfies."""
    types = event_types(table)
    counts = counts_of(types)
    steps = table.notes.get("steps", "")
    engaging = engaging_kinds(table)
    found = ", ".join(f"{count:,} {kind}" for kind, count in sorted(counts.items()))
    lent = _lent(table, counts)
    satisfied, why = _satisfied(table, types, {k: n for k, n in counts.items() if k != "return" or not lent}, engaging)
    why += lent
    return [
        f"objectives:  # in the sample: {found}",
        *([f"  # {steps}."] if steps else []),
        *([f"  # {REPEATED}{'; see satisfied' * _told(table, satisfied)}."] if _visited(table) else []),
        f"  engaged: {{events: [{', '.join(engaging)}]}}",
        f"  satisfied: {satisfied}  # {why}",
    ]


def note_steps(table: Table, items: Table | None) -> None:
    """Notes which carts and purchases are but the next step of a visit, and ratings of what is gone, or of what came of
    such a visit, and keeps them from what engages.

    Where both are asked for, the item of the last event is the answer, and nothing has to be recommended. What users
    chose is the first step, of which the others say how good it was.
    """
    shares = _next_steps(table)
    table.next_steps = [kind for kind, (follow, count) in shares.items() if follow >= NEARLY_ALL * count]
    told = [f"{shares[kind][0]:,} of {shares[kind][1]:,} {kind}s" for kind in table.next_steps]
    steps = [f"{' and '.join(told)} come within half an hour after another act with the same item"] if told else []
    ended, bought = _bought_at_the_end(table, items)
    if "purchase" not in table.next_steps and bought and ended >= NEARLY_ALL * bought:
        table.next_steps.append("purchase")
        steps.append(f"{ended:,} of {bought:,} purchases come when their item ends, or after it")
    late, ratings = _rated_after_the_end(table, items)
    if ratings and late >= NEARLY_ALL * ratings:
        table.next_steps.append("rating")
        steps.append(f"{late:,} of {ratings:,} ratings come after the end of their item")
    elif "purchase" in table.next_steps:  # else they are what satisfies, and need an engagement of their own
        own, ratings = _rated_after_a_purchase(table)
        if ratings and own >= NEARLY_ALL * ratings:
            table.next_steps.append("rating")
            steps.append(f"{own:,} of {ratings:,} ratings are of what the user had bought")
    if steps:
        kinds = " and ".join(f"{kind}s" for kind in table.next_steps).capitalize()
        table.notes["steps"] = f"{kinds} do not engage: {', and '.join(steps)}"


def _lent(table: Table, counts: dict[str, int]) -> str:
    """What says that a return is but the end of what is lent, with "; " before it; "" where none does."""
    given, bought = given_back(acts(table)) if {"purchase", "return"} <= counts.keys() else (0, 0)
    if not are_loans(given, bought):
        return ""
    return f"; NO unless: [return]: {given:,} of {bought:,} earlier purchases are given back, as what is lent or let"


def _visited(table: Table) -> set[str]:
    """The event types that are next steps of a visit."""
    return set(table.next_steps) - {"rating"}


def _told(table: Table, satisfied: str) -> bool:
    """Whether what satisfies is of a next step of a visit."""
    return any(kind in satisfied for kind in _visited(table))


def _next_steps(table: Table) -> dict[str, tuple[int, int]]:
    """Of carts and purchases, how many follow an earlier step with the same item, and how many there are."""
    rows = acts(table)
    rows = rows[rows["kind"].isin([str(kind) for kind in ENGAGING])]
    pairs = rows.groupby(["user_id", "item_id"]).ngroup().to_numpy()
    kinds = rows["kind"].map(STEPS).to_numpy(np.int64)
    lasted = 1000 * _lasted(table).loc[rows.index].to_numpy(float)
    follow = next_steps(pairs, kinds, rows["time"].to_numpy(np.int64), lasted)
    asked = {str(kind): kinds == STEPS[kind] for kind in (EventType.CART, EventType.PURCHASE)}
    return {kind: (int(follow[own].sum()), int(own.sum())) for kind, own in asked.items() if own.any()}


def _lasted(table: Table) -> pd.Series:
    """For how many seconds each row of the sample says that it went on; NaN where it does not."""
    dwell = table.mapped.get("dwell_seconds")
    if not dwell:
        return pd.Series(np.nan, range(len(table.columns[0].values)))
    return cells.parse_number(dwell[0].values)[0].to_pandas() / (1000 if table.source.dwell_unit == "ms" else 1)


def _bought_at_the_end(table: Table, items: Table | None) -> tuple[int, int]:
    """How many purchases come at the end of their item, which does not come by them, as at that of an auction, and how
    many there are; none without looks before them, or where no item of the file goes on after the last event."""
    rows, ends = acts(table), _ends(items)
    bought = rows[rows["kind"] == "purchase"]
    if not rows["kind"].isin(["click", "cart"]).any() or (ends > rows["time"].max()).mean() < FEW_PLANNED:
        return 0, 0
    due = bought["item_id"].map(ends.groupby(level=0).min())
    return int((due - MINUTE_MS <= bought["time"]).sum()), len(bought)


def _rated_after_the_end(table: Table, items: Table | None) -> tuple[int, int]:
    """How many ratings come after the end of their item, as of what was sold once, and how many there are."""
    rows = acts(table)
    rated, bought, ends = rows.query("kind == 'rating'"), rows.query("kind == 'purchase'"), _ends(items)
    if sold_once(rows):  # as the config will say: `souk.ingest.lifetimes.until_sold`
        ends = pd.concat([ends, bought.set_index("item_id")["time"].astype(float)])
    first = ends.groupby(level=0).min()
    return int((rated["item_id"].map(first) < rated["time"]).sum()), len(rated)


def _rated_after_a_purchase(table: Table) -> tuple[int, int]:
    """How many ratings are of what the same user bought before, and how many there are."""
    rows = acts(table)
    rated, bought = rows.query("kind == 'rating'"), rows.query("kind == 'purchase'")
    pair = ["user_id", "item_id"]
    both = rated.merge(bought.groupby(pair)["time"].min(), on=pair, suffixes=("", "_bought"))
    return int((both["time_bought"] < both["time"]).sum()), len(rated)


def _ends(items: Table | None) -> pd.Series:
    """The earliest end of each item by what its row says, UTC epoch milliseconds by id."""
    if items is None or not items.has("available_until"):
        return pd.Series(dtype=float)
    columns = [items.mapped["available_until"][0], *items.ends]
    times = [cells.parse_time(column.values, items.source.timestamp_unit)[0].cast(pa.int64()) for column in columns]
    ids = cells.parse_text(items.mapped["item_id"][0].values)[0]
    return pd.Series(pc.min_element_wise(*times).to_pandas().to_numpy(), ids.to_pandas(), float)


def _satisfied(table: Table, types: pa.Array, counts: dict[str, int], engaging: list[str]) -> tuple[str, str]:
    deepest = _deepest(table, counts, engaging)
    few = "purchase" not in counts and counts.get("cart", 0) < TELLING * counts.get("click", 0)
    if deepest and few and (dwelt := _dwelt(table, types, engaging)):  # a handful of bookmarks tell next to nothing
        return dwelt
    if deepest and "purchase" in table.next_steps:  # which engages no more, and would count nowhere
        return deepest
    kept = deepest and FEW_RATED * counts.get("purchase", 0) >= counts.get("rating", 0) and "return" in counts
    rated = _rated(table, types) if "rating" in engaging and not kept else None  # its own engagement, without another
    if found := rated or deepest:
        return found
    if far := _far(table, types) or _dwelt(table, types, engaging):
        return far
    rows = acts(table)
    last = next((kind for kind in reversed(engaging) if repeated(rows, [kind]) >= AGAIN), "")
    if last:
        days = _days(table, 60)
        why = f"the same item again within {days:g} days; {LABELLED}"
        return f"{{events: [{last}], followed_by: [{last}], within_days: {days:g}}}", why
    return (
        f"{{events: [{engaging[-1]}], weight: 0}}",
        "nothing here tells satisfaction from engagement: it has no weight",
    )


def _rated(table: Table, types: pa.Array) -> tuple[str, str] | None:
    """The rule by stars and why, where there are any."""
    value = table.mapped.get("value")
    if not value:
        return None
    numbers = cells.parse_number(value[0].values)[0].to_numpy(zero_copy_only=False)
    rated = numbers[cells.as_mask(pc.equal(types, "rating")) & ~np.isnan(numbers)]
    if not len(rated):
        return None
    _, best = scale(Counter(rated.tolist())) or (0, rated.max())
    bar = float(np.ceil(8 * best) / 10)
    bar = float(np.floor(bar)) if best > 2 else bar
    share = (rated >= bar).mean()
    rule = f"{{events: [rating], min_value: {bar:g}}}"
    return rule, f"{share:.0%} of the ratings, which are {rated.min():g} to {rated.max():g}"


def _far(table: Table, types: pa.Array) -> tuple[str, str] | None:
    """The rule by how far what was clicked got, as a video that was watched to its end, and why."""
    bar = table.notes.get("value")
    if not bar:
        return None
    column = table.mapped["value"][0]
    clicks = cells.parse_number(column.values)[0].filter(pc.equal(types, "click")).drop_null()
    share = pc.mean(pc.greater_equal(clicks, float(bar))).as_py()
    return f"{{events: [click], min_value: {bar}}}", f"{share:.0%} of the clicks, by {column.name}"


def _deepest(table: Table, counts: dict[str, int], engaging: list[str]) -> tuple[str, str] | None:
    """The rule by what came of a look, or of a purchase, and why."""
    looks = [kind for kind in ("click", "cart") if kind in engaging]
    if "purchase" in counts and "return" in counts:
        days = _days(table, 30)
        own = "[purchase]" if "purchase" in engaging else f"[{', '.join(looks)}], followed_by: [purchase]"
        return f"{{events: {own}, unless: [return], within_days: {days:g}}}", f"bought and kept; {LABELLED}"
    last = "purchase" if "purchase" in counts else "cart" if "cart" in table.next_steps else ""
    if not last or not looks:  # of purchases alone each is one
        return None
    days = _days(table, 7, SHORT)
    used, count = _used_after(table)
    if "purchase" in engaging and count >= FEWEST_USED and used >= NEARLY_ALL * count:
        why = f"used within {days:g} days: of {count:,} that were bought and clicked, {used:,} were clicked later only"
        return f"{{events: [purchase], followed_by: [click], within_days: {days:g}}}", f"{why}; {LABELLED}"
    share = counts[last] / sum(counts[kind] for kind in looks)
    done = "bought" if last == "purchase" else "put into the cart"
    why = f"{done} within {days:g} days; {share:.1%} as many {last}s; {LABELLED}"
    return f"{{events: [{', '.join(looks)}], followed_by: [{last}], within_days: {days:g}}}", why


def _used_after(table: Table) -> tuple[int, int]:
    """Of the pairs of a user and an item that was bought and clicked, how many were clicked later only, as a game that
    is played, and how many there are."""
    rows = acts(table)
    first = rows.groupby(["user_id", "item_id", "kind"])["time"].min().unstack()
    both = first.reindex(columns=["click", "purchase"]).dropna()
    return int((both["click"] > both["purchase"]).sum()), len(both)


def _days(table: Table, most: int, least: float = 1) -> float:
    """At most `most` days, and few enough for half the labels of either of the last tenths of the events, which the
    ranker learns from, to be known at its end; whole ones, or tenths where these are fewer than one and `least` is."""
    times = times_of(table).drop_null().to_numpy(zero_copy_only=False)
    tenths = np.diff(np.quantile(times[times <= end_of_most(times)], [0.8, 0.9, 1.0]))
    half = tenths.min() / 2 / DAY_MS
    return float(min(most, max(least, half // 1 if half >= 1 else half // 0.1 / 10)))


def _dwelt(table: Table, types: pa.Array, engaging: list[str]) -> tuple[str, str] | None:
    """The rule by dwell time and why, where some stay and some leave."""
    if "dwell_seconds" not in table.mapped:
        return None
    seconds, kinds = _lasted(table), types.to_pandas()
    timed = set(kinds[seconds.notna()]) & set(engaging)
    stayed = seconds[kinds.isin(timed)]
    bar = next((bar for bar in DWELL if (stayed < bar).mean() >= LEAVE), DWELL[-1])
    share = (stayed >= bar).mean()
    if not timed or not TELLING <= share <= 1 - TELLING:
        return None
    events = ", ".join(kind for kind in engaging if kind in timed)
    return f"{{events: [{events}], min_dwell_seconds: {bar}}}", f"{share:.0%} of them are of {bar} seconds or more"
