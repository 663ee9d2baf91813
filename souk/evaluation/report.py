"""What people read of an evaluation: the summary, one table, and the report, one page with plots."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from souk import outputs
from souk.evaluation import plots
from souk.evaluation.asked import LAST_OUT, drawn, window
from souk.evaluation.at_a_glance import at_a_glance, few_users, too_good
from souk.evaluation.behind import behind, large, most_behind, signed
from souk.evaluation.business import not_told
from souk.evaluation.few_items import few_items
from souk.evaluation.guardrails import NO_CHAMPION
from souk.evaluation.page import PAGE
from souk.evaluation.places import few_places, headers, in_short, in_words, places_of, shown
from souk.evaluation.sessions import of_the_last_item
from souk.evaluation.skill import far_off, unmeasured, without_skill
from souk.evaluation.slice_metrics import LEAST_USERS
from souk.evaluation.stages import gone
from souk.evaluation.verdict import CHALLENGER, CHAMPION, Rule, Verdict
from souk.folders import placed
from souk.metrics import LEAST_USERS as LEAST_OF_A_LEAD

OUTCOMES = {
    "promote": "promoted",
    "reject": "rejected",
    "unchanged": "unchanged: the models are those of the champion",
    "not_comparable": "not comparable with the champion",
}


def summary(metrics: Mapping[str, Any], verdict: Verdict | None) -> str:
    """Markdown: the main table, aligned, with what it rests on, where positives are lost, and the verdict, if any."""
    rolling, frozen = metrics["protocols"]["rolling"], metrics["protocols"]["frozen"]
    places, columns = places_of(rolling), in_short(places_of(rolling))
    header = ("model", *columns.values(), "coverage")
    rows = [
        (name, *(f"{values[m]['mean']:.4f}" for m in columns), f"{values[f'coverage@{places}']:.1%}")
        for name, values in rolling["models"].items()
    ]
    primary = metrics["primary"]
    ahead = ", ".join(f"{name} {values[primary]['mean']:.4f}" for name, values in frozen["models"].items())
    return "\n".join(
        [
            *_aligned(header, rows),
            "",
            f"{rolling['queries']} queries of {rolling['users']} users{drawn(metrics)} in the test window"
            f"{f' ({LAST_OUT})' if metrics.get('last_out') else ''}; each "
            f"ranks the items that were there by then, of {metrics['items']} in all. {few_items(metrics)}".rstrip(),
            *filter(None, [few_places(metrics)]),
            f"{primary} with everything frozen at the window's start ({frozen['users']} users): {ahead}."
            + _lead(frozen, primary),
            *filter(None, [of_the_last_item(rolling["continued"])]),
            *_of_visitors(metrics["protocols"].get("sessions"), primary),
            *_by_novelty(rolling["slices"], primary),
            f"{_lead(rolling, primary)} {few_users(rolling['users'])}".strip(),
            *filter(None, [too_good(rolling, primary)]),
            f"Of {rolling['stages'][CHALLENGER]['positives']} positives: {lost(rolling['stages'][CHALLENGER])}.",
            *filter(None, [gone(rolling["stages"][CHALLENGER])]),
            *_of_heads(metrics),
            *_least(rolling["worst_slices"], primary),
            *most_behind(rolling["slices"], primary),
            *([f"The champion of these figures is {metrics['champion']}."] if CHAMPION in rolling["models"] else []),
            *_of_the_gate(metrics, verdict),
            "",
        ]
    )


def _by_novelty(slices: Mapping[str, Any], primary: str) -> list[str]:
    """A line for what is new to a user and one for what is not, where users come back to items."""
    return [
        f"{primary} on items {name}: "
        + ", ".join(f"{model} {values[primary]['mean']:.4f}" for model, values in slices[name]["models"].items())
        + "."
        for name in ("new to the user", "engaged with before")
        if name in slices
    ]


def _of_visitors(sessions: Mapping[str, Any] | None, primary: str) -> list[str]:
    """A line for what visitors would get, where somebody asks in a session."""
    if sessions is None:
        return []
    ahead = ", ".join(f"{name} {values[primary]['mean']:.4f}" for name, values in sessions["models"].items())
    return [
        f"{primary} for visitors, of whom only the session is known ({sessions['queries']} queries from "
        f"{sessions['users']} users, averaged by user): {ahead}.{_lead(sessions, primary)} "
        f"{_with_all_known(sessions, primary)}"
    ]


def _lead(protocol: Mapping[str, Any], primary: str) -> str:
    """The slate beside the best baseline under a protocol; "" of metrics of before, which tell it of one alone."""
    if "best_baseline" not in protocol:
        return ""
    best = protocol["best_baseline"]
    return f" Slate less {best}, the best baseline: {primary} {signed(protocol['differences'][best][primary])}."


def _with_all_known(sessions: Mapping[str, Any], primary: str) -> str:
    """What the slate gets of the queries of visitors, asked by the users who they are."""
    known = sessions["known"][CHALLENGER][primary]
    return (
        f"With all that is known of these users, the slate's {primary} is {known['mean']:.4f} (95% {interval(known)}) "
        "on the same queries, averaged likewise."
    )


def _of_heads(metrics: Mapping[str, Any]) -> list[str]:
    """A sentence for each head of the ranker that serves the same for everything, is not measured, tells nothing, or is
    far from what came: what helps."""
    found = metrics["ranker"][CHALLENGER]["heads"]
    heads = metrics["not_learned"]
    said = [f"{head} is not learned: {why}." for head, why in heads.items()]
    return said + unmeasured(found) + without_skill(found, heads) + far_off(found)


def lost(stages: Mapping[str, Any]) -> str:
    """The shares of the positives that are kept, and lost at each stage; those of filtering by cause, too."""
    parts = [f"{share:.1%} in {stage}" for stage, share in stages["shares"].items() if stage != "kept"]
    causes = [f"{share:.1%} {cause}" for cause, share in stages["causes"].items() if share]
    parts[0] += f" ({', '.join(causes)})" if causes else ""
    return f"{stages['shares']['kept']:.1%} kept, lost {', '.join(parts)}"


def _least(worst: Mapping[str, Any], primary: str) -> list[str]:
    return [
        f"Least {primary} of {side}s: {worst[side]['name']}, {worst[side]['mean']:.4f} ({worst[side]['users']} users), "
        f"{worst[side]['gap']:+.4f} from the whole."
        for side in ("user", "item")
        if side in worst
    ]


def _of_the_gate(metrics: Mapping[str, Any], verdict: Verdict | None) -> list[str]:
    if not verdict:
        return []
    return ["", f"Gate: {OUTCOMES[verdict.outcome]}. {verdict.reason} {_of_before(metrics, verdict)}".rstrip()]


def _of_before(metrics: Mapping[str, Any], verdict: Verdict | None) -> str:
    """A sentence where the figures are those that a release had when it was the challenger; else "".

    Of an unchanged release nothing is measured, and the champion of its figures is the one before it.
    """
    if not verdict or verdict.outcome != "unchanged" or not metrics["champion"]:
        return ""
    return f"The figures are those of when it was judged beside {metrics['champion']}."


def page(metrics: Mapping[str, Any], verdict: Verdict | None) -> str:
    """The report: a self-contained HTML page.

    Args:
        metrics: the content of `metrics.json`.
        verdict: the gate's, where it was asked.
    """
    rolling, sessions = metrics["protocols"]["rolling"], metrics["protocols"].get("sessions")
    places = places_of(rolling)
    trained = {name: history for name, history in metrics["training"].items() if history}
    calibrated = {name: bins for name, bins in metrics["calibration"].items() if bins}
    said = at_a_glance(rolling, metrics["champion"])
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters |= {"signed": signed, "interval": interval, "tenths": tenths, "tone": tone}
    return environment.from_string(PAGE).render(
        metrics=metrics,
        at_a_glance=f"{said} {too_good(rolling, metrics['primary'])}".strip(),
        rolling=rolling,
        ours=CHALLENGER,
        served=CHAMPION,
        verdict=verdict,
        rules=by_reason(verdict.rules) if verdict else [],
        outcome=OUTCOMES[verdict.outcome] if verdict else "",
        of_before=_of_before(metrics, verdict),
        beside=f"{metrics['champion']} stands as the champion" if CHAMPION in rolling["models"] else NO_CHAMPION,
        headers=headers(places),
        shown=shown(places),
        first=in_words(places),
        few_places=few_places(metrics),
        least_users=LEAST_USERS,
        window=window(metrics),
        lost=lost(rolling["stages"][CHALLENGER]),
        gone=gone(rolling["stages"][CHALLENGER]),
        drawn=drawn(metrics).rstrip(","),
        few_items=few_items(metrics),
        few_users=few_users(rolling["users"]),
        of_the_last_item=of_the_last_item(rolling["continued"]),
        of_heads=_of_heads(metrics),
        with_all_known=_with_all_known(sessions, metrics["primary"]) if sessions else "",
        not_told=not_told(rolling["business"]),
        families=_families(rolling["slices"]),
        most_behind=most_behind(rolling["slices"], metrics["primary"]),
        behind=behind(large(rolling["slices"]), CHAMPION),
        large=len(large(rolling["slices"])),
        pictures={
            "metrics": plots.metric_bars(rolling["models"], [*in_short(places)]),
            "recall": plots.recall_curves(rolling["recall_curve"]),
            "popularity": plots.popularity_curve(rolling["popularity_curve"], in_words(places)),
            "stages": plots.stage_bars(rolling["stages"]),
            "training": plots.learning_curves(trained) if trained else "",
            "pareto": plots.pareto(metrics["pareto"]) if metrics["pareto"] else "",
            "reranking": plots.reranking(rolling["reranking"], places) if rolling["reranking"] else "",
            "calibration": plots.calibration(calibrated) if calibrated else "",
        },
    )


def write_evaluation(folder: Path, metrics: Mapping[str, Any], per_user: pd.DataFrame, verdict: Verdict | None) -> None:
    """Writes all that is kept of an evaluation, whole or not at all: see docs/evaluation.md.

    Args:
        folder: where; an earlier evaluation is replaced.
        metrics: the content of `metrics.json`.
        per_user: a row per user and model.
        verdict: the gate's, where it was asked.

    Raises:
        SoukError: something else stands there.
    """
    outputs.free_folder(folder)
    texts = {
        "metrics.json": json.dumps(metrics, indent=1),
        "summary.md": summary(metrics, verdict),
        "report.html": page(metrics, verdict),
        **({"verdict.json": verdict.to_json()} if verdict else {}),
    }
    with placed(folder) as place:
        place.mkdir()
        for file, text in texts.items():
            (place / file).write_text(text, encoding="utf-8")
        per_user.to_parquet(place / "per_user.parquet", index=False)
        outputs.mark(place)


def _families(slices: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, Any]]]]:
    """The slices by what divides them, in their order."""
    return [(family, list(parts)) for family, parts in groupby(slices.items(), key=lambda part: part[1]["family"])]


def interval(value: Mapping[str, float], digits: int = 4) -> str:
    """The bounds of an interval."""
    return f"{value['low']:.{digits}f} to {value['high']:.{digits}f}"


def by_reason(rules: Sequence[Rule]) -> list[tuple[str, Rule]]:
    """The rules with their names; those that were not asked for one reason are one, with all their names."""
    same: dict[str, list[Rule]] = {}
    for rule in rules:
        same.setdefault(rule.detail if rule.skipped else rule.name, []).append(rule)
    return [(", ".join(rule.name for rule in part), part[0]) for part in same.values()]


def tenths(head: Mapping[str, float], digits: int = 3) -> str:
    """The least and the greatest `predicted_over_observed` of the tenths of the predictions that tell it; once, where
    they print alike, as of one tenth."""
    bounds = (f"{head[f'predicted_over_observed_{end}']:.{digits}f}" for end in ("low", "high"))
    return f"by tenth: {' to '.join(dict.fromkeys(bounds))}"


def tone(value: Mapping[str, float], users: int) -> str:
    """Whether a difference is beyond chance: `better`, `worse`, or "" where its interval holds 0, or is of too few
    users to tell."""
    if users < LEAST_OF_A_LEAD:
        return ""
    return "better" if value["low"] > 0 else "worse" if value["high"] < 0 else ""


def _aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table whose columns line up in a terminal: names to the left, numbers to the right."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        first, *numbers = cells
        return " | ".join([first.ljust(widths[0]), *(n.rjust(w) for n, w in zip(numbers, widths[1:], strict=True))])

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return [f"| {line(cells)} |" for cells in (header, rule, *rows)]
