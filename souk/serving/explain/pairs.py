"""Pair features in an explanation: where their path starts, and from which past events they come."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from souk.acts import ACT
from souk.affinity import AFFINITY, TASTES, counted, lately
from souk.items import FORM, ItemTable
from souk.levels import NEAR
from souk.matches import MATCH, unstated
from souk.pair_query import PairQuery
from souk.pairs import HOURS, PAIR_FEATURES, RECENT, RESPONSE, TEN_THOUSAND
from souk.repeats import TURNS, before_window, near
from souk.satisfaction import likeness
from souk.sources.co_visitation import WINDOW, decay
from souk.sources.rows import SparseRows

COLUMN = {name: place for place, name in enumerate(PAIR_FEATURES)}
SCORE = COLUMN["score"]
RANKED = {"co_visitation_rank": "co_visitation", "again_rank": "again", "ease_rank": "ease"}
OWN = (
    "log_events",
    "log_lately",
    "popularity",
    "satisfied_rate",
    RESPONSE,
    "age",
)  # what an item has by itself, in numbers
HISTORY = (
    "window_events",
    "window_recency",
    "similarity_mean",
    "similarity_max",
    "similarity_last",
    "shared_mean",
    "shared_max",
    "co_visitation",
    "again",
    "satisfied_before",
    "satisfied_lately",
    "satisfied_alike",
    "satisfied_shared",
    "past_events",
    "past_recency",
    "due",
    *HOURS,
    "ease",
)
TASTED = tuple(f"{taste}:" for taste in TASTES)
NEARS = f"{NEAR}:"
ACTS = f"{ACT}:"


def start(
    names: Sequence[str], candidates: np.ndarray, others: np.ndarray, score: float, guessed: Collection[str] = ()
) -> np.ndarray:
    """The pair features `[P]` of a candidate for a user without a history.

    What comes from past events is 0. What the item has by itself, or in common with the user, is that of the mean
    candidate, so that only what sets it apart counts. Places are those that it would have among the others as they are.

    Args:
        names: of the pair features, P.
        candidates: `[M, P]`, of the request's candidates.
        others: `[O, P]`, of those besides the explained one.
        score: query vector · item vector at the start.
        guessed: the names of matches that come from past events, as the user states nothing.
    """
    found = candidates.mean(axis=0).astype(np.float64)
    found[[name in HISTORY or name in guessed or name.startswith((ACTS, NEARS, *TASTED)) for name in names]] = 0
    found[SCORE] = score
    found[COLUMN["log_rank"]] = np.log1p(1 + np.sum(others[:, SCORE] > score))
    for rank, name in RANKED.items():
        if rank in names:  # releases of before know no EASE
            found[COLUMN[rank]] = np.log1p(1 + np.sum(others[:, COLUMN[name]] > 0))
    return found


def beside(names: Sequence[str], own: np.ndarray, candidates: np.ndarray) -> dict[str, int]:
    """Whether the item has more (1) or less (-1) of `OWN` than the mean candidate, where its path starts; 0 for as
    much. `names`: of the pair features; `own`: `[P]`, the item's; `candidates`: `[M, P]`."""
    signs = np.sign((own - candidates.mean(axis=0)).round(6)).astype(int).tolist()
    return {name: sign for name, sign in zip(names, signs, strict=True) if name in OWN}


def plain_value(name: str, value: float, form: int = FORM) -> float | None:
    """A pair feature as people count: events, days, places, multiples of what is usual, a nearness as it is (above 0
    where it is more than usual); None where there is none."""
    if name.startswith(TASTED) or name == RESPONSE:
        return round(math.exp(value), 4)
    if name.startswith(NEARS):  # whatever the end of its name says
        return round(value, 4)
    if name == "popularity":
        return round(math.expm1(value) / TEN_THOUSAND if form > 2 else value, 6)
    if name.startswith("log_") or name.endswith(("_rank", "_events")) or name == "age":
        value = math.expm1(value)
    elif name == "due":
        value = value / max(1 - value, 1e-9) if value > 0 else np.nan
    elif name.endswith("_recency") or name.startswith(ACTS):
        value = 1 / value - 1 if value > 0 else np.nan
    return None if np.isnan(value) else round(value, 4)


def votes(items: ItemTable, query: PairQuery, position: int) -> dict[str, np.ndarray]:
    """What each event of the window puts into the pair features of the item at `position`, `[window]` by feature; of
    those that know a longer past `[window + 1]`, the last being what was before."""
    window = query.items
    known = window >= 0
    same = (window == position).astype(np.float64)
    cosines = np.zeros(len(window))
    recent = np.flatnonzero(known)[-RECENT:]
    cosines[recent] = items.vectors[window[recent]] @ items.vectors[position]
    shared, most = _shared(items, query, position)
    followed, together = (_followed(rows, query, position) for rows in (items.rules, items.ease))
    old = query.past.before(position)
    again = np.append(same * decay(query.moments), old * before_window(query.moments))
    past = np.append(same * query.past.engaged, old)
    return {
        "window_events": same,
        "window_recency": _only(np.flatnonzero(same)[-1:], len(window)),
        **{
            f"{ACTS}{kind}": _only(np.flatnonzero(same * (query.kinds == number))[-1:], len(window))
            for number, kind in enumerate(items.acts)
        },
        "similarity_mean": cosines,
        "similarity_max": _only(recent[np.argmax(cosines[recent])][None] if len(recent) else recent, len(window)),
        "similarity_last": _only(recent[-1:], len(window)),
        "shared_mean": shared,
        "shared_max": most,
        "co_visitation": followed,
        "co_visitation_rank": followed,
        "ease": together,
        "ease_rank": together,
        "again": again,
        "again_rank": again,
        **_satisfied(items, query, position, shared),
        "past_events": past,
        "past_recency": _only(np.flatnonzero(past[:-1])[-1:] if past[:-1].any() else np.flatnonzero(past), len(past)),
        "due": past,
        **_hours(query, position, past),
        **_affine(items, query, position),
        **_near(items, query, position),
    }


def _near(items: ItemTable, query: PairQuery, position: int) -> dict[str, np.ndarray]:
    """How near each event's item is to the candidate in each number, as far as it was of late; below 0 where it is
    farther than usual."""
    if items.form < 7:
        return {}
    known = query.items >= 0
    told = np.zeros((len(query.items), len(items.levels.names)))
    told[known] = lately(query.ages[known])[:, np.newaxis] * items.levels.apart(query.items[known], position)
    return {f"{NEAR}:{name}": told[:, place] for place, name in enumerate(items.levels.names)}


def _affine(items: ItemTable, query: PairQuery, position: int) -> dict[str, np.ndarray]:
    """How many of the candidate's values of a feature each event's item has, `[window + 1]`; none where the past makes
    them less likely: that comes from what the past was instead. Each as far as it counts for the taste."""
    if items.form < 4:
        return {}
    values = _values(items, position)
    columns, has = items.shares.columns[values], _has(items, query.items, values)
    before = query.past.old_events @ _has(items, query.past.old, values)
    votes = np.concatenate([has, before[np.newaxis]]).astype(np.float64)
    given = {}
    for taste, asked in query.tastes.items():
        events = counted(taste, query.ages, query.kinds, items.acts)
        part = votes * np.append(events, taste == AFFINITY)[:, np.newaxis]
        found = asked.affinities(items, np.array([position]))[:, 0]
        for place, name in enumerate(items.shares.names):
            given[f"{taste}:{name}"] = part[:, columns == place].sum(axis=1) * (found[place] > 0)
    return given


def _hours(query: PairQuery, position: int, past: np.ndarray) -> dict[str, np.ndarray]:
    """How near each engagement with the item was to this time of day and of the week; `past`: which there were."""
    found = query.past.columns(np.array([position]))[:, 0]
    votes = {}
    for name, turn, mean in zip(HOURS, TURNS, found[3:].tolist(), strict=True):
        window = past[:-1] * near(query.ages / turn)
        votes[name] = np.append(window, max(0.0, mean * past.sum() - window.sum()))
    return votes


def guesses(items: ItemTable, query: PairQuery, position: int, asker: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """By match of which the user states nothing, how many of the item's values each event's item has, `[window]`."""
    values = _values(items, position)
    theirs = np.array([items.words[number][0] for number in values.tolist()], object)
    return {
        f"{MATCH}:{own}:{name}": _has(items, query.items, values[theirs == name]).sum(axis=1).astype(np.float64)
        for own, name in unstated(items, asker)
    }


def shares(given: np.ndarray) -> np.ndarray:
    """Parts of one: those of `given` with the sign of its sum, by size. Zeros where it sums to nothing."""
    same = np.maximum(given * np.sign(given.sum()), 0)
    total = same.sum()
    return np.asarray(same / total) if total > 0 else np.zeros(len(given))


def divided(
    pair: Mapping[str, float], given: Mapping[str, np.ndarray], window: int
) -> tuple[np.ndarray, dict[str, float]]:
    """Contributions of pair features as those of past events `[window]`, and of the features that come from none, or
    from what was before them."""
    events, rest = np.zeros(window), {}
    for name, contribution in pair.items():
        parts = shares(given[name])[:window] if name in given else np.zeros(window)
        events += contribution * parts
        if parts.sum() < 1 - 1e-9:
            rest[name] = contribution * (1 - parts.sum())
    return events, rest


def _only(chosen: np.ndarray, size: int) -> np.ndarray:
    found = np.zeros(size)
    found[chosen] = 1
    return found


def _values(items: ItemTable, position: int) -> np.ndarray:
    return items.values[items.value_start[position] : items.value_start[position + 1]]


def _shared(items: ItemTable, query: PairQuery, position: int) -> tuple[np.ndarray, np.ndarray]:
    """Of each event, how many of the candidate's values its item has, and whether it has the most frequent of them."""
    own = _values(items, position)
    has = _has(items, query.items, own)
    if not has.size:
        return np.zeros(len(query.items)), np.zeros(len(query.items))
    return has.sum(axis=1).astype(np.float64), has[:, np.argmax(has.sum(axis=0))].astype(np.float64)


def _has(items: ItemTable, positions: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Which values the items at `positions` have, `[positions, own]` bool; those at -1 have none."""
    has = [np.isin(own, _values(items, item)) if item >= 0 else own < 0 for item in positions.tolist()]
    return np.array(has, bool).reshape(len(positions), len(own))


def _satisfied(items: ItemTable, query: PairQuery, position: int, shared: np.ndarray) -> dict[str, np.ndarray]:
    """What each event's surprise counts for; `shared`: how many of the candidate's values its item has."""
    surprise, alike = np.nan_to_num(query.surprise), np.zeros(len(query.items))
    known = query.items >= 0
    alike[known] = likeness(items, query.items[known], np.array([position]))[0]
    return {
        "satisfied_before": surprise,
        "satisfied_lately": surprise * decay(query.moments),
        "satisfied_alike": surprise * alike,
        "satisfied_shared": surprise * shared,
    }


def _followed(rules: SparseRows, query: PairQuery, position: int) -> np.ndarray:
    """What each event votes for the candidate by co-visitation, or by EASE."""
    found = np.zeros(len(query.items))
    looked = np.arange(len(query.items))[-WINDOW:]
    looked = looked[query.items[looked] >= 0]
    owner, followers, weights = rules.gather(query.items[looked])
    hit = followers == position
    np.add.at(found, looked[owner[hit]], weights[hit] * decay(query.moments[looked])[owner[hit]])
    return found
