"""Everything that an evaluation measures: all models, both protocols, slices, stages, the ranker, the shop."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from souk.config import Evaluate
from souk.errors import SoukError
from souk.evaluation import business
from souk.evaluation.baselines import BASELINES, Scorer, baselines
from souk.evaluation.cost import Cost
from souk.evaluation.examples import example_users
from souk.evaluation.exposure import popularity_curve
from souk.evaluation.gate import Champion
from souk.evaluation.gone_columns import gone_columns
from souk.evaluation.later_items import later_items
from souk.evaluation.observed import Observed, draw
from souk.evaluation.places import places_of
from souk.evaluation.protocol import METRICS, TOP, Ranking, Users, rank_all, recall_curves
from souk.evaluation.queries import Asked, Query, ask, frozen_queries, nothing_asked
from souk.evaluation.reranking import Alternatives
from souk.evaluation.sessions import continued, of_queries, session_queries
from souk.evaluation.setting import Setting, Tell
from souk.evaluation.shown import read_shown
from souk.evaluation.slice_metrics import measure_slices, segment_gaps, user_losses, worst
from souk.evaluation.slices import Targets, slices_of
from souk.evaluation.stages import attribution, gone
from souk.evaluation.summary import differences, summarise
from souk.evaluation.verdict import CHALLENGER, CHAMPION
from souk.items import ItemTable
from souk.progress import report
from souk.release.bundle import Bundle

FORMAT = 15  # of `metrics.json`
SETTINGS = ("primary", "max_users", "max_queries_per_user", "bootstrap")  # those that decide what is measured
SUMMARY = ("queries", "users", "models", "differences", "best_baseline")  # of each protocol
SLICE_METRICS = ("hr@10", "ndcg@10", "mrr", "recall@100")


class ObservedScorer(Scorer, Protocol):
    """A scorer that ranks candidates and keeps what was seen of them, and what it took.

    Args:
        observing: whether it does: it is turned off once all is read that is told of what was seen.
    """

    observing: bool
    observed: Observed
    alternatives: Alternatives
    cost: Cost


def measure(
    settings: Evaluate, bundle: Bundle, champion: Champion, tables: Path, features: Path, tell: Tell = report
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Ranks the catalogue with every model under both protocols.

    Returns:
        The content of `metrics.json`, and a row per user and model under the rolling protocol.
    """
    tell("loading the models")
    from souk.evaluation.twins import Slates, Towers  # TensorFlow: not for a verdict of `unchanged`

    served = Bundle.load(champion.twin) if champion.twin else None
    context = [feature.source for feature in served.spec.context] if served else []
    setting = Setting.read(settings, bundle.spec, tables, features, tell, context)
    catalogue, spec = setting.catalogue, setting.spec

    def towers_of(name: str, bundle: Bundle) -> Towers:
        later = later_items(bundle, spec, tables, features)
        without = {table: gone_columns(table, bundle.spec, spec, tables) for table in ("events", "users", "items")}
        if told := later.text:
            tell(f"{name}: {told}")
        return Towers(name, bundle, catalogue, spec, later, without).load()

    towers = towers_of("two_tower", bundle)
    slates = [Slates(CHALLENGER, towers, features).load()]
    lacks: list[str] = []
    if served:
        other = towers_of(CHAMPION, served)
        slates.append(Slates(CHAMPION, other, features).load())
        lacks = other.lacks
        if lacks:
            tell(f"{CHAMPION}: asked without {', '.join(lacks)}, which this config does not declare as it did")
    none = np.zeros((len(catalogue.ids), 0))  # baselines look at no vectors
    items = ItemTable.load(features, "test_start", none, ease=False)
    metrics, per_user = measure_models(setting, slates, [towers, *baselines(catalogue, spec, items)])
    return metrics | {"champion": champion.name, "champion_lacks": lacks}, per_user


def measure_models(
    setting: Setting, slates: Sequence[ObservedScorer], others: Sequence[Scorer]
) -> tuple[dict[str, Any], pd.DataFrame]:
    """`measure` of models that are loaded.

    Args:
        setting: the data.
        slates: CHALLENGER and, where there is one, CHAMPION; asked nothing before.
        others: the models beside them, some of BASELINES among them.
    """
    scorers = [*slates, *others]
    setting = replace(setting, places=min(TOP, *(each.alternatives.size for each in slates)))
    rolling, per_user, asked = _rolling(setting, scorers, slates)
    ranker = _of_ranker(slates, setting)
    for each in slates:
        each.observing = False
    if setting.window.end - setting.window.start > 1:
        queries = frozen_queries(setting.window, setting.catalogue, setting.spec)
        frozen, _, _ = _summary("frozen", setting, queries, scorers)
    else:  # a moment, as of leave-last-out: everything is asked at its start anyway
        frozen = {name: rolling[name] for name in SUMMARY}
    sessions = _sessions(setting, *asked, scorers)
    return {
        "format": FORMAT,
        "dataset": setting.spec.dataset,
        "primary": setting.settings.primary,
        "settings": {key: getattr(setting.settings, key) for key in SETTINGS},
        "items": setting.items,
        "users": {"engaging": setting.window.engaging, "drawn": len(setting.window.events)},
        "test_start": setting.window.start,
        "last_out": setting.window.last_out,
        "champion": "",
        "champion_lacks": [],
        "training": {},
        "pareto": [],
        "not_learned": {},
        "protocols": {"rolling": rolling, "frozen": frozen, **sessions},
        "cost": {each.name: each.cost.measure() for each in slates},
        **ranker,
    }, per_user


def main_metrics(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The figures that the Pipelines UI shows."""
    rolling = metrics["protocols"]["rolling"]
    values = {f"{model}_{m}": v[m]["mean"] for model, v in rolling["models"].items() for m in METRICS}
    shown = f"coverage@{places_of(rolling)}"
    coverage = {f"{model}_{shown}": v[shown] for model, v in rolling["models"].items()}
    return {**values, **coverage, "queries": float(rolling["queries"]), "users": float(rolling["users"])}


def _rolling(
    setting: Setting, scorers: Sequence[Scorer], slates: Sequence[ObservedScorer]
) -> tuple[dict[str, Any], pd.DataFrame, tuple[list[Query], list[Ranking]]]:
    """All that is told of the rolling protocol, the metrics of each user, the queries and what was made of them."""
    asked = ask(setting.window, setting.catalogue, setting.spec, setting.settings.max_queries_per_user)
    if not asked.queries:
        raise nothing_asked(asked)
    queries, samples, primary = asked.queries, setting.settings.bootstrap, setting.settings.primary
    places = setting.places
    taken = (event for query in queries for event in query.target_events)
    shown = read_shown(setting.features, setting.catalogue.position, taken)
    for each in slates:
        each.observed.slates, each.observed.drawn = shown, draw(len(queries))
    found, rankings, per_user = _summary("rolling", setting, queries, scorers)
    targets, users = Targets.of(queries), Users.of(queries)
    parts = slices_of(targets, setting.catalogue, setting.content, setting.spec)
    names = tuple(dict.fromkeys((*SLICE_METRICS, primary)))
    sliced = measure_slices(parts, targets, rankings, names, primary, samples)
    own = {ranking.name: ranking for ranking in rankings}
    twins = (own[CHALLENGER], own[CHAMPION]) if CHAMPION in own else None
    stages = {each.name: _stages(own[each.name], each, asked, places) for each in slates}
    if warning := gone(stages[CHALLENGER]):
        setting.tell(warning)
    events = business.window_events(setting.tables, setting.window)
    dated = not setting.window.last_out  # else of each user's orders and slates one engagement is there
    return found | {
        "unanswered": asked.unanswered,
        "recall_curve": recall_curves(rankings, users),
        "popularity_curve": popularity_curve(rankings, queries, users, setting.catalogue),
        "slices": sliced,
        "against_champion": user_losses(parts, targets, *twins, primary, samples) if twins else {},
        "parity": segment_gaps(sliced, setting.spec, CHALLENGER, primary),
        "worst_slices": worst(sliced, CHALLENGER, primary, found["models"][CHALLENGER][primary]["mean"]),
        "stages": stages,
        "continued": continued(queries, setting.window, setting.catalogue.position),
        "reranking": slates[0].alternatives.price(
            queries, setting.catalogue, setting.content, samples, places
        ),
        f"overlap@{places}": _overlap(*twins, users) if twins else None,
        "business": {
            "window": business.figures(events, setting.spec) if dated else {},
            "unknown": business.unknown(events, setting.spec) if dated else {},
            "models": business.value_per_slate(rankings, queries, events, setting.content, samples),
            "valued": business.VALUED,
        },
        "examples": example_users(
            rankings, queries, setting.catalogue, setting.content, [CHALLENGER, CHAMPION]
        ),
    }, per_user, (queries, rankings)  # fmt: skip


def _sessions(
    setting: Setting, queries: Sequence[Query], rankings: Sequence[Ranking], scorers: Sequence[Scorer]
) -> dict[str, Any]:
    """What visitors would get, beside what the same queries got as they were; nothing where nobody has a session.

    Both are averaged by the users whose sessions these are.
    """
    places, asked = session_queries(queries, setting.catalogue.position, setting.spec)
    if not asked:
        return {}
    own = [queries[place] for place in places]
    found, _, _ = _summary("sessions", setting, asked, scorers, own)
    known = [of_queries(ranking, places) for ranking in rankings]
    bounds = (setting.metrics, setting.settings.bootstrap)
    models, _ = summarise(known, own, setting.catalogue, setting.content, *bounds)
    return {"sessions": found | {"known": models}}


def _summary(
    name: str, setting: Setting, queries: Sequence[Query], scorers: Sequence[Scorer], own: Sequence[Query] = ()
) -> tuple[dict[str, Any], list[Ranking], pd.DataFrame]:
    """What the models make of `queries`, averaged by who asks; `own`, where it is another who asks than they say."""
    own = own or queries
    users = len({query.user_id for query in own})
    if not queries:
        raise SoukError("engagements in the test window", "none that could be recommended", "Enlarge split.test.")
    setting.tell(f"{name}: {len(queries):,} queries of {users:,} users, {setting.items:,} items")
    asked = f"{len(queries):,} queries"
    rules = [scorer for scorer in scorers if scorer.name in BASELINES]
    learned = [scorer for scorer in scorers if scorer not in rules]
    rankings = rank_all(
        learned,
        queries,
        setting.catalogue,
        lambda done: setting.tell(f"{name}: {done:,} of {asked}"),
        rules,
        setting.places,
    )
    setting.tell(f"{name}: all answered, measuring")
    bounds = (setting.metrics, setting.settings.bootstrap)
    models, per_user = summarise(rankings, own, setting.catalogue, setting.content, *bounds)
    figure = setting.settings.primary
    best = max(models.keys() & {*BASELINES}, key=lambda model: (models[model][figure]["mean"], model))
    beside = {
        "differences": differences(per_user, CHALLENGER, setting.settings.bootstrap),
        "best_baseline": best,
    }
    found = {"queries": len(queries), "users": users, "models": models, **beside}
    return {name: found[name] for name in SUMMARY}, rankings, per_user


def _stages(ranking: Ranking, slates: ObservedScorer, asked: Asked, places: int) -> dict[str, Any]:
    first = [ranks <= places for ranks in slates.observed.ranked]
    return attribution(ranking.ranks, slates.observed.found, first, asked.causes, asked.unavailable, places)


def _of_ranker(slates: Sequence[ObservedScorer], setting: Setting) -> dict[str, Any]:
    """The rankers on the candidates of the queries; the bins of the challenger's calibration for the plot."""
    heads = {head for each in slates for head in each.observed.given}
    labels = _labels(setting.features, heads)
    return {
        "calibration": slates[0].observed.calibration(labels),
        "ranker": {each.name: each.observed.measure(labels, setting.settings.bootstrap) for each in slates},
    }


def _labels(features: Path, heads: Collection[str]) -> dict[str, dict[str, int]]:
    """By head and event the labels that are known by now."""
    path = features / "examples.parquet"
    present = set(pq.read_schema(path).names)
    table = pq.read_table(path, columns=["event_id", *sorted(present.intersection(heads))]).to_pydict()
    events = table.pop("event_id")
    return {
        head: {event: label for event, label in zip(events, column, strict=True) if label in (0, 1)}
        for head, column in table.items()
    }


def _overlap(ours: Ranking, theirs: Ranking, users: Users) -> float:
    """The share of the first items that both models show, where users weigh the same."""
    both = [
        len(np.intersect1d(a[a >= 0], b)) / max(1, (a >= 0).sum()) for a, b in zip(ours.top, theirs.top, strict=True)
    ]
    return float(np.array(both) @ users.weights)
