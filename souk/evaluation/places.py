"""How many places of a slate are looked at, and what is named by them: ten, or as many as a shorter slate has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from souk.evaluation.protocol import TOP
from souk.evaluation.verdict import CHALLENGER
from souk.metrics import parse_metric

SHOWN = (  # figures of what is shown
    *("ndcg", "coverage", "gini", "popularity", "novelty", "diversity", "top1_share", "new_share", "overlap"),
    *("value_per_slate", "value_share"),
)


def places_of(rolling: Mapping[str, Any]) -> int:
    """The places that are looked at: TOP, or as many as the shortest slates have.

    Args:
        rolling: that protocol of `metrics.json`.
    """
    return int(rolling["stages"][CHALLENGER]["k"])


def in_words(places: int) -> str:
    """`ten`, or a smaller number as it is."""
    return "ten" if places == TOP else str(places)


def shown(places: int) -> dict[str, str]:
    """The names of SHOWN in `metrics.json`."""
    return {kind: f"{kind}@{places}" for kind in SHOWN}


def headers(places: int) -> dict[str, str]:
    """The metrics of the report's tables, with their titles."""
    ranks = {name: name.upper() for name in (f"hr@{places}", f"ndcg@{places}", "mrr")}
    return ranks | {f"recall@{k}": f"Recall@{k}" for k in (10, 50, 100)}


def in_short(places: int) -> dict[str, str]:
    """Those of the summary."""
    return {name: title for name, title in headers(places).items() if name not in ("recall@10", "recall@50")}


def few_places(metrics: Mapping[str, Any]) -> str:
    """What is said where slates are shorter than TOP, and whether what decides looks beyond them; else "".

    Args:
        metrics: the content of `metrics.json`.
    """
    places, primary = places_of(metrics["protocols"]["rolling"]), metrics["primary"]
    if places == TOP:
        return ""
    kind, cutoff = parse_metric(primary)
    beyond = (
        f" {primary}, which decides, looks at {cutoff}, so what nobody is shown counts; `evaluate.primary: "
        f"{kind}@{places}` does not."
        if cutoff > places
        else ""
    )
    return f"Slates have {places} places, and figures of what is shown are of these.{beyond}"
