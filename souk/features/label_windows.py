"""Objectives of which the validation and the test window will have few labels, or nearly all of one kind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from souk.config import Objective, Objectives, Split
from souk.errors import SoukError
from souk.features.labels import engaging_rows
from souk.features.windows import Windows, split_windows
from souk.schema import DAY_MS, EventType

FEW, ENOUGH = 20, 100  # labels of a window: of fewer nothing is learned; a proposed split has so many, if it can be
RARE = 10  # labels of a kind: of fewer the users that judge the ranker, a fifth of all, may well have none
NEARLY_ALL = 0.98  # share of the labels that are positive, from which a bar of the rule parts hardly any
SHARES = tuple(n / 20 for n in range(1, 10))  # of the events, that a window of a proposed split may have
MOST = 0.7  # of them in both
COLUMNS = ("user_id", "item_id", "event_type", "timestamp", "value", "dwell_seconds")
TOLD = "the ranker learns from the one and is measured on the other"


@dataclass(frozen=True)
class _Labels:
    """Of the engagements that carry an objective's label: times, when it is known, and whether it is positive."""

    times: np.ndarray
    known_at: np.ndarray
    positive: np.ndarray

    def within(self, start: int, end: int) -> tuple[int, int, int]:
        """How many there are in a window, how many are known at its end, and how many of these are positive."""
        here = (self.times >= start) & (self.times < end)
        known = here & (self.known_at < end)
        return int(here.sum()), int(known.sum()), int((known & self.positive).sum())


def few_labels(events: Path, objectives: Objectives, first: int, windows: Windows, split: Split) -> Iterator[str]:
    """What a reader should know before anything is trained.

    Args:
        events: `events.parquet`.
        objectives: all of them; those whose `within_days` are as long as the data are told by `never_known`.
        first: the time of the first event, UTC epoch milliseconds.
        windows: of the split, in time.
        split: the shares that made them.
    """
    names = [name for name in COLUMNS if name in pq.read_schema(events).names]
    rows = pq.read_table(events, columns=names, filters=[("timestamp", ">=", windows.validation_start)])
    frame, engaged = _frame(rows), engaging_rows(rows, objectives.engaged)
    spans = {
        "validation": (windows.validation_start, windows.test_start),
        "test": (windows.test_start, windows.end),
    }
    for name, rule in objectives.given.items():
        waits = _waits(rule)
        if waits and first + int(rule.within_days * DAY_MS) >= windows.end:
            continue
        labels = _labels(frame, engaged & _of(frame["event_type"], rule.events), rule, rows)
        found = {window: labels.within(*span) for window, span in spans.items()}
        counted = any(count for count, _, _ in found.values())
        if (waits or counted) and min(known for _, known, _ in found.values()) < FEW:
            counts = " and ".join(
                f"{known:,}{f' of {count:,}' if waits else ''} labels in {window}"
                for window, (count, known, _) in found.items()
            )
            days = " and ".join(f"{(end - start) / DAY_MS:.3g}" for start, end in spans.values())
            long = f"within_days is {rule.within_days:g}, and " if waits else ""
            short = f"{name}: {long}the validation and test windows have {days} days"
            mend = _remedy(events, names, objectives, rule, windows, split)
            yield f"{short}: {counts} will be known ({TOLD}); {mend}"
        for window, (count, known, positive) in found.items():
            if not count:
                kinds = ", ".join(rule.events)
                yield f"{name}: no engagement in the {window} window is of {kinds}: no label of it there"
            elif known and (_can_fail(rule) or rule.weight):
                yield from (f"{name}: {line}" for line in _kinds(known, positive, window, rule))


def _can_fail(rule: Objective) -> bool:
    """Whether anything can make a label of it negative; one that has none, and no weight, is there for nothing."""
    return _waits(rule) or rule.min_value is not None or rule.min_dwell_seconds is not None


def _kinds(known: int, positive: int, window: str, rule: Objective) -> Iterator[str]:
    """What is told of labels of which hardly any are positive, or hardly any are not."""
    bars = [key for key in ("min_value", "min_dwell_seconds") if getattr(rule, key) is not None]
    rare, where = min(positive, known - positive), f"of its {known:,} known labels in the {window} window"
    if not positive:
        yield f"none {where} is positive"
    elif not rare:
        yield f"all {where} are positive: it is not learned from one kind"
    elif rare < RARE:
        kind = f"{'is' if rare == 1 else 'are'} {'' if positive == rare else 'not '}positive"
        yield f"{rare} {where} {kind}: where the users that judge the ranker have none of these, it is not learned"
    elif bars and positive >= NEARLY_ALL * known:  # of what is kept nearly all may be, and no bar is there to raise
        found = f"{positive:,} {where} are positive, {positive / known:.1%}: it tells next to nothing"
        yield f"{found}; raise its {' and '.join(bars)}, or let another act tell it"


def _frame(rows: pa.Table) -> pd.DataFrame:
    """Codes of user, and of user and item, with type, time and, for hides, whether they take one `back`.

    Rows keep their order, that of time.
    """
    coded = {name: rows[name].dictionary_encode().combine_chunks() for name in ("user_id", "item_id", "event_type")}
    users, items = (coded[name].indices.to_numpy().astype(np.int64) for name in ("user_id", "item_id"))
    pairs = users * (items.max(initial=0) + 1) + items
    times = rows["timestamp"].to_numpy().astype(np.int64)
    values = rows["value"].to_numpy() if "value" in rows.column_names else np.full(len(rows), np.nan)
    kinds = coded["event_type"].to_pandas()
    return pd.DataFrame({"user": users, "pair": pairs, "event_type": kinds, "time": times, "back": values == 0})


def _labels(frame: pd.DataFrame, carries: np.ndarray, rule: Objective, rows: pa.Table) -> _Labels:
    """`souk.features.labels.label` of many events at once: what the data tell by its end."""
    asked = frame[carries]
    positive = engaging_rows(rows, rule)[carries]
    times = asked["time"].to_numpy()
    if not _waits(rule):
        return _Labels(times, times, positive)
    deadline = times + int(rule.within_days * DAY_MS)
    for kind in rule.unless:
        since = times + (kind in rule.events)  # as `souk.features.labels.undone_from`
        positive &= ~_done(frame, asked, (kind,), "pair", since, deadline)
    if rule.followed_by:
        since = times + max(1, int(rule.from_days * DAY_MS))
        key = "user" if rule.any_item else "pair"
        positive &= _done(frame, asked, rule.followed_by, key, since, deadline)
    return _Labels(times, deadline, positive)


def _done(
    frame: pd.DataFrame,
    asked: pd.DataFrame,
    kinds: tuple[EventType, ...],
    key: str,
    since: np.ndarray,
    deadline: np.ndarray,
) -> np.ndarray:
    """`[asked]` bool: whether an event of some kinds, of the same `key`, comes from `since` on and by the deadline.

    Of hides the last one decides: it may take back those before it.
    """
    hides = _of(frame["event_type"], (EventType.HIDE,))
    acts = frame[_of(frame["event_type"], kinds) & ~hides]
    done = _nearest(acts, asked, key, since, "forward")["found"].to_numpy() <= deadline
    if EventType.HIDE in kinds:
        last = _nearest(frame[hides], asked, key, deadline, "backward")
        done |= (last["found"].to_numpy() >= since) & last["back"].eq(False).to_numpy()
    return np.asarray(done)


def _nearest(
    events: pd.DataFrame, asked: pd.DataFrame, key: str, at: np.ndarray, direction: Literal["forward", "backward"]
) -> pd.DataFrame:
    """`[asked]`: of the first of some events of the same `key` from each of some times on, or the last until then, its
    time `found` and whether it takes `back`; NaN where there is none."""
    events = events[[key, "time", "back"]].sort_values(["time", "back"], ascending=[True, False])
    events = events.assign(found=events["time"].astype(float))
    order = np.argsort(at, kind="stable")
    wanted = pd.DataFrame({key: asked[key].to_numpy()[order], "time": at[order]}, index=order)
    met = pd.merge_asof(wanted, events, on="time", by=key, direction=direction)
    return met[["found", "back"]].set_axis(order).sort_index()


def _waits(rule: Objective) -> bool:
    """Whether a label is known only when its `within_days` are over."""
    return bool(rule.unless or rule.followed_by)


def _of(types: pd.Series, kinds: tuple[EventType, ...]) -> np.ndarray:
    """`[events]` bool: which are of one of some kinds."""
    return types.isin([str(kind) for kind in kinds]).to_numpy()


def _remedy(
    events: Path, names: list[str], objectives: Objectives, rule: Objective, windows: Windows, split: Split
) -> str:
    """The smallest windows that have labels ENOUGH, or else FEW, as a sentence."""
    rows = pq.read_table(events, columns=[name for name in names if name not in ("user_id", "item_id")])
    engaged = engaging_rows(rows, objectives.engaged)
    times = rows["timestamp"].to_numpy().astype(np.int64)
    asked = times[engaged & _of(rows["event_type"].dictionary_encode().combine_chunks().to_pandas(), rule.events)]
    within = int(rule.within_days * DAY_MS) if _waits(rule) else 0
    labels = _Labels(asked, asked + within, np.ones(len(asked), bool))
    shares = [pair for pair in product(SHARES, SHARES) if split.validation <= pair[0] and split.test <= pair[1]]
    fair = ""
    for validation, test in sorted((pair for pair in shares if sum(pair) <= MOST), key=sum):
        wider = split.model_copy(update={"validation": validation, "test": test})
        try:
            made = split_windows(times[engaged], windows.end - 1, wider)
        except SoukError:
            continue
        spans = (made.validation_start, made.test_start), (made.test_start, made.end)
        known = [labels.within(*span)[1] for span in spans]
        found = f"split: {{validation: {validation:g}, test: {test:g}}} would have {known[0]:,} and {known[1]:,}"
        if min(known) >= ENOUGH:
            return found
        fair = fair or (found if min(known) >= FEW else "")
    left = f"no split with {FEW} in each leaves {1 - MOST:.0%} to train on"
    helps = "a smaller within_days helps, or more events" if within else "more events help"
    return fair or f"{left}: {helps}"
