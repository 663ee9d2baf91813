"""Nearest-neighbour search over item vectors: one interface, exact and HNSW in process, and Milvus.

An item is known here by its position, its row in the release's `items.parquet`; ids stay outside.
"""
