"""What is popular with each value of the columns that tell what is taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from souk.declared import moment
from souk.features.examples import coded
from souk.features.segment_columns import Column, chosen, copies
from souk.features.trends import decayed
from souk.features.windows import BOUNDARIES, Windows
from souk.items import available_at, item_columns, times_of
from souk.progress import report
from souk.repeats import near
from souk.sources.popularity import Segments
from souk.sources.rows import SparseRows, summed, weights_of
from souk.spec import Entity, FeatureSpec, Role
from souk.state_rows import PROFILE

LEFT = 1e-6  # of all that is taken: less is a matter of rounding
POPULAR = 500  # items of a segment: a request is given a tenth of its candidates from them, all where towers fail


def write_popular(folder: Path, spec: FeatureSpec, windows: Windows, half: float) -> dict[str, float]:
    """Writes `segment_popular/<boundary>.npz` from the examples and users of a features folder.

    Args:
        folder: with `examples.parquet`, `user_state.parquet` and `items.parquet`.
        spec: its specification.
        windows: the boundaries; events at or after one do not count in its file.
        half: half-life, milliseconds.

    Returns:
        The prior of each column that makes segments, in events: see `chosen`.
    """
    table = item_columns(folder, "item_id", "available", "available_until")
    position = {item: place for place, item in enumerate(table["item_id"].to_pylist())}
    contexts = [feature.name for feature in spec.context if feature.role is Role.CATEGORY]
    times = pq.read_table(folder / "examples.parquet", columns=["timestamp"])["timestamp"].to_numpy().astype(np.int64)
    taken = coded(folder, "item_id")
    items = np.array([position[item] for item in taken.dictionary.to_pylist()], np.int32)[taken.indices.to_numpy()]
    users, columns = _columns(folder, spec, times, contexts)
    early, trusted = times < windows.validation_start, {own for own, _ in spec.matches}
    own = {name: column.of(early) for name, column in columns.items()}
    for name in contexts:
        if name not in trusted and copies(items[early], own[name]):
            del own[name]

    until = times_of(table, "available_until", np.inf)

    def there(time: int) -> np.ndarray:
        """What was taken was on offer then, whatever is of now: only at the end, `available` is known."""
        return available_at(table, time, windows.end) if time >= windows.end else until >= time

    priors = chosen(items[early], times[early], users[early], own, half, there)
    report(f"columns that tell what is popular: {', '.join(priors) or 'none'}")
    (folder / "segment_popular").mkdir(exist_ok=True)
    for boundary in BOUNDARIES:
        end: int = getattr(windows, boundary)
        kept = (times < end) & there(end)[items]
        inside = {name: (columns[name].of(kept), prior) for name, prior in priors.items()}
        found = segments(items[kept], decayed(times[kept], end, half), inside, len(position))
        found.save(folder / "segment_popular" / f"{boundary}.npz")
    return priors


def _columns(
    folder: Path, spec: FeatureSpec, times: np.ndarray, contexts: Sequence[str]
) -> tuple[np.ndarray, dict[str, Column]]:
    """Of each event its user as a number, and the columns that may make segments."""
    declared = [feature for feature in spec.of(Entity.USER) if feature.role is Role.CATEGORY]
    profiles = pq.read_table(
        folder / "user_state.parquet", columns=["user_id", *(PROFILE + feature.source for feature in declared)]
    )
    asked, known = coded(folder, "user_id"), profiles["user_id"].combine_chunks()
    users, rows = asked.indices.to_numpy(), pc.index_in(asked.dictionary, known)
    found = {}
    for feature in declared:
        values = profiles[PROFILE + feature.source].combine_chunks().take(rows)
        words = pc.fill_null(values, "").dictionary_encode()
        found[feature.name] = Column(words.indices.to_numpy()[users], words.dictionary.to_pylist())
    for name in contexts:
        column = coded(folder, name)
        words = column.dictionary.to_pylist()
        found[name] = Column(pc.fill_null(column.indices, len(words)).to_numpy(), [*words, ""])
    hours = np.arange(24) / 24
    sizes = {feature.name: feature.size for feature in spec.of(Entity.QUERY)}
    nearness = {"query_hour": near(hours[:, np.newaxis] - hours)}
    for name, codes in ((name, codes) for name, codes in moment(times).items() if name in sizes):
        words = [str(value) for value in range(sizes[name])]
        found[name] = Column(codes.astype(np.int32), words, nearness.get(name))
    return users, found


def segments(
    items: np.ndarray, weights: np.ndarray, columns: Mapping[str, tuple[Column, float]], size: int
) -> Segments:
    """Popularity by segment: what everyone takes lately, times the item's lift in the segment.

    What is popular moves; what a district or an hour takes more than others does less. So lifts are of all events,
    which fade only in the share of everyone. What a segment's own events do not name stands in one order for all
    segments of a column, so that no more of it than the POPULAR first can be among a segment's: a segment costs its
    events and those, not the catalogue.

    Args:
        items: `[events]`.
        weights: `[events]`, 1 for an event of now.
        columns: by name the values of the events, and the prior: how many more events each item is taken to have had,
            with the shares that the column's values have of all.
        size: how many items there are.
    """
    lately = np.bincount(items, weights, minlength=size).astype(np.float64, copy=False)
    np.divide(lately, max(float(lately.sum()), 1e-300), out=lately)
    ever, taken = np.bincount(items, minlength=size), np.flatnonzero(lately)
    names, rest, least, parts = [""], [1.0], [1.0], [_popular(taken, lately[taken])]
    lifts = [np.ones(len(parts[0].items))]
    for name, (column, prior) in columns.items():
        unnamed = lately[taken] * (prior / (ever[taken] + prior))  # where none of a segment's events is of an item
        others, nothing = _popular(taken, unnamed).items, float(unnamed.sum())
        for code in column.largest():
            inside, counting = column.events(code)
            own, totals = summed(items[inside], counting, size)
            rate = float(counting.sum()) / len(items)
            found = np.union1d(own, others)
            counts = weights_of(own, totals, found).astype(np.float64) / rate
            lift = (counts + prior) / (ever[found] + prior)
            likely = lately[found] * lift
            whole = 1e-300 + nothing + float(lately[found] @ (counts / (ever[found] + prior)))
            listed = _popular(found, likely / whole)
            places = np.searchsorted(found, listed.items)
            left = 1 - float(lately[listed.items].sum())
            names.append(f"{name}={column.words[code]}")
            parts.append(listed)
            lifts.append(lift[places])
            least.append(float(likely[places].min(initial=1)))
            rest.append((whole - float(likely[places].sum())) / left if left > LEFT else 1.0)
    return Segments(
        {name: row for row, name in enumerate(names)},
        SparseRows.joined(parts),
        np.concatenate(lifts).astype(np.float32),
        np.maximum(rest, LEFT).astype(np.float32),
        lately.astype(np.float32),
        np.array(least, np.float32),
    )


def _popular(items: np.ndarray, shares: np.ndarray) -> SparseRows:
    return SparseRows.strongest(np.zeros(len(items), np.int64), items, shares, 1, POPULAR)
