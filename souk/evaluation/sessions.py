"""The questions of an evaluation as visitors would ask them, of whom nothing is known but the session."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from souk.evaluation.protocol import SEED, Ranking
from souk.evaluation.queries import Query
from souk.evaluation.window import Window
from souk.next_steps import MUCH, PAUSE_MS, STEPS
from souk.spec import FeatureSpec
from souk.state import Event, engaging, state_of
from souk.withheld import withheld

MOST = 1000  # queries
NAMED = 3  # kinds of queries that a warning has in brackets


def session_queries(
    queries: Sequence[Query], position: Mapping[str, int], spec: FeatureSpec
) -> tuple[list[int], list[Query]]:
    """The queries of users in a session, at most MOST drawn ones: the place of each, and the same by a visitor.

    Nothing is known of a visitor but the events of the session, the moment and its context. Who has done nothing yet
    asks for what is popular, and is left out. To the models each is a visitor of their own: nobody knows that two are
    one user. Whoever averages does, by `places`: twenty queries of one person are one person's.

    Args:
        queries: what users ask.
        position: of each item.
        spec: that of their states.
    """
    inside = [place for place, query in enumerate(queries) if _session(query)]
    drawn = np.sort(np.random.default_rng(SEED).permutation(inside)[:MOST]).tolist()
    return drawn, [_visitor(queries[place], f"visitor {place}", position, spec) for place in drawn]


def continued(queries: Sequence[Query], window: Window, position: Mapping[str, int]) -> list[dict[str, Any]]:
    """Which queries are answered by the item of the user's last event, within the session: whoever names it again is
    right about them.

    Args:
        queries: what users ask.
        window: has their events.
        position: of each item.

    Returns:
        For each two event types, of the `last` event and of the one that is `asked` for, their `share` of all queries;
        the largest first.
    """
    late = (event for own in window.events.values() for event in own if event.timestamp >= window.start)
    kinds = {event.event_id: event.event_type for event in late}
    found = Counter[tuple[str, str]]()
    for query in queries:
        if session := _session(query):
            targets = dict(zip(query.targets.tolist(), query.target_events, strict=True))
            event = targets.get(position.get(session[-1].item_id, -1))
            found.update([(session[-1].event_type, kinds[event])] if event is not None else [])
    return [
        {"last": last, "asked": asked, "share": count / len(queries)} for (last, asked), count in found.most_common()
    ]


def of_the_last_item(found: Sequence[Mapping[str, Any]]) -> str:
    """A warning where much of what is asked for is the item of the user's last event; else "".

    Only where most of it is a further step, as a purchase after a click, the objective may ask for the wrong one. The
    same step again is what people do with music and groceries, or one act that is logged twice.
    """
    share = sum(each["share"] for each in found)
    if share < MUCH:
        return ""
    parts = ", ".join(f"{each['asked']} after {each['last']} {each['share']:.0%}" for each in found[:NAMED])
    further = [each for each in found if STEPS[each["asked"]] > STEPS[each["last"]]]
    said = (
        f"{share:.0%} of the queries are answered by the item of the user's last event, at most half an hour before "
        f"({parts}). Whoever names that item again is right about these, and they tell nothing of what else is found."
    )
    if sum(each["share"] for each in further) > share / 2:
        first = min((each["last"] for each in further), key=STEPS.__getitem__)
        remedy = f"let objectives.engaged be {first} alone, and what is to come of it satisfied (docs/data.md)."
        return f"{said} Most are a further step with it: to ask for what is found, {remedy}"
    return (
        f"{said} Most are no further step: the log does not say whether it is wanted again or one act is told twice. "
        "Where nobody wants it again, `repeat: {pause_minutes: 30}` keeps it out of slates and of what is asked."
    )


def _session(query: Query) -> tuple[Event, ...]:
    """The events since the last pause; none where there is one up to the query."""
    start, until = len(query.past), query.timestamp
    while start and until - query.past[start - 1].timestamp <= PAUSE_MS:
        start -= 1
        until = query.past[start].timestamp
    return tuple(query.past[start:])


def _visitor(query: Query, name: str, position: Mapping[str, int], spec: FeatureSpec) -> Query:
    session = _session(query)
    taken = [position[event.item_id] for event in session if engaging(event, spec)]
    since = session[0].timestamp
    lately = {item: time for item, time in query.state.hidden.items() if abs(time) >= since}
    state = replace(state_of(name, session, spec, {}), hidden=lately)
    barred = sorted(position[item] for item in withheld(state, query.timestamp, spec) if item in position)
    history, excluded = np.array(taken, np.int64), np.array(barred, np.int64)
    return replace(query, user_id=name, state=state, past=session, profile={}, history=history, excluded=excluded)


def of_queries(ranking: Ranking, rows: Sequence[int]) -> Ranking:
    """A ranking of some of its queries, without `new_ranks`: what is new to a user is nothing that visitors have."""
    ranks = [ranking.ranks[row] for row in rows]
    return replace(ranking, ranks=ranks, new_ranks=[], top=ranking.top[np.asarray(rows, np.int64)])
