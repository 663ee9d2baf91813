"""Which index answers requests (decision 0007)."""

from __future__ import annotations

from souk.errors import unknown

KINDS = ("auto", "exact", "ivf", "hnsw", "milvus")
IVF_ITEMS = 100_000  # from here on the lists that hold 500 candidates are quicker than all products
IVF_FILE = "ivf.faiss"  # in an index artifact and a release


def chosen(kind: str, items: int, server: str = "") -> str:
    """`kind`; where it is `auto`, Milvus if a server of it is named, or else what is quickest for so many items.

    Raises:
        SoukError: there is no such kind.
    """
    if kind not in KINDS:
        raise unknown("an index", kind, KINDS)
    if kind != "auto":
        return kind
    if server:
        return "milvus"
    return "exact" if items < IVF_ITEMS else "ivf"
