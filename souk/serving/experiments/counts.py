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
    from souk.serving.experiments.arms import Arms

MOST_UNITS = 100_000  # of an experiment: more would tell nothing that these do not


@dataclass
class _Tally:
    """The units of an experiment, each with the arm that it was answered with first."""

    experiment: Experiment
    units: dict[int, str] = field(default_factory=dict)
    arms: Counter[str] = field(default_factory=Counter)

    def count(self, unit: int, arm: str) -> None:
        """Counts a unit, if it is a new one and there is room."""
        if len(self.units) < MOST_UNITS and unit not in self.units:
            self.units[unit] = arm
            self.arms[arm] += 1


class ArmCounts:
    """Counts answered slates by arm, and each unit of an experiment once, up to MOST_UNITS.

    An experiment whose definition changes is counted anew, and one that is no more is forgotten.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._plan = Experiments()
        self._slates: Counter[tuple[str, str]] = Counter()
        self._tallies: dict[str, _Tally] = {}

    def keep(self, plan: Experiments) -> None:
        """These are the experiments from now on."""
        with self._lock:
            self._plan, known = plan, plan.experiments
            self._tallies = {
                name: tally for name, tally in self._tallies.items() if tally.experiment == known.get(name)
            }
            for name, arm in [*self._slates]:
                if name not in known or arm not in known[name].arms:
                    del self._slates[name, arm]

    def count(self, plan: Experiments, slates: Iterable[Slate]) -> None:
        """Counts slates that were answered under a plan."""
        if not plan.experiments:
            return
        with self._lock:
            for slate in slates:
                for name, arm in arms_of(slate.arm).items():
                    experiment = plan.experiments[name]
                    if self._plan.experiments.get(name) != experiment:
                        continue  # it was answered under a plan that is no more
                    self._slates[name, arm] += 1
                    tally = self._tallies.setdefault(name, _Tally(experiment))
                    unit = slate.user_id if experiment.unit == "user" else slate.request_id
                    tally.count(number(name, unit), arm)

    @property
    def slates(self) -> dict[tuple[str, str], int]:
        """Slates by experiment and arm."""
        with self._lock:
            return dict(self._slates)

    def units(self) -> dict[str, tuple[Experiment, Counter[str]]]:
        """Of each experiment its definition, and its units by arm."""
        with self._lock:
            return {name: (t.experiment, t.arms.copy()) for name, t in self._tallies.items()}


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
        refused = float(self._arms.rejected)
        yield GaugeMetricFamily("souk_experiments_file_refused", "1 while the file that is there is", value=refused)
        rest = GaugeMetricFamily(
            "souk_experiment_rests", "1 for an experiment that nobody is in", labels=["experiment"]
        )
        for name in self._arms.resting:
            rest.add_metric([name], 1.0)
        yield rest
        slates = CounterMetricFamily("souk_arm_slates", "Slates by arm", labels=["experiment", "arm"])
        for names, count in self._arms.counts.slates.items():
            slates.add_metric(names, count)
        yield slates
        units = GaugeMetricFamily("souk_arm_units", "Users or requests by arm, once", labels=["experiment", "arm"])
        ratio = GaugeMetricFamily(
            "souk_sample_ratio_p", "The always-valid p value of the arms' sizes", labels=["experiment"]
        )
        for name, (experiment, counted) in self._arms.counts.units().items():
            for arm in experiment.arms:
                units.add_metric([name, arm], counted[arm])
            ratio.add_metric([name], sample_ratio_p(counted, experiment))
        yield units
        yield ratio
