"""Experiments and the releases that they are about, of one moment: what a request is answered by, whatever comes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from souk.config.experiments import HOLDOUT, Experiments
from souk.experiments import assigned, held_out, label
from souk.serving.experiments.rules import key_of
from souk.serving.experiments.treatment import AS_RELEASED, Treatment
from souk.serving.releases import Served
from souk.serving.request import Request


@dataclass(frozen=True, eq=False)
class Bound:
    """Experiments and the releases that they are about, of one moment.

    Args:
        plan: the experiments.
        main: the release that answers who is in no arm of another one.
        beside: the other releases by name.
        treatments: by label, those that were asked for so far.
    """

    plan: Experiments
    main: Served
    beside: Mapping[str, Served] = field(default_factory=dict)
    treatments: dict[str, tuple[str, Treatment]] = field(default_factory=dict)

    def has(self, served: Served) -> bool:
        """Whether a release answers by it."""
        return served is self.main or any(served is each for each in self.beside.values())

    def treated(self, request: Request) -> tuple[str, Request]:
        """The release that answers a request, "" for the main one, and the request with its treatment, and with the
        values that this release never saw.

        It no longer holds the releases that it is bound to: what is kept of it, in a cache or for a log, would hold
        them in memory when others answer.
        """
        request = replace(request, bound=None)
        if held_out(self.plan, request.user_id):
            return "", replace(request, treatment=Treatment(HOLDOUT))
        arms = assigned(self.plan, request.user_id, request.request_id)
        name = label(arms)
        if name not in self.treatments:
            self.treatments[name] = self._treatment(name, arms)
        release, treatment = self.treatments[name]
        if release:
            request = self.beside[release].parser.judged(request)
        return release, request if treatment is AS_RELEASED else replace(request, treatment=treatment)

    def _treatment(self, name: str, arms: Mapping[str, str]) -> tuple[str, Treatment]:
        """No two experiments change the same, so the order of the arms is none."""
        release, made = "", replace(AS_RELEASED, arm=name, exploration=self.plan.exploration)
        for experiment, chosen in arms.items():
            arm = self.plan.experiments[experiment].arms[chosen]
            release = arm.release or release
            made = replace(
                made,
                weights={**made.weights, **arm.weights},
                rerank=key_of(arm) or made.rerank,
                exploration=arm.exploration or made.exploration,
            )
        return release if release in self.beside else "", AS_RELEASED if made == AS_RELEASED else made
