"""How many requests and units came to each arm, and whether the arms came out as planned."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from souk.config.experiments import Experiment, Experiments
from souk.experiments import arms_of, number, sample_ratio_p
from souk.serving.slate import Slate

if TYPE_CHECKING:
    from souk.serving.arms import Arms

MOST_UNITS = 100_000  # of an experiment: more would tell nothing that these do not


@dataclass
class _Tally:
    """The units of an experiment, each with the arm that it was answered with first."""

    experiment: Experiment
    units: dict[int, str] = field(default_factory=dict)


class ArmCounts:
    """Counts answered slates by arm, and each unit of an experiment once, up to MOST_UNITS.

    An experiment whose definition changes is counted anew.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._slates: Counter[tuple[str, str]] = Counter()
        self._tallies: dict[str, _Tally] = {}

    def count(self, plan: Experiments, slates: Iterable[Slate]) -> None:
        """Counts slates that were answered under a plan."""
        if not plan.experiments:
            return
        with self._lock:
            for slate in slates:
                for name, arm in arms_of(slate.arm).items():
                    self._slates[name, arm] += 1
                    experiment = plan.experiments[name]
                    tally = self._tallies.get(name)
                    if tally is None or tally.experiment != experiment:
                        tally = self._tallies[name] = _Tally(experiment)
                    unit = slate.user_id if experiment.unit == "user" else slate.request_id
                    if len(tally.units) < MOST_UNITS:
                        tally.units.setdefault(number(name, unit), arm)

    @property
    def slates(self) -> dict[tuple[str, str], int]:
        """Slates by experiment and arm."""
        with self._lock:
            return dict(self._slates)

    def units(self) -> dict[str, tuple[Experiment, Counter[str]]]:
        """Of each experiment its definition, and its units by arm."""
        with self._lock:
            return {name: (t.experiment, Counter(t.units.values())) for name, t in self._tallies.items()}


class ArmMetrics(Collector):
    """What the experiments do, read when it is asked for."""

    def __init__(self, arms: Arms) -> None:
        self._arms = arms

    def collect(self) -> Iterator[Metric]:
        """Changes of the file, slates and units by arm, and the p value of each experiment's sample ratio."""
        changes = CounterMetricFamily("souk_experiment_changes", "Experiments files, by outcome", labels=["outcome"])
        changes.add_metric(["taken"], self._arms.taken)
        changes.add_metric(["refused"], self._arms.refused)
        yield changes
        slates = CounterMetricFamily("souk_arm_slates", "Slates by arm", labels=["experiment", "arm"])
        for names, count in self._arms.counts.slates.items():
            slates.add_metric(names, count)
        yield slates
        units = GaugeMetricFamily("souk_arm_units", "Users or requests by arm, once", labels=["experiment", "arm"])
        ratio = GaugeMetricFamily("souk_sample_ratio_p", "The p value of the arms' sizes", labels=["experiment"])
        for name, (experiment, counted) in self._arms.counts.units().items():
            for arm in experiment.arms:
                units.add_metric([name, arm], counted[arm])
            ratio.add_metric([name], sample_ratio_p(counted, experiment))
        yield units
        yield ratio
