"""Souk's own models on the same queries, in Souk's environment: the twin's two towers alone, and its slate."""

from __future__ import annotations

from pathlib import Path

from benchmarks.quality.ranks import views_of, write_ranks
from souk.evaluation.protocol import rank
from souk.evaluation.queries import rolling_queries
from souk.evaluation.twins import Slates, Towers
from souk.evaluation.windows import read_window
from souk.release.bundle import Bundle


def rank_twin(dataset: Path, twin: Path, output: Path, most: int) -> None:
    """Writes the ranks of `two_tower` and `slate`.

    Args:
        dataset: a folder with `tables` and `features`.
        twin: the bundle that was fitted without the test window.
        output: gets a Parquet file for each.
        most: queries of a user at most.
    """
    bundle = Bundle.load(twin)
    catalogue, window = read_window(dataset / "tables", dataset / "features", bundle.spec, "test")
    queries = rolling_queries(window, catalogue, bundle.spec, most)
    towers = Towers("two_tower", bundle, catalogue, bundle.spec).load()
    for scorer in (towers, Slates("slate", towers, dataset / "features").load()):
        write_ranks(output / f"{scorer.name}.parquet", scorer.name, views_of(rank(scorer, queries, catalogue), queries))
