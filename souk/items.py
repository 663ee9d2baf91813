"""What pairs, sources and explanations need to know of the items of a release, by position."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from souk.config import Objective
from souk.counters import first, freshness, prior_rate
from souk.counts import ItemCounts, engagements
from souk.errors import SoukError
from souk.levels import Levels
from souk.schema import DAY_MS
from souk.sources.freshness import Freshness, assumed_birth
from souk.sources.popularity import Segments
from souk.sources.rows import SparseRows, placed, ranges, spliced
from souk.spec import FeatureSpec, read_spec
from souk.value_shares import ValueShares, values_of

SOURCE_FILES = ("co_visitation", "segment_popular", "ease")
# Of pairs and sources: form 7 knows nothing of what is taken together, form 6 no numbers, in form 5 sources, in 4 pairs
# too know nothing of what was done lately, form 3 has no affinity, form 2 no hours of own events, form 1 no `matched`,
# guessed match or assumed age.
FORM = 8


def item_columns(folder: str | Path, *names: str) -> pa.Table:
    """Columns of the item feature table of a features folder or a bundle; those of before may not have all."""
    path = Path(folder) / "items.parquet"
    return pq.read_table(path, columns=[name for name in names if name in pq.read_schema(path).names])


def times_of(items: pa.Table, name: str, unknown: float) -> np.ndarray:
    """A column of times of the item feature table, `[items]` float64, UTC epoch milliseconds.

    Args:
        items: rows of it; those of before may not have the column.
        name: of the column.
        unknown: what stands for a missing time.
    """
    if name not in items.column_names:
        return np.full(len(items), unknown)
    times = items[name].cast(pa.float64(), safe=False).to_numpy()
    return np.where(np.isnan(times), unknown, times)


def available_at(items: pa.Table, time: int, end: int = 0) -> np.ndarray:
    """`[items]` bool: which rows of the item feature table are available at a time, or at some time after it.

    Args:
        items: rows of it.
        time: UTC epoch milliseconds.
        end: of the data: what is not available now, and ended before it, was available until then.
    """
    available = np.asarray(items["available"].fill_null(True).to_numpy(zero_copy_only=False), dtype=bool)
    until = times_of(items, "available_until", np.inf)
    return (available | (until < end)) & (until >= time)


def of_this_listing(sold: np.ndarray, created: np.ndarray) -> np.ndarray:
    """Whether purchases are of items as they are listed now, and not of before they were put up again under their ids.

    Args:
        sold: times, UTC epoch milliseconds.
        created: `created_at` of their items, NaN where it is unknown. Where it is less than a day later than the
            purchase, it is a date, or of another time zone.
    """
    return np.asarray(~(created - sold > DAY_MS))


@dataclass(frozen=True)
class ItemTable:
    """What pairs need to know of items, by position in the item table.

    Args:
        position: item id to position.
        vectors: `[items, dim]` float32, unit length; items that training never saw may have less.
        counters: `[items, 2]` float32, as of the boundary: log events, satisfied rate.
        created_at: `[items]` float64, UTC epoch milliseconds; NaN where unknown.
        available_until: `[items]` float64, UTC epoch milliseconds, the last moment; inf without an end.
        value_start: `[items + 1]` int64, where each item's values start in `values`.
        values: category values of all items, as numbers, which
        numbers: gives by feature and word; equal words of two features differ.
        rules: what follows each item.
        segments: what is popular with whom.
        ease: what is taken by those who take each item; no rows where nothing is known of it.
        prior_rate: the satisfied rate of an item without labels.
        satisfied: the rule that makes a label of a past event; None where none is asked for.
        engaged: the rule that makes an engagement of a past event; None where items never repeat.
        freshness: how much of what is engaged with just came.
        matches: features of the user or the visit, each with one of the item whose values say the same.
        assumed_birth: what stands for an unknown `created_at`, UTC epoch milliseconds; NaN where nothing does.
        shares: of what everyone takes, the share of each value.
        has_hours: whether events have a time of day, and not a date alone.
        counts: how often each item was engaged with, by time.
        form: of pairs and sources, that of the release.
        acts: types of events that pairs tell apart; none where one alone is known.
        levels: of each item in each number that pairs know of.
        responses: `[items]` float32, how often each is taken where it is shown, as of the boundary
            (`souk.features.responses`); None where the log does not tell.
    """

    position: Mapping[str, int]
    vectors: np.ndarray
    counters: np.ndarray
    created_at: np.ndarray
    available_until: np.ndarray
    value_start: np.ndarray
    values: np.ndarray
    rules: SparseRows
    segments: Segments
    ease: SparseRows = field(default_factory=lambda: SparseRows.empty(0))
    numbers: Mapping[tuple[str, str], int] = field(default_factory=dict)
    prior_rate: float = 0.0
    satisfied: Objective | None = None
    engaged: Objective | None = None
    freshness: Freshness = field(default_factory=Freshness)
    matches: tuple[tuple[str, str], ...] = ()
    assumed_birth: float = np.nan
    shares: ValueShares = field(default_factory=ValueShares)
    has_hours: bool = True
    counts: ItemCounts = field(default_factory=lambda: ItemCounts(np.zeros(0), np.zeros(0), 0, np.inf))
    form: int = FORM
    acts: tuple[str, ...] = ()
    levels: Levels = field(default_factory=Levels)
    responses: np.ndarray | None = None

    @classmethod
    def load(
        cls, folder: str | Path, boundary: str = "", vectors: np.ndarray | None = None, ease: bool = True
    ) -> ItemTable:
        """Reads a `features` folder, with what was engaged with after the boundary too, or a bundle.

        Args:
            folder: with `spec.json`, `items.parquet`, `counters.parquet` and, in a bundle, `vectors.npy`; each of
                SOURCE_FILES is `<name>/<boundary>.npz`, in a bundle `<name>.npz`.
            boundary: whose counters; "" for a bundle, which has those of one boundary only.
            vectors: `[items, dim]`, where the folder has none.
            ease: whether it is asked for; folders of before have none.
        """
        path = Path(folder)
        counters = pq.read_table(path / "counters.parquet")
        if boundary:
            counters = counters.filter(pc.equal(counters["boundary"], boundary))
        vectors = np.load(path / "vectors.npy", allow_pickle=False) if vectors is None else vectors
        items = pq.read_table(path / "items.parquet")
        rules, segments, linear = (path / name / boundary if boundary else path / name for name in SOURCE_FILES)
        table = cls.of(
            items,
            counters,
            vectors,
            read_spec(path / "spec.json"),
            SparseRows.load(rules.with_suffix(".npz"), len(items)),
            Segments.load(segments.with_suffix(".npz"), len(items)),
            ease=SparseRows.load(linear.with_suffix(".npz"), len(items)) if ease else None,
        )
        return table.followed(path) if boundary else table

    @classmethod
    def of(
        cls,
        items: pa.Table,
        counters: pa.Table,
        vectors: np.ndarray,
        spec: FeatureSpec,
        rules: SparseRows | None = None,
        segments: Segments | None = None,
        form: int = FORM,
        ease: SparseRows | None = None,
    ) -> ItemTable:
        """From the item feature table and one boundary's counters, in the same order; sources as of it.

        Raises:
            SoukError: they are not of the same items.
        """
        if (
            not len(items) == len(counters) == len(vectors)
            or items["item_id"].to_pylist() != counters["item_id"].to_pylist()
            or (rules is not None and len(rules) != len(items))
        ):
            received = f"{len(items)} items, {len(counters)} counters, {len(vectors)} vectors"
            raise SoukError("items, counters and vectors of the same items", received, "Run the pipeline again.")
        events, rate = (counters[name].to_numpy().astype(np.float64) for name in ("events", "satisfied_rate"))
        (start, values, numbers), shared = values_of(items, spec), [f.name for f in spec.shared]
        return cls(
            position={item: i for i, item in enumerate(items["item_id"].to_pylist())},
            vectors=np.ascontiguousarray(vectors, np.float32),
            counters=np.stack([np.log1p(events), rate], axis=1).astype(np.float32),
            created_at=times_of(items, "created_at", np.nan),
            available_until=times_of(items, "available_until", np.inf),
            value_start=start,
            values=values,
            rules=SparseRows.empty(len(items)) if rules is None else rules,
            segments=segments or Segments.empty(),
            ease=SparseRows.empty(len(items)) if ease is None else ease,
            numbers=numbers,
            prior_rate=prior_rate(counters),
            satisfied=spec.objectives.satisfied,
            engaged=spec.objectives.engaged if spec.engaged_again else None,
            freshness=freshness(counters),
            matches=spec.matches,
            assumed_birth=_birth(items, counters, form),
            shares=ValueShares.of(shared, list(numbers), start, values, events).counted(counters),
            has_hours=first(counters, "has_hours", True),
            counts=ItemCounts.of(counters),
            form=form,
            acts=spec.acts,
            levels=Levels.of(spec.numbers if form > 6 else (), items),
            responses=counters["response"].to_numpy().astype(np.float32) if spec.shown else None,
        )

    def followed(self, features: str | Path) -> ItemTable:
        """With the engagements of a features folder after the boundary: counts are those before each time asked."""
        since = self.counts.since
        return replace(self, counts=self.counts.followed(*engagements(Path(features), since, self.position)))

    def with_items(self, items: pa.Table, vectors: np.ndarray, spec: FeatureSpec) -> ItemTable:
        """With rows of the item feature table in the place of their items' old ones, new items at the end.

        A new item has the counters of one without events, and follows nothing. Arrays of which nothing changes are
        the same objects: a price or an availability copies few of them.

        Args:
            items: the rows, each item once.
            vectors: `[rows, dim]` float32.
            spec: the feature specification.
        """
        ids, old = items["item_id"].to_pylist(), len(self.vectors)
        new = [item for item in ids if item not in self.position]
        position = {**self.position, **{item: old + n for n, item in enumerate(new)}} if new else self.position
        where = np.array([position[item] for item in ids], np.int64)
        start, own, numbers = values_of(items, spec, self.numbers)
        value_start, values = self.value_start, self.values
        if new or not self._has(where, start, own):
            value_start, values = spliced(self.value_start, self.values, where, start, own)
        ends = times_of(items, "available_until", np.inf)
        return replace(
            self,
            position=position,
            vectors=placed(self.vectors, where, np.asarray(vectors, np.float32), len(position)),
            counters=np.concatenate([self.counters, self._unseen(len(new))]) if new else self.counters,
            created_at=placed(self.created_at, where, times_of(items, "created_at", np.nan), len(position)),
            available_until=placed(self.available_until, where, ends, len(position)),
            value_start=value_start,
            values=values,
            rules=self.rules.longer(len(new)) if new else self.rules,
            ease=self.ease.longer(len(new)) if new else self.ease,
            numbers=numbers,
            shares=self.shares.grown(list(islice(numbers, len(self.numbers), None))),
            counts=self.counts.grown(len(position)),
            levels=self.levels.with_rows(where, items, len(position)),
            responses=np.pad(self.responses, (0, len(new))) if new and self.responses is not None else self.responses,
        )

    @cached_property
    def value_count(self) -> int:
        """How many numbers values have."""
        return int(self.values.max(initial=-1)) + 1

    @cached_property
    def words(self) -> list[tuple[str, str]]:
        """The feature and the word of each number: these were given one after the other."""
        return list(self.numbers)

    def expanded(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Each value of each of `positions`: the index in `positions`, and the value."""
        starts = self.value_start[positions]
        counts = self.value_start[positions + 1] - starts
        place, row = ranges(starts, counts)
        return row, self.values[place]

    def counted(self, positions: np.ndarray, times: np.ndarray) -> list[np.ndarray]:
        """`[M]` each: log(1 + engagements before given times), ever and lately, and the rate of satisfaction."""
        return [*map(np.log1p, self.counts.at(positions, times)), self.counters[positions, 1]]

    def _has(self, where: np.ndarray, start: np.ndarray, own: np.ndarray) -> bool:
        """Whether the items at `where` have these values, in compressed rows."""
        row, known = self.expanded(where)
        return np.array_equal(np.bincount(row, minlength=len(where)), np.diff(start)) and np.array_equal(known, own)

    def _unseen(self, count: int) -> np.ndarray:
        """`[count, 2]`: the counters of items without events, as `souk.features.tables.counters` has them."""
        return np.tile(np.array([0, self.prior_rate], np.float32), (count, 1))


def _birth(items: pa.Table, counters: pa.Table, form: int) -> float:
    """Of the boundary's counters; of releases of before what it was when their items were read."""
    if form == 1 or not len(items):
        return np.nan
    known = first(counters, "assumed_birth", None)
    return assumed_birth(times_of(items, "created_at", np.nan), np.inf) if known is None else float(known)
