"""The table: every model on the same test queries, and how far Souk is ahead of the best peer or behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from benchmarks.quality.peers import LAMBDAMART, PEERS
from benchmarks.quality.ranks import METRICS, VIEWS, by_user
from souk.errors import SoukError
from souk.metrics import Interval, bootstrap

SOUK = ("slate", "two_tower")
SAMPLES = 2000
SEED = 20
TITLES = {"all": "repeats allowed", "new": "new to the user only"}

Ranks = Mapping[str, Mapping[str, pd.DataFrame]]


def best_peer(tuned: Sequence[Mapping[str, Any]], view: str) -> str:
    """The peer whose best trial is first by the primary metric on VALIDATION, never on the test window."""
    entered = [peer for peer in tuned if view in peer["best"] and not peer.get("ranker")]
    if not entered:
        received = ", ".join(peer["name"] for peer in tuned) or "none"
        raise SoukError(f"a peer that ranks the whole catalogue ({TITLES[view]})", received, "Run `peers` with one.")
    return str(max(entered, key=lambda peer: peer["best"][view]["values"][view][METRICS[0]])["name"])


def compare(ranks: Ranks, tuned: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Metrics with intervals by view and model, and the paired differences to the best peer.

    Args:
        ranks: per model and view, from `read_ranks`.
        tuned: of each peer, `Tuned.to_json`.

    Returns:
        Per view `best_peer`, `queries`, `users`, `models` (model to metric to mean, low, high), `ahead` (of Souk's
        models: the difference to the best peer, by metric) and `less` (of all others: the slate's less theirs). Where
        the ranker's peer was run, `ranker` has the same on the queries whose candidates it was given.

    Raises:
        SoukError: models were asked different queries.
    """
    rankers = [peer["name"] for peer in tuned if peer.get("ranker") and peer["name"] in ranks]
    found: dict[str, Any] = {}
    for view in VIEWS:
        frames = {model: views[view] for model, views in ranks.items() if view in views}
        theirs = {model: frames.pop(model) for model in rankers if model in frames}
        if not frames:
            continue
        found[view] = _compared(frames, best_peer(tuned, view))
        for model, frame in theirs.items():
            own = {name: _among(frames[name], frame) for name in SOUK if name in frames}
            found[view]["ranker"] = _compared({model: frame, **own}, model)
    return found


def _compared(frames: Mapping[str, pd.DataFrame], best: str) -> dict[str, Any]:
    """Metrics of all models, Souk's less those of `best`, and the slate's less those of each other."""
    _same_queries(frames)
    users = {model: by_user(frame) for model, frame in frames.items()}
    ahead = {model: users[model] - users[best] for model in SOUK if model in users and best in users}
    slate = users.get(SOUK[0])
    less = {model: slate - own for model, own in users.items() if slate is not None and model != SOUK[0]}
    return {
        "best_peer": best,
        "queries": len(next(iter(frames.values()))),
        "users": len(next(iter(users.values()))),
        "models": {model: _intervals(table) for model, table in users.items()},
        "ahead": {model: _intervals(difference) for model, difference in ahead.items()},
        "less": {model: _intervals(difference) for model, difference in less.items()},
    }


def _among(frame: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """The queries of `frame` that `other` has too."""
    keys = set(zip(other["user_id"], other["timestamp"], strict=True))
    mine = zip(frame["user_id"], frame["timestamp"], strict=True)
    return frame[[key in keys for key in mine]]


def _intervals(table: pd.DataFrame) -> dict[str, dict[str, float]]:
    return {str(name): vars(bootstrap(table[name].to_numpy(), SAMPLES, SEED)) for name in table}


def _same_queries(frames: Mapping[str, pd.DataFrame]) -> None:
    """Refuses to compare answers to different questions."""
    asked = {
        model: sorted(zip(frame["user_id"], frame["timestamp"], frame["ranks"].map(len), strict=True))
        for model, frame in frames.items()
    }
    first, expected = next(iter(asked.items()))
    for model, queries in asked.items():
        if queries != expected:
            received = f"{len(expected):,} of {first}, {len(queries):,} of {model}, and they differ"
            raise SoukError("every model to be asked the same queries", received, "Rank both again on one data set.")


def table(found: Mapping[str, Any], tuned: Sequence[Mapping[str, Any]], view: str) -> list[list[str]]:
    """The rows of one view, best first, under a header."""
    known = {peer["name"]: peer for peer in tuned}
    models = found[view]["models"]
    order = sorted(models, key=lambda model: -models[model][METRICS[0]]["mean"])
    less = found[view]["less"]
    titles = (f"{name} [95%]" for name in METRICS)
    rows = [["model", *titles, f"slate less it, {METRICS[0]}", "validation", "trials", "tuning s", "setting"]]
    for model in order:
        peer = known.get(model)
        trial = peer["best"].get(view) if peer else None
        cells = [_text(models[model][name]) for name in METRICS]
        cells.append(_signed(less[model][METRICS[0]]) if model in less else "")
        if peer and trial:
            fits = len({str(t["settings"]) for t in peer["trials"]})
            chosen = ", ".join(f"{name} {value}" for name, value in trial["settings"].items())
            epochs = f"{trial['epochs']} epochs" if trial["epochs"] else ""
            setting = ", ".join(part for part in (chosen, epochs) if part)
            cells += [f"{trial['values'][view][METRICS[0]]:.4f}", str(fits), f"{peer['seconds']:.0f}", setting]
        else:
            cells += ["", "", "", ""]
        name = f"{model} (best peer)" if model == found[view]["best_peer"] else model
        rows.append([name, *cells])
    return rows


def verdicts(values: Mapping[str, Any]) -> list[str]:
    """A line for each of Souk's models: how far it is ahead of the best peer, and of the ranker's."""
    lines = [
        f"{model} - {values['best_peer']} ({values['users']:,} users): "
        + ", ".join(f"{name} {_signed(difference[name])}" for name in METRICS)
        for model, difference in values["ahead"].items()
    ]
    return [*lines, *(verdicts(values["ranker"]) if "ranker" in values else ())]


def not_run(values: Mapping[str, Any]) -> str:
    """The peers that a view has no ranks of, in words; "" where it has all."""
    ranked = {*values["models"], *values.get("ranker", {}).get("models", ())}
    missing = [peer.name for peer in (*PEERS, LAMBDAMART) if peer.name not in ranked]
    return f"Not run: {', '.join(missing)}." if missing else ""


def markdown(found: Mapping[str, Any], tuned: Sequence[Mapping[str, Any]]) -> str:
    """Both views as tables for docs/benchmarks.md."""
    parts = []
    for view, values in found.items():
        header, *rows = table(found, tuned, view)
        lines = [f"{TITLES[view]}: {values['queries']:,} queries of {values['users']:,} users", ""]
        lines += [_line(header), _line(["---", *["---:"] * (len(header) - 2), "---"]), *(_line(row) for row in rows)]
        lines += ["", *(f"- {line}" for line in (*verdicts(values), not_run(values)) if line)]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _text(value: Mapping[str, float]) -> str:
    interval = Interval(**value)
    return f"{interval.mean:.4f} [{interval.low:.4f}, {interval.high:.4f}]"


def _signed(value: Mapping[str, float]) -> str:
    interval = Interval(**value)
    return f"{interval.mean:+.4f} [{interval.low:+.4f}, {interval.high:+.4f}]"
