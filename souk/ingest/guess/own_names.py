"""The names that declared columns get: no feature of them is called as another one, or as the ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from souk.config.declared import ID, feature_names
from souk.ingest.guess.kind import Guess
from souk.ingest.guess.names import numbered
from souk.ingest.profile import Column
from souk.schema import contract

Declared = tuple[Column, Guess]  # a column, and what it is


def own_names(table: str, declared: Mapping[str, Declared], found: Sequence[Declared]) -> dict[str, tuple[str, str]]:
    """What each column is called, by its name in the file, and why it is not that in small letters ("" where it is).

    Args:
        table: events, items or users.
        declared: columns of the contract, by its names.
        found: other columns of the file.
    """
    named: dict[str, str] = {}  # whose the names are
    made = {} if table == "events" else {ID: "the ids"}  # whose are those that nothing else may have

    def take(name: str, column: Column, guess: Guess) -> None:
        named[name] = column.name
        made.update(dict.fromkeys(feature_names(name, guess.kind)[1:], f"a feature of {column.name}"))

    for name, (column, guess) in declared.items():
        take(name, column, guess)
    names: dict[str, tuple[str, str]] = {}
    # As in souk.config.declared.check_names: what a number becomes is longer than its name.
    for column, guess in sorted(found, key=lambda each: len(each[0].snake)):
        own, why = column.snake if column.snake not in contract(table) else f"{column.snake}_column", ""
        if own in made:
            own, why = f"own_{own}", f"ITS NAME IS THAT OF {made[own]}: renamed"
        elif own in named:
            why = f"ITS NAME IS THAT OF {named[own]} IN SMALL LETTERS: numbered"
        target = numbered(own, {**made, **named})
        names[column.name] = target, why
        take(target, column, guess)
    return names
