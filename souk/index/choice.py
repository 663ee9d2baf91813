"""Which index answers requests (decision 0007)."""

from __future__ import annotations

from souk.errors import unknown

KINDS = ("auto", "exact", "hnsw", "milvus")
GRAPH_ITEMS = 300_000  # from here on a walk through a graph for 500 candidates is quicker than all products
GRAPH_FILE = "graph.faiss"  # in an index artifact


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
    return "exact" if items < GRAPH_ITEMS else "hnsw"
