"""Tunes each peer on the validation window with the same number of trials, and reads the test window once."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.quality.interactions import Decay, Histories, Interactions
from benchmarks.quality.peers import HALF_LIVES, Peer
from benchmarks.quality.popularity import RecentPopularity, Welcoming
from benchmarks.quality.ranks import METRICS, by_user, views_of
from souk.evaluation.baselines import Scorer
from souk.evaluation.protocol import rank
from souk.evaluation.queries import Catalogue, Query, rolling_queries
from souk.evaluation.windows import WindowName, read_window
from souk.folders import placed
from souk.spec import FeatureSpec

PRIMARY = METRICS[0]
PATIENCE = 2  # points without a better one in any view, after which a fit that goes in steps ends


@dataclass(frozen=True)
class Asked:
    """A window as a peer meets it.

    Args:
        catalogue: the items, as they were known at its start.
        past: what peers are fitted on.
        histories: of the queries.
        queries: of the window.
    """

    catalogue: Catalogue
    past: Interactions
    histories: Histories
    queries: Sequence[Query]

    @classmethod
    def read(cls, dataset: Path, spec: FeatureSpec, window: WindowName, most: int) -> Asked:
        """Reads a folder with `tables` and `features`; at most the first `most` queries of each user."""
        catalogue, users = read_window(dataset / "tables", dataset / "features", spec, window)
        queries = rolling_queries(users, catalogue, spec, most)
        return cls(catalogue, Interactions.of(catalogue), Histories.of(users, spec), queries)

    def drawn(self, users: int, seed: int) -> Asked:
        """The queries of so many users, drawn."""
        names = sorted({query.user_id for query in self.queries})
        if len(names) <= users:
            return self
        kept = set(np.random.default_rng(seed).choice(names, users, replace=False).tolist())
        return replace(self, queries=[query for query in self.queries if query.user_id in kept])

    def measured(self, scorer: Scorer) -> dict[str, pd.DataFrame]:
        """The ranks that a scorer gives the targets, by view."""
        return views_of(rank(scorer, self.queries, self.catalogue), self.queries)


@dataclass(frozen=True)
class Trial:
    """One setting of a peer on the validation window.

    Args:
        settings: of the scorer.
        epochs: of the fit; 0 where it has none.
        values: per view, each metric's mean over users.
        seconds: of the fit and the ranking, up to here.
    """

    settings: Mapping[str, Any]
    epochs: int
    values: Mapping[str, Mapping[str, float]]
    seconds: float


@dataclass(frozen=True)
class Tuned:
    """What a peer came to.

    Args:
        name: of the peer.
        trials: all that was measured on validation.
        best: the trial of each view.
        ranks: of the test window by view, each by its best trial's setting.
        seconds: of tuning.
        fit_seconds: of the fit whose ranks are those of the first view.
    """

    name: str
    trials: tuple[Trial, ...]
    best: Mapping[str, Trial]
    ranks: Mapping[str, pd.DataFrame]
    seconds: float
    fit_seconds: float

    def to_json(self) -> dict[str, Any]:
        """Everything but the ranks."""
        return {
            "name": self.name,
            "seconds": round(self.seconds, 1),
            "fit_seconds": round(self.fit_seconds, 1),
            "best": {view: _record(trial) for view, trial in self.best.items()},
            "trials": [_record(trial) for trial in self.trials],
        }


def tune(
    peer: Peer,
    validation: Asked,
    test: Asked,
    trials: int,
    seed: int,
    clock: Callable[[], float] = time.monotonic,
    report: Callable[[str], None] = lambda text: None,
    kept: Path | None = None,
    minutes: float = math.inf,
) -> Tuned:
    """Tries settings on validation, refits the best of each view on all before the test window, and ranks its queries.

    Args:
        peer: what to tune.
        validation: fitted and asked for choosing.
        test: fitted and asked once for each view's best setting.
        trials: settings at most.
        seed: of the draw of settings.
        clock: seconds.
        report: takes a line of progress.
        kept: a file of finished settings, so that a run that is stopped goes on; of these windows, this draw and code.
        minutes: of tuning after which no further setting is begun; one that was begun is finished.
    """
    began = clock()
    found: list[Trial] = []
    finished = _read(kept)
    life = half_life(validation) if peer.personal else None
    drawn = peer.trials(trials, seed)
    for number, settings in enumerate(drawn, 1):
        if same := [trial for trial in finished if _plain(trial.settings) == _plain(settings)]:
            found += [replace(trial, settings=settings) for trial in same]
            began -= same[-1].seconds
            report(f"{peer.name} {number}/{len(drawn)}: finished before")
            continue
        if found and clock() - began >= 60 * minutes:
            report(f"{peer.name}: {minutes:g} minutes are over after {number - 1} of {len(drawn)} settings")
            break
        start, first = clock(), len(found)
        for epochs, scorer in _fitted(peer, validation, settings, peer.epochs, life):
            frames = validation.measured(scorer)
            means = {view: by_user(frame).mean() for view, frame in frames.items()}
            values = {view: {name: float(mean[name]) for name in METRICS} for view, mean in means.items()}
            found.append(Trial(settings, epochs, values, clock() - start))
            passes = f", {epochs} epochs" if epochs else ""
            value, most = values["all"][PRIMARY], max(trial.values["all"][PRIMARY] for trial in found)
            report(f"{peer.name} {number}/{len(drawn)}{passes}: {PRIMARY} {value:.4f}, best {most:.4f}")
            if over(found[first:]):
                break
        _write(kept, found)
    best = {view: max(found, key=lambda trial: trial.values[view][PRIMARY]) for view in found[0].values}
    seconds, ranks, fit_seconds = clock() - began, {}, 0.0
    for view, trial in best.items():
        if view in ranks:
            continue
        start = clock()
        _, scorer = list(_fitted(peer, test, trial.settings, (trial.epochs,) if trial.epochs else (), life))[-1]
        fit_seconds = fit_seconds or clock() - start
        frames = test.measured(scorer)
        ranks.update({other: frames[other] for other in frames if best.get(other) is trial})
    return Tuned(peer.name, tuple(found), best, ranks, seconds, fit_seconds)


def over(points: Sequence[Trial]) -> bool:
    """Whether no view had its best value at one of the last points: a fit goes on while one of them gets better."""
    best = (np.argmax([point.values[view][PRIMARY] for point in points]) for view in points[0].values)
    return all(len(points) - 1 - at >= PATIENCE for at in best)


def _read(kept: Path | None) -> list[Trial]:
    """The trials of finished settings."""
    text = kept.read_text(encoding="utf-8") if kept is not None and kept.exists() else "[]"
    return [Trial(**trial) for trial in json.loads(text)]


def _write(kept: Path | None, trials: Sequence[Trial]) -> None:
    """Keeps what is finished; whole, whenever the run is killed."""
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with placed(kept) as fresh:
            fresh.write_text(json.dumps([_record(trial) for trial in trials]), encoding="utf-8")


def half_life(validation: Asked) -> float:
    """That of the popularity (days; 0 for none) which serves the window's users without a history best."""
    asked = replace(validation, queries=[query for query in validation.queries if not len(query.history)])
    if not asked.queries:
        return 0.0
    lives = (0.0, *HALF_LIVES)
    frames = [asked.measured(RecentPopularity(asked.past, asked.histories, life))["all"] for life in lives]
    values = [by_user(frame)[PRIMARY].mean() for frame in frames]
    return lives[int(np.argmax(values))]


def _fitted(
    peer: Peer, asked: Asked, settings: Mapping[str, Any], epochs: Sequence[int], life: float | None
) -> Iterator[tuple[int, Scorer]]:
    """The peer after each number of epochs; with a half-life `life`, that of what newcomers get."""
    scorer = peer.load()(asked.past, asked.histories, **settings)
    for done, each in scorer.stages(epochs) if epochs else [(0, scorer)]:
        popular = None if life is None else RecentPopularity(asked.past, asked.histories, life)
        yield done, Welcoming(each, popular) if popular else each


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON has them."""
    return {name: str(value) if isinstance(value, Decay) else value for name, value in settings.items()}


def _record(trial: Trial) -> dict[str, Any]:
    return {
        "settings": _plain(trial.settings),
        "epochs": trial.epochs,
        "values": trial.values,
        "seconds": round(trial.seconds, 1),
    }
