"""Words of users that are the last parts of items' paths: the two speak of the same, and have nothing in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from souk.schema import Kind

FEWEST = 3  # different words that a column of users should have
MANY = 0.8  # share of them that are last parts of paths, and words of no other column of items
WORDS = (Kind.CATEGORICAL, Kind.LIST)


def odd_paths(
    users: pa.Table, of_users: Mapping[str, Kind], items: pa.Table, of_items: Mapping[str, Kind]
) -> Iterator[str]:
    """Which columns of users name ends of paths, as `Jazz` where the items have `Concert/Jazz`.

    Args:
        users: their table.
        of_users: its declared columns.
        items: their table.
        of_items: its declared columns.
    """
    worded = [name for name, kind in of_users.items() if kind in WORDS]
    elsewhere = set[str]().union(*(_words(items, name) for name, kind in of_items.items() if kind in WORDS))
    for theirs in (name for name, kind in of_items.items() if kind is Kind.PATH):
        paths = pc.unique(items[theirs].combine_chunks()).drop_null().to_pylist()
        ends = {end: path for path in sorted(paths) for _, slash, end in [path.rpartition("/")] if slash}
        tops = {path.partition("/")[0] for path in paths}
        for own in worded:
            said = _words(users, own)
            known = sorted((said & set(ends)) - tops - elsewhere)
            if len(said) >= FEWEST and len(known) >= MANY * len(said):
                example = f"{known[0][:40]!r} and {ends[known[0]][:40]!r}"
                told = f"users: {len(known):,} of the {len(said):,} words of {own} are last parts of {theirs} of items"
                yield f"{told}: {example} have no word in common. Write both alike, or give the part a column"


def _words(table: pa.Table, column: str) -> set[str]:
    """The different words of a column, or of its lists."""
    words = table[column].combine_chunks()
    words = words.flatten() if pa.types.is_list(words.type) else words
    return set(pc.unique(words).drop_null().to_pylist())
