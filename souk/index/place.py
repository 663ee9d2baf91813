"""Where a collection lives: the folder of Milvus Lite or the address of a server. Loads neither."""

from __future__ import annotations

import re

from souk.config.tables import MILVUS, MILVUS_WORDS
from souk.errors import SoukError, shown

SEAL = "souk.json"  # of a folder that is whole


def is_lite(uri: str) -> bool:
    """Whether `uri` is a path, not the address of a server."""
    return "://" not in uri


def check_server(uri: str) -> None:
    """Sees that what a command was told to search is a server: `localhost:19530` would be a path.

    Raises:
        SoukError: it is neither empty nor an address.
    """
    if uri and not re.fullmatch(MILVUS, uri):
        raise SoukError(MILVUS_WORDS, repr(shown(uri)), "Write http://localhost:19530, for instance.")
