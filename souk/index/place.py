"""Where a collection lives: the folder of Milvus Lite or the address of a server. Loads neither."""

from __future__ import annotations

from souk import outputs

SEAL = "souk.json"  # of a folder that is whole


def is_lite(uri: str) -> bool:
    """Whether `uri` is a path, not the address of a server."""
    return "://" not in uri


def free_place(uri: str) -> None:
    """Sees that what a config names as `load_index.uri` may be built, and replaced.

    Raises:
        SoukError: it is a path where something stands that is no sealed folder.
    """
    if uri and is_lite(uri):
        remedy = "Leave load_index.uri out, or let it be the address of a server."
        outputs.free_artifact(uri, lambda place: (place / SEAL).is_file(), "a collection of Souk", remedy)
