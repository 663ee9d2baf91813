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

MAX_EXAMPLES = 20_000  # of a window: 500 candidates of so many examples take 160 MB, and teach a ranker enough
KEYS = ("event_id", "user_id", "timestamp", "item_id")


def draw_examples(features: str | Path, start: int, end: int, seed: int) -> pa.Table:
    """The examples of a window that the ranker learns from: all, or MAX_EXAMPLES of them.

    A list says as much of an order as it has moments, however much was taken at each. So one example of as many moments
    as there is room for comes first, each moment as likely as any other, and further examples of these fill the rest.

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
    return _with_moments(table, moments, _drawn(moments, seed))


def _drawn(moments: np.ndarray, seed: int) -> np.ndarray:
    """Rows, ascending: one of each of as many moments as there is room for, then others of these."""
    if len(moments) <= MAX_EXAMPLES:
        return np.arange(len(moments))
    random = np.random.default_rng(seed)
    order = random.permutation(len(moments))
    one = random.permutation(order[np.unique(moments[order], return_index=True)[1]])[:MAX_EXAMPLES]
    others = order[np.isin(moments[order], moments[one]) & ~np.isin(order, one)]
    return np.sort(np.concatenate([one, others[: MAX_EXAMPLES - len(one)]]))


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
