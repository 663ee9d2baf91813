"""What the fields of a body may hold: each check gives the value at a path of the body, or says what is wrong."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from souk.errors import SoukError, unknown
from souk.ingest.checks import LARGEST
from souk.ingest.patterns import rename
from souk.schema import SECONDS, EventType
from souk.values import SHOWN, in_quotes, quoted

END_OF_TIME = 253_402_300_800_000  # the year 10000, UTC epoch ms
ID_LENGTH = 512
WIDEST = 1e30  # of the end of a range
Names = Mapping[str, Sequence[str]]  # of a table: columns that the config maps, with the files' names of these
EVENT_TYPES = tuple(str(kind) for kind in EventType)
LEAVE_OUT = "Leave it out; docs/data.md tells how to declare a field."
# What to say of a body that cannot be quoted, for Python's recursion.
TOO_DEEP = str(SoukError("a body of a few levels", "one of hundreds", "No field holds more than lists of objects."))


def known_keys(
    path: str,
    values: Mapping[str, Any],
    known: Collection[str],
    within: Mapping[str, Iterable[str]] = {},
    names: Names = MappingProxyType({}),
) -> None:
    """Refuses a field that is none of `known`; the nearest is named, or the field that it belongs into, by `within`, or
    that for which it stands in the files, by `names`."""
    for name in values:
        if name not in known:
            if into := next((field for field, names in within.items() if name in names), ""):
                remedy = f'It belongs into {into}: "{into}": {{"{name}": ...}}.'
                raise SoukError(f"{path}: a field to be one of {', '.join(sorted(known))}", repr(name), remedy)
            if not known:
                raise SoukError(f"{path} to be empty: the config declares none of its fields", quoted(name), LEAVE_OUT)
            own = own_name(name, names)
            remedy = instead_of(name, own) if own in known else ""
            raise unknown(f"{path}: a field", str(name)[:SHOWN], known, remedy)


def own_name(name: str, names: Names) -> str:
    """What Souk calls a column of the files; the same for one that has no other name."""
    return next((own for own, raws in names.items() if name in raws), name)


def instead_of(name: str, own: str) -> str:
    """The remedy where the files' name of a column is sent."""
    return f"Send {own} for {name[:SHOWN]}: the config maps it."


def identifier(path: str, value: Any) -> str:
    """The id at `path` of a body, without the white space around it, as files and events have it.

    Raises:
        SoukError: it is none.
    """
    if not isinstance(value, str) or not 0 < len(value) <= ID_LENGTH or not (own := value.strip()) or not is_text(own):
        raise SoukError(f"{path} to be a text of 1 to {ID_LENGTH} characters", quoted(value), in_quotes(value))
    return own


def identifiers(path: str, value: Any, most: int) -> list[str]:
    """At most so many ids."""
    return [identifier(f"{path}[{index}]", entry) for index, entry in enumerate(listed(path, value, most))]


def chosen(path: str, value: Any, most: int) -> tuple[str, ...]:
    """At least one id, and at most so many, each once."""
    ids = tuple(dict.fromkeys(identifiers(path, value, most)))
    if not ids:
        raise SoukError(f"{path} to name at least one item", "none", "Leave it out to choose from the whole catalogue.")
    return ids


def listed(path: str, value: Any, most: int) -> list[Any]:
    """A list of at most so many entries."""
    if not isinstance(value, list):
        raise SoukError(f"{path} to be a list", quoted(value), "See docs/serving.md.")
    if len(value) > most:
        raise SoukError(f"{path} to have at most {most} entries", f"{len(value)}", "Send several requests.")
    return value


def mapping(path: str, value: Any) -> Mapping[str, Any]:
    """An object of feature values."""
    if not isinstance(value, dict):
        raise SoukError(f"{path} to be an object of feature values", quoted(value), "See docs/serving.md.")
    return value


def integer(path: str, value: Any, least: int, most: int) -> int:
    """A whole number within bounds."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise SoukError(
            f"{path} to be a whole number from {least} to {most}", quoted(value), "Send a number within these bounds."
        )
    return value


def moment(path: str, value: Any) -> int:
    """UTC epoch milliseconds; a fraction of one, which clocks of browsers give, is cut, as in a file."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < END_OF_TIME:
        raise SoukError(f"{path} to be UTC epoch milliseconds", quoted(value), "Leave it out for the server's clock.")
    whole = int(value)
    if whole in SECONDS:
        received = f"{value}, which looks like seconds"
        raise SoukError(f"{path} to be UTC epoch milliseconds", received, f"Send {1000 * whole}.")
    return whole


def number(path: str, value: Any, most: float = LARGEST) -> float:
    """A number whose square float32 can hold; NaN is one."""
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) >= most:
        raise SoukError(f"{path} to be a number within ±{most:g}", quoted(value))
    return float(value)


def range_end(path: str, value: Any) -> float:
    """An end of a range, which no model reads."""
    return number(path, value, WIDEST)


def _mapped(text: str, types: Mapping[str, str]) -> str:
    """The type of ours that the files' name of one is mapped to, but for `*`; "" for none."""
    (found,) = rename(pa.array([text]), {word: kind for word, kind in types.items() if word != "*"}).to_pylist()
    return "" if found == text else str(found)


def event_type(path: str, value: Any, history: Sequence[str], types: Mapping[str, str]) -> str:
    """The type of an event.

    Args:
        path: where it stands.
        value: what does.
        history: the types that histories are made of, of which the error speaks.
        types: what the files call types, or patterns of it (`*` for any text), with ours.
    """
    if value not in EVENT_TYPES:
        text = str(value)[:ID_LENGTH]
        near = difflib.get_close_matches(text, history, n=1)
        remedy = f"Did you mean {near[0]!r}?" if near else f"This release's histories are made of {', '.join(history)}."
        if meant := _mapped(text, types) or ("" if near else types.get("*")):  # which fits typing errors, too
            remedy = f"Send {meant}: the config maps {text[:SHOWN]} to it."
        raise SoukError(f"{path} to be one of {', '.join(sorted(EVENT_TYPES))}", repr(text[:SHOWN]), remedy)
    return str(value)


def is_text(value: str) -> bool:
    """Whether UTF-8 can carry it: JSON can escape half a surrogate pair."""
    return value.isascii() or not any("\ud800" <= c <= "\udfff" for c in value)
