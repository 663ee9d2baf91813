"""Interactions, histories and queries of the peers, written by hand."""

from dataclasses import fields

import numpy as np

from benchmarks.quality.interactions import Histories, Interactions
from souk.evaluation.queries import Query
from souk.state import UserState

DAY = 86_400_000
END = 1000 * DAY


def past_of(events, size, end=END):
    """What was known at `end`: `events` are (user, item, days before `end`)."""
    rows = sorted((user, -days, number, item) for number, (user, item, days) in enumerate(events))
    names = tuple(sorted({user for user, *_ in rows}))
    return Interactions(
        users=np.array([names.index(user) for user, *_ in rows], np.int64),
        items=np.array([item for *_, item in rows], np.int64),
        times=np.array([int(end + days * DAY) for _, days, *_ in rows], np.int64),
        names=names,
        size=size,
        end=end,
    )


def old_and_new():
    """A market in which sixty users went from the lamp to what was sold a year ago, and forty to what is sold now.

    Returns:
        What was known, and the items: the lamp, the old one and the new one.
    """
    lamp, old, new, first = 0, 1, 2, 3
    events = []
    for user in range(100):
        days, after = (365, old) if user < 60 else (3, new)
        events += [(f"u{user:02d}", item, days - n / 24) for n, item in enumerate((first + user % 5, lamp, after))]
    return past_of(events, size=8), lamp, old, new


def query_of(user, history, targets=(), now=END):
    """A query whose history are (item, days before `now`), oldest first."""
    known = {
        "user_id": user,
        "timestamp": now,
        "state": UserState(user),
        "context": {},
        "past": (),
        "profile": {},
        "history": np.array([item for item, _ in history], np.int64),
        "targets": np.array(targets, np.int64),
        "target_events": tuple(f"e{target}" for target in targets),
    }
    return Query(**{field.name: known.get(field.name, np.zeros(0, np.int64)) for field in fields(Query)})


def histories_of(queries_and_histories):
    """The histories of (query, history) pairs, one query a user."""
    return Histories(
        {
            query.user_id: np.array([int(query.timestamp - days * DAY) for _, days in history], np.int64)
            for query, history in queries_and_histories
        }
    )


def asked(*histories, now=END):
    """A query for each history, of users "q0", "q1", ..., and what gives their histories."""
    queries = [query_of(f"q{number}", history, now=now) for number, history in enumerate(histories)]
    return queries, histories_of(list(zip(queries, histories, strict=True)))
