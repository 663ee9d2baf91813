"""What a server reads and searches stays: it says so to `souk release prune`, and to the sweeps of its workspace and of
others."""

from __future__ import annotations

import logging
from pathlib import Path

from souk.index.interface import IndexUnavailable
from souk.index.server import mark, owner
from souk.release.in_use import say_needed, say_searched
from souk.release.manifest import NAME
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


def need(workspace: Workspace, folder: Path, name: str) -> None:
    """Says that a release is in use, if the workspace has it: models are read from it again where the process beside
    the server begins anew, and the next server of a cluster reads it, which is shown it under another path. What that
    fails at, as on a volume that only gives, is logged.

    Args:
        workspace: whose server this is.
        folder: of the release, with links resolved.
        name: its name.
    """
    within = folder.parent == workspace.releases.resolve()
    name = folder.name if within else name
    try:
        if within or (workspace.releases / name / NAME).exists():
            say_needed(workspace, name)
    except OSError as error:
        logger.info("%s is not marked as in use, and `souk release prune` may delete it: %s", name, error)
