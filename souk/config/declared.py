"""Whether declared columns have names of their own, and keys that name them or their features name ones of use."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from souk.config.tables import Columns, Data, Source
from souk.errors import SoukError, unknown
from souk.schema import Kind, contract

WORDS = (Kind.CATEGORICAL, Kind.PATH, Kind.LIST)  # kinds whose values are words of a vocabulary
ID = "id"  # what a column of items or users may not become: `item_id` and `user_id` are the ids


def feature_names(name: str, kind: Kind | None) -> list[str]:
    """What a column's features are called, behind the prefix of its table: of a number, more than it
    (`souk.features.preprocess`)."""
    return [name, f"{name}_missing", f"{name}_bucket"] if kind is Kind.NUMERIC else [name]


def check_names(columns: Columns, data: Data) -> None:
    """No feature is called as another one, or as the ids; to TensorFlow, small letters and capitals are the same.

    Raises:
        SoukError: one is.
    """
    for table, prefix in (("events", "context"), ("items", "item"), ("users", "user")):
        kinds, source = getattr(columns, table), getattr(data, table)
        taken = {} if table == "events" else {ID: (ID, "the ids")}
        # What a number becomes is longer than its name: the column to rename comes after what has its name.
        for name in sorted(kinds, key=lambda n: (n not in contract(table), len(n), n)):
            if name.lower() in taken:
                other, whose = taken[name.lower()]
                raise SoukError(
                    "features whose names differ in more than capitals",
                    f"{prefix}_{name} of columns.{table}.{name} and {prefix}_{other} of {whose}",
                    f"Rename columns.{table}.{name}, to own_{name} for instance, and {_told(table, name, source)}.",
                )
            taken |= {each.lower(): (each, name) for each in feature_names(name, kinds[name])}


def _told(table: str, name: str, source: Source | None) -> str:
    """Where else a column is to be renamed: what makes it, or what reads it from the files."""
    for made in ("templates", "constants"):
        if source and name in getattr(source, made):
            return f"in data.{table}.{made} too"
    raw = source.columns.get(name, name) if source else name
    return f"map it: data.{table}.columns: {{own_{name}: {raw!r}}}"


def check_parity(columns: Columns, compared: Iterable[str]) -> None:
    """`evaluate.segment_parity` compares users by the values of a column.

    Raises:
        SoukError: there is no such column, or it has no values to compare.
    """
    for column in compared:
        kind = columns.users.get(column)
        if kind is None:
            raise unknown("a column of users in evaluate.segment_parity", column, columns.users)
        if kind in (Kind.TEXT, Kind.VECTOR):
            raise SoukError(
                "a column of users with values to compare in evaluate.segment_parity",
                f"{column}, of kind {kind}",
                "Take one of the kinds categorical, numeric, path or list.",
            )


def check_caps(columns: Columns, capped: Iterable[str]) -> None:
    """`rerank.caps` counts the items of a value.

    Raises:
        SoukError: there is no such column, or an item has several values of it.
    """
    known = columns.cappable
    for column in capped:
        kind = columns.items.get(column)
        if kind is None:
            raise unknown("a categorical or path column of items in rerank.caps", column, known)
        if column not in known:
            raise SoukError(
                "a column of items with one value each in rerank.caps",
                f"{column}, of kind {kind}",
                f"Take one of the kinds categorical and path: {', '.join(sorted(known)) or 'none is declared'}.",
            )


def check_matches(columns: Columns, pairs: Sequence[Sequence[str]]) -> None:
    """`build_features.matches` pairs a feature of the user or the visit with one of the item.

    Raises:
        SoukError: a pair is there twice, or names another feature.
    """
    tables = (("user", columns.users), ("context", columns.events), ("item", columns.items))
    named = [[f"{of}_{name}" for name, kind in kinds.items() if kind in WORDS] for of, kinds in tables]
    own, theirs = [*named[0], *named[1]], named[2]
    for pair in pairs:
        if pairs.count(pair) > 1:
            raise SoukError("each pair in build_features.matches once", f"{pair} more often", "Name it once.")
        for name, known, whose in zip(pair, (own, theirs), ("the user or the visit", "the item"), strict=True):
            if name not in known:
                raise unknown(f"a categorical, path or list feature of {whose} in build_features.matches", name, known)


def check_minority(columns: Columns, rare: Iterable[str]) -> None:
    """`train_ranker.minority` goes by the values of features that are ids once they are transformed.

    Raises:
        SoukError: there is no such feature.
    """
    known = ["user_id", "item_id"]
    for of, kinds in (("user", columns.users), ("item", columns.items)):
        known += [f"{of}_{name}" for name, kind in kinds.items() if kind in (*WORDS, Kind.TEXT)]
        known += [f"{of}_{name}_bucket" for name, kind in kinds.items() if kind is Kind.NUMERIC]
    for name in rare:
        if name not in known:
            raise unknown("a feature of users or items in train_ranker.minority", name, known)
