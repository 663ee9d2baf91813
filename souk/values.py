"""Raw values of declared columns, as the models take them."""

from __future__ import annotations

import json
import math
import reprlib
from typing import Any

from souk.schema import Kind

SHOWN = 80  # characters of what is wrong that an error quotes, at most


def entries(value: Any, kind: Kind) -> list[Any]:
    """The entries of a list, vector, path or text: a path gives its prefixes, a text its lower-case words."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return []
    if kind is Kind.PATH:
        parts = [part.strip() for part in str(value).split("/") if part.strip()]
        return ["/".join(parts[: i + 1]) for i in range(len(parts))]
    if kind is Kind.TEXT:
        return "".join(c if c.isalnum() else " " for c in str(value).lower()).split()
    return list(value) if kind is Kind.VECTOR else [str(entry) for entry in value]


def cell_text(value: Any) -> str:
    """A scalar of JSON as a cell of text: a truth value is written as JSON writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def quoted(value: Any) -> str:
    """A value that came in JSON, short enough for an error."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    text = repr(value[:SHOWN]) if isinstance(value, str) else reprlib.repr(value)  # of a large one its beginning
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def in_quotes(value: Any) -> str:
    """What to do about a value of JSON where a text is asked for."""
    return f'Write "{cell_text(value)}", in quotes.' if isinstance(value, int) else "Send it as the data have it."


def clean(value: Any, dtype: str, length: int = 0) -> Any:
    """A raw value as the models take it: a missing string is "", a missing number NaN, a list is cut to `length`.

    Strings are without white space around them, as `ingest` reads them, and lists without empty ones.
    """
    if length and dtype == "string":
        return [text for part in (value if value is not None else ()) if (text := str(part).strip())][:length]
    if length:
        return [float(part) for part in (value if value is not None else ())][:length]
    if dtype == "string":
        return "" if value is None or (isinstance(value, float) and math.isnan(value)) else str(value).strip()
    if dtype == "int64":
        return int(value or 0)
    return math.nan if value is None else float(value)
