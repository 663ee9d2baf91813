"""Which moments of a window towers are judged by and the ranker learns from: one user, one time, all that was taken."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from souk.errors import SoukError
from souk.spec import read_spec

MAX_EXAMPLES = 20_000  # of a window: the features of 500 candidates of so many take 1.3 to 2 GB
LABELLED = 0.5  # as many labels, of MAX_EXAMPLES, are left however many moments there are
KEYS = ("event_id", "user_id", "timestamp", "item_id")


def draw_examples(features: str | Path, start: int, end: int, seed: int) -> pa.Table:
    """The examples of a window that the ranker learns from: all, or MAX_EXAMPLES of them.

    An order learns from lists, and a list says as much as any other however much was taken at its moment: so as many
    moments are drawn as there is room for, each as likely as any other, and have an example at least. What was taken
    has a label, and counts as often as it is taken: of the moments' examples each keeps its labels with one chance.
    One that a moment has for its list alone has none (-1). A moment of more than MAX_EXAMPLES is left out, where there
    are others.

    Args:
        features: the features folder.
        start: UTC epoch milliseconds.
        end: one past the last.
        seed: of the draw.

    Returns:
        `event_id, user_id, timestamp, item_id`, and the label of each objective that is given engagement with the time
        at which it is known, as `satisfied, satisfied_at`, in the order of `examples.parquet`; `moment` has the items
        and labels of all that was taken at the time, drawn or not, in the first row of each moment, and nothing else.

    Raises:
        SoukError: the window has no examples.
    """
    given = read_spec(Path(features) / "spec.json").objectives.given
    columns = [*KEYS, *(column for name in given for column in (name, f"{name}_at"))]
    inside = (pc.field("timestamp") >= start) & (pc.field("timestamp") < end)
    table = pq.read_table(Path(features) / "examples.parquet", columns=columns, filters=inside)
    if not len(table):
        raise SoukError("examples in the window", "none", "Widen `split.validation` and `split.test`.")
    users = pc.dictionary_encode(table["user_id"]).combine_chunks().indices.to_numpy().astype(np.int64)
    moments = np.unique(users * (end - start) + table["timestamp"].to_numpy() - start, return_inverse=True)[1]
    drawn, labelled = _drawn(moments, seed)
    found = _with_moments(table, moments, drawn)
    for name in given:
        values = np.where(labelled, found[name].to_numpy(), -1)
        found = found.set_column(found.column_names.index(name), name, pa.array(values))
    return found


def _drawn(moments: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows, ascending, and which of them keep their labels."""
    if len(moments) <= MAX_EXAMPLES:
        return np.arange(len(moments)), np.ones(len(moments), bool)
    random = np.random.default_rng(seed)
    sizes = np.bincount(moments)
    order = random.permutation(len(sizes))
    order = order[sizes[order] <= MAX_EXAMPLES] if (sizes <= MAX_EXAMPLES).any() else order
    chance = random.random(len(moments))
    place = np.full(len(sizes), len(order))
    place[order] = np.arange(len(order))  # of a moment in the draw
    rows = np.argsort(chance)
    first = np.zeros(len(moments), bool)
    first[rows[np.unique(moments[rows], return_index=True)[1]]] = True  # of each moment the likeliest to be labelled

    def of(count: int) -> tuple[np.ndarray, np.ndarray]:
        """The rows of the first `count` moments of the draw, and those of them that keep their labels."""
        inside = rows[place[moments[rows]] < count]
        others = inside[~first[inside]]
        room = MAX_EXAMPLES - count
        below = chance[others[room]] if room < len(others) else 1.0
        kept = np.sort(np.concatenate([inside[first[inside]], others[:room]]))
        return kept, chance[kept] < below

    least, most = 1, min(len(order), MAX_EXAMPLES)
    while least < most:  # the more moments, the fewer labels
        count = (least + most + 1) // 2
        least, most = (count, most) if of(count)[1].sum() >= LABELLED * MAX_EXAMPLES else (least, count - 1)
    return of(least)


def _with_moments(table: pa.Table, moments: np.ndarray, drawn: np.ndarray) -> pa.Table:
    """The rows of `drawn`, and in the first of each moment all of its rows."""
    own = moments[drawn]
    first = np.zeros(len(drawn), bool)
    first[np.unique(own, return_index=True)[1]] = True
    by_moment = np.argsort(moments, kind="stable")
    sizes = np.bincount(moments)
    start = np.cumsum(sizes) - sizes
    rows = [by_moment[start[moment] : start[moment] + sizes[moment]] for moment in own[first].tolist()]
    whole = table.drop_columns(["event_id", "user_id", "timestamp"]).take(np.concatenate(rows)).combine_chunks()
    offsets = np.concatenate([[0], np.cumsum(np.where(first, sizes[own], 0))]).astype(np.int32)
    lists = pa.ListArray.from_arrays(offsets, whole.to_struct_array().combine_chunks())
    return table.take(drawn).append_column("moment", lists)


@dataclass(frozen=True)
class Moment:
    """The examples of one user and time, and what was taken then.

    Args:
        user: the user's id.
        time: UTC epoch milliseconds.
        rows: of the examples that were drawn, with
        events: their ids, and
        own: their items.
        items: all that was taken.
    """

    user: str
    time: int
    rows: list[int] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    own: list[str] = field(default_factory=list)
    items: list[str] = field(default_factory=list)


def moments_of(examples: pa.Table) -> list[Moment]:
    """The examples of `draw_examples` by user and time, in their order."""
    moments: dict[tuple[str, int], Moment] = {}
    columns = (examples[name].to_pylist() for name in KEYS)
    for row, (event, user, time, item, whole) in enumerate(zip(*columns, examples["moment"].to_pylist(), strict=True)):
        moment = moments.setdefault((user, time), Moment(user, time))
        moment.rows.append(row)
        moment.events.append(event)
        moment.own.append(item)
        moment.items.extend(each["item_id"] for each in whole)
    return list(moments.values())


def newcomers_of(examples: pa.Table) -> dict[str, tuple[int, bool]]:
    """What is told of the examples that are a newcomer's, by event id: how many events, and whether the profile."""
    if "last_events" not in examples.column_names:
        return {}
    told = examples.select(["event_id", "last_events", "with_profile"]).filter(pc.field("last_events").is_valid())
    return {event: (count, profile) for event, count, profile in zip(*told.to_pydict().values(), strict=True)}
