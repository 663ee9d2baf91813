"""What a server searches on a Milvus server stays there: it says so to the sweeps of its workspace and of others."""

from __future__ import annotations

import logging

from souk.index.interface import IndexUnavailable
from souk.index.server import mark, owner
from souk.release.collections import say_searched
from souk.workspace import Workspace

logger = logging.getLogger(__name__)


def keep(workspace: Workspace, uri: str, collection: str) -> None:
    """Says that a collection is in use. What that fails at is logged: a search does without.

    Args:
        workspace: whose server this is.
        uri: the address of the Milvus server.
        collection: its name.
    """
    try:
        say_searched(workspace, collection)
        mark(uri, collection, owner(workspace.milvus))
    except (IndexUnavailable, OSError) as error:
        logger.warning("%s is not marked as in use, and a deploy may drop it: %s", collection, error)
