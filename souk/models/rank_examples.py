"""The ranker's examples: what a release would have shown at the time of an event, and what the user took."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from souk.errors import SoukError
from souk.items import ItemTable
from souk.logged_slates import LoggedSlate, read_slates
from souk.models.draw import newcomers_of
from souk.models.inputs import FILL, Transform
from souk.models.sequences import Sequences, column_tensor
from souk.models.targets import Target, read_targets
from souk.pairs import names_of, pair_features
from souk.spec import Entity, Feature

CHUNK = 256
TOLD = 16  # chunks between two words of how far it is


@dataclass(frozen=True)
class RankExamples:
    """Examples, each with its candidates, padded to the same width.

    What a user took at the same time is no negative of each other.

    Args:
        user: transformed user features, `[examples]` or `[examples, length]`.
        query: transformed query features, `[examples]`.
        positions: `[examples, width] int64`, items; 0 where there is none.
        pair: `[examples, width, P] float32`.
        own: `[examples] int64`, the column of the example's item. An item that retrieval missed, or had to leave out,
            has one too: it is no candidate and in no list, but known to be engaged. Its `log_rank` is of the place that
            it would have had; the places of the candidates are those of a request, without it.
        candidate: `[examples, width] bool`.
        chosen: `[examples, width] bool`, candidates taken at that time.
        first: `[examples] bool`, True for one of the examples of one user and time, where something of what was taken
            then may be recommended: elsewhere nothing was asked that a slate could answer, in an evaluation neither.
        labels: by objective that is given engagement `[examples] int64`: 1, 0, or -1 where it is not known yet.
        users: `[examples]`, user ids.
        times: `[examples] int64`, UTC epoch milliseconds.
        pleased: by the same `[examples, width] bool`, of the chosen, those known to have pleased.
        taken: `[examples] int64`, how many items were taken at that time, retrieved or not.
        liked: by the same `[examples] int64`, how many of the taken are known to have pleased.
        place: `[examples, width] int16`, the place from 1 where the slate of the example's request showed it, else 0.
        also: `[examples, width] bool`, what that slate showed and the user took at another time.
        newcomer: `[examples] bool`, what is told as a newcomer's moment (`souk.models.newcomers`).
    """

    user: Mapping[str, np.ndarray]
    query: Mapping[str, np.ndarray]
    positions: np.ndarray
    pair: np.ndarray
    own: np.ndarray
    candidate: np.ndarray
    chosen: np.ndarray
    first: np.ndarray
    labels: Mapping[str, np.ndarray]
    users: np.ndarray
    times: np.ndarray
    pleased: Mapping[str, np.ndarray]
    taken: np.ndarray
    liked: Mapping[str, np.ndarray]
    place: np.ndarray
    also: np.ndarray
    newcomer: np.ndarray

    def __len__(self) -> int:
        return len(self.own)

    @property
    def retrieved(self) -> np.ndarray:
        """`[examples] bool`: whether the example's item is a candidate."""
        return self.candidate[np.arange(len(self)), self.own]

    def as_they_are(self) -> RankExamples:
        """Those that are not told as a newcomer's."""
        return self.take(np.flatnonzero(~self.newcomer))

    def take(self, rows: np.ndarray) -> RankExamples:
        """The examples of `rows`."""
        return RankExamples(*(_rows_of(value, rows) for value in self.__dict__.values()))


def read_rank_examples(
    candidates: str | Path,
    sequences: Sequences,
    items: ItemTable,
    window: tuple[int, int],
    count: int,
    impressions: str | Path = "",
    report: Callable[[str], None] = lambda _: None,
) -> RankExamples:
    """Puts examples together with their first `count` candidates.

    Args:
        candidates: the Parquet file of `write_candidates`.
        sequences: the rows, with transforms.
        items: with the counters and the vectors of the window's start.
        window: its start, and one past its end, UTC epoch milliseconds; a label that is known only later is not known,
            nor is what a slate showed or who took it then.
        count: candidates to each example.
        impressions: the file of `souk.logged_slates`; where there is none, no slate was logged.
        report: is told how far it is, where that takes long.

    Raises:
        SoukError: the candidates are of another window.
    """
    table = pq.read_table(candidates)
    if "answerable" not in table.column_names:
        remedy = "Retrieve again with train_two_tower, as `souk run` does."
        raise SoukError(f"what may be recommended at each time in {candidates}", "those of an older version", remedy)
    times = table["timestamp"].to_numpy()
    if not len(times) or times.min() < window[0] or times.max() >= window[1]:
        received = f"times from {times.min()} to {times.max()}" if len(times) else "none"
        expected = f"candidates of examples from {window[0]} to {window[1]}"
        raise SoukError(expected, received, "Give the towers of the same window.")
    row = {event: number for number, event in enumerate(table["event_id"].to_pylist())}
    lists = _lists(table, items, count, window[1], tuple(sequences.spec.objectives.given))
    _place(lists, read_slates(Path(impressions), row, window[1]), list(row), items)
    names = names_of(sequences.spec)
    pair = np.zeros((*lists["positions"].shape, len(names)), np.float32)
    raw: dict[str, Target] = {}
    newcomers = newcomers_of(table)
    for targets in _chunks(read_targets(sequences, window, row, newcomers)):
        if raw and len(raw) % (TOLD * CHUNK) == 0:
            report(f"features of {len(raw):,} of {len(row):,} examples and their candidates")
        rows = np.array([row[target.event_id] for target in targets])
        request, column = np.nonzero(lists["present"][rows])
        own = rows[request], column
        places, scores, listed = (lists[name][own] for name in ("positions", "scores", "candidate"))
        queries = [target.pair_query(items) for target in targets]
        pair[own] = pair_features(items, queries, request, places, scores, listed)
        raw |= {target.event_id: replace(target, tokens={}, habits={}) for target in targets}  # these are long
    told = [raw[event] for event in row]
    del lists["scores"], lists["present"]
    return RankExamples(
        user=_transformed(sequences.transforms["user"], sequences.spec.of(Entity.USER), [t.user for t in told]),
        query=_transformed(sequences.transforms["query"], sequences.spec.of(Entity.QUERY), [t.query for t in told]),
        pair=pair,
        newcomer=np.array([event in newcomers for event in row]),
        **lists,
    )


def _chunks(targets: Iterator[Target]) -> Iterator[list[Target]]:
    while chunk := list(islice(targets, CHUNK)):
        yield chunk


def _rows_of(value: Any, rows: np.ndarray) -> Any:
    return {name: each[rows] for name, each in value.items()} if isinstance(value, Mapping) else value[rows]


def _lists(table: pa.Table, items: ItemTable, count: int, known_until: int, given: tuple[str, ...]) -> dict[str, Any]:
    """Positions, scores and labels, padded: the candidates, then the example's own item where it is none of them."""
    own_items = np.array([items.position[item] for item in table["item_id"].to_pylist()])
    times, users = table["timestamp"].to_numpy(), np.array(table["user_id"].to_pylist())
    labels = {
        name: np.where(table[f"{name}_at"].to_numpy() < known_until, table[name].to_numpy(), -1) for name in given
    }
    taken, first = _moments(table, items, known_until, given)
    shape = (len(table), count + 1)
    positions, scores = np.zeros(shape, np.int64), np.zeros(shape, np.float32)
    candidate, chosen, present = (np.zeros(shape, bool) for _ in range(3))
    pleased, liked = np.zeros((len(given), *shape), bool), np.zeros((len(given), len(table)), np.int64)
    own, took = np.zeros((2, len(table)), np.int64)
    columns = table["own_score"].to_pylist(), *_retrieved(table, items)
    for row, (own_score, places, values) in enumerate(zip(*columns, strict=True)):
        found = places[:count]
        size = len(found)
        positions[row, :size], scores[row, :size], candidate[row, :size] = found, values[:size], True
        present[row, :size] = True
        mine, likes = taken[users[row], times[row]]
        chosen[row, :size] = np.isin(found, mine)
        for name, like in enumerate(likes):
            pleased[name, row, :size] = np.isin(found, mine[like])
        took[row], liked[:, row] = len(mine), likes.sum(axis=1)
        at = np.flatnonzero(found == own_items[row])
        own[row] = at[0] if len(at) else size
        if own[row] == size:
            positions[row, size], scores[row, size], present[row, size] = own_items[row], own_score, True
    return {
        "positions": positions, "scores": scores, "candidate": candidate, "chosen": chosen, "present": present,
        "own": own, "first": first, "labels": labels, "users": users, "times": times, "taken": took,
        "pleased": dict(zip(given, pleased, strict=True)), "liked": dict(zip(given, liked, strict=True)),
        "place": np.zeros(shape, np.int16), "also": np.zeros(shape, bool),
    }  # fmt: skip


def _retrieved(table: pa.Table, items: ItemTable) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The items of each example's candidates, and their scores, in the order of the file."""
    found = table["items"].combine_chunks()
    names, values = pc.dictionary_encode(found.flatten()), table["scores"].combine_chunks().flatten().to_numpy()
    position = np.array([items.position[name] for name in names.dictionary.to_pylist()], np.int64)
    places = position[names.indices.to_numpy()] if len(names) else np.zeros(0, np.int64)
    ends = np.cumsum(pc.list_value_length(found).to_numpy())[:-1]
    return np.split(places, ends), np.split(values, ends)


Moments = dict[tuple[str, int], tuple[np.ndarray, np.ndarray]]


def _moments(table: pa.Table, items: ItemTable, known_until: int, given: tuple[str, ...]) -> tuple[Moments, np.ndarray]:
    """By user and time what was taken, `[taken]`, and by objective whether it is known to have pleased, `[objectives,
    taken]`; and which example is the first of its moment, of the moments that a slate could answer."""
    taken: dict[tuple[str, int], dict[int, tuple[bool, ...]]] = {}
    columns = (table[name].to_pylist() for name in ("user_id", "timestamp", "moment"))
    for user, time, whole in zip(*columns, strict=True):
        for each in whole:
            pleased = tuple(each[name] == 1 and each[f"{name}_at"] < known_until for name in given)
            mine, item = taken.setdefault((user, time), {}), items.position[each["item_id"]]
            mine[item] = tuple(map(operator.or_, mine.get(item, pleased), pleased))  # by one of its events
    first = (pc.list_value_length(table["moment"]).to_numpy() > 0) & table["answerable"].to_numpy()
    shape = (-1, len(given))
    return {
        moment: (np.fromiter(mine, np.int64), np.array([*mine.values()], bool).reshape(shape).T)
        for moment, mine in taken.items()
    }, first


def _transformed(
    transform: Transform, features: tuple[Feature, ...], rows: Sequence[Mapping[str, Any]]
) -> dict[str, np.ndarray]:
    raw = {f.name: column_tensor([row.get(f.name, FILL[f.dtype]) for row in rows], f) for f in features}
    return {name: value.numpy() for name, value in transform(raw).items()}


def _place(lists: dict[str, Any], slates: Mapping[str, LoggedSlate], events: list[str], items: ItemTable) -> None:
    """Fills in where each example's request showed its candidates, and what else of them the user took there."""
    for row, event in enumerate(events):
        places = {
            items.position[item]: (place, took)
            for item, place, took in zip(*slates.get(event, ([], [], [])), strict=True)
        }
        for column in np.flatnonzero(lists["present"][row]).tolist() if places else ():
            place, took = places.get(int(lists["positions"][row, column]), (0, False))
            lists["place"][row, column] = place
            lists["also"][row, column] = took and not lists["chosen"][row, column] and column != lists["own"][row]
