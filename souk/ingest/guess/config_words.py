"""Names and values as a config has them."""

from __future__ import annotations

import json
import re
from collections.abc import Collection

# Words that YAML reads as something else, and `yes` as a `True` that no row of the file has.
YAML_WORDS = ("true", "false", "yes", "no", "on", "off", "null", "y", "n")


def quoted(text: str) -> str:
    """A YAML scalar."""
    plain = re.fullmatch(r"[A-Za-z_/][\w./-]*", text) and text.lower() not in YAML_WORDS
    return text if plain else json.dumps(text, ensure_ascii=False)


def listed(texts: Collection[str]) -> str:
    """A YAML scalar, or a list of several."""
    scalars = [quoted(text) for text in texts]
    return scalars[0] if len(scalars) == 1 else f"[{', '.join(scalars)}]"


def skipping(column: str, texts: Collection[str]) -> str:
    """The `skip` of a table that leaves the rows of these values out."""
    return f"skip: {{{quoted(column)}: {listed(texts)}}}"
