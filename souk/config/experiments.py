"""The experiments of a workspace: one watched YAML file, `experiments.yaml` (docs/experiments.md)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator

from souk.config.problems import explain
from souk.config.settings import Rerank
from souk.config.tables import Section, spelled
from souk.config.text import read_text, sections
from souk.errors import SoukError, unknown

FILE = "experiments.yaml"
BUCKETS = 10_000  # the finest share is one of them
HOLDOUT = "holdout"  # what the arm of held-out users is called, and the salt that chooses them
MOST_RELEASES = 3  # beside the current one, in the memory of each server
Name = Annotated[str, spelled("[a-z][a-z0-9_-]{0,63}", "at most 64 small letters, digits, _ and -, the first a letter")]


def _whole_buckets(share: float) -> float:
    if abs(share * BUCKETS - round(share * BUCKETS)) > 1e-6:
        raise ValueError(f"a multiple of {1 / BUCKETS:g}")
    return share


Share = Annotated[float, AfterValidator(_whole_buckets)]


class Exploration(Section):
    """The last `slots` places of a slate are drawn, each among `pool` candidates of its own: see
    `souk.serving.exploration`. `epsilon` of the draws are uniform; the others take the best (`epsilon`), or go by the
    scores at a `temperature` (`softmax`)."""

    slots: int = Field(default=0, ge=0, le=100)
    pool: int = Field(default=10, ge=2, le=500)
    method: Literal["epsilon", "softmax"] = "epsilon"
    epsilon: float = Field(default=0.1, gt=0, le=1)
    temperature: float = Field(default=1.0, gt=0, le=100)


class Arm(Section):
    """What is different for a share of the users; what is not named is as in the release. An arm that names nothing is
    a control."""

    share: Share = Field(ge=1 / BUCKETS, le=1)
    weights: dict[str, Annotated[float, Field(ge=0, le=100)]] = Field(default={})
    rerank: Rerank | None = None  # the keys that are given replace the release's
    exploration: Exploration | None = None
    release: Annotated[str, spelled("([A-Za-z0-9_][A-Za-z0-9_.-]*)?", "the name of a release")] = ""

    @property
    def changes(self) -> set[str]:
        """The names of what is different."""
        return {name for name in CHANGES if getattr(self, name)}


CHANGES = ("weights", "rerank", "exploration", "release")


class Experiment(Section):
    """`traffic` is the share of units in the experiment; `arms` divide them. Without a `salt`, the experiment's name is
    its salt."""

    unit: Literal["user", "request"] = "user"
    # No dot: `a.traffic` would be another's traffic.
    salt: Annotated[str, spelled("[A-Za-z0-9_-]{0,64}", "at most 64 letters, digits, _ and -")] = ""
    traffic: Share = Field(default=1.0, ge=0, le=1)
    arms: dict[Name, Arm] = Field(min_length=2)

    @field_validator("arms")
    @classmethod
    def _divided(cls, arms: dict[str, Arm]) -> dict[str, Arm]:
        total = sum(arm.share for arm in arms.values())
        if abs(total - 1) > 1e-6:
            raise ValueError(f"the shares of the arms add up to {total:g}, and not to 1. Lower traffic to ask fewer")
        return arms

    @property
    def changes(self) -> set[str]:
        """What its arms change."""
        return set[str]().union(*(arm.changes for arm in self.arms.values()))


class Experiments(Section):
    """The whole file. `exploration` is for every request whose arm says nothing of it. The held-out share of users is
    in no experiment, and nothing is explored with them."""

    holdout: Share = Field(default=0, ge=0, lt=1)
    exploration: Exploration = Exploration()
    experiments: dict[Name, Experiment] = Field(default={})

    @model_validator(mode="after")
    def _apart(self) -> Experiments:
        counted = Counter(kind for experiment in self.experiments.values() for kind in experiment.changes)
        for kind in CHANGES:
            if counted[kind] > 1:
                names = sorted(name for name, each in self.experiments.items() if kind in each.changes)
                raise SoukError(f"one experiment at a time to change {kind}", " and ".join(names), TOGETHER)
        salts = Counter(experiment.salt or name for name, experiment in self.experiments.items())
        for salt, count in salts.items():
            if count > 1 or salt == HOLDOUT:
                raise SoukError("a salt of its own for each experiment", f"{salt} for several", SALT)
        if len(self.releases) > MOST_RELEASES:
            raise SoukError(f"at most {MOST_RELEASES} releases in all arms", f"{len(self.releases)}", MEMORY)
        return self

    @property
    def releases(self) -> list[str]:
        """The releases that arms name, each once."""
        named = {arm.release for experiment in self.experiments.values() for arm in experiment.arms.values()}
        return sorted(named - {""})

    def check_weights(self, objectives: Iterable[str], release: str, origin: str = FILE) -> None:
        """Whether the current release has what the arms weigh.

        Args:
            objectives: the release's.
            release: its name.
            origin: the file, for errors.

        Raises:
            SoukError: an arm weighs another; the nearest is named.
        """
        known = sorted(objectives)
        for name, experiment in self.experiments.items():
            for arm, each in experiment.arms.items():
                for weighed in set(each.weights) - set(known):
                    where = f"{origin}: experiments.{name}.arms.{arm}.weights"
                    raise unknown(f"{where}: an objective of {release}", weighed, known)

    def check_caps(self, columns: Iterable[str], release: str, origin: str = FILE) -> None:
        """Whether the current release has what the arms cap.

        Args:
            columns: of its items, that may be capped.
            release: its name.
            origin: the file, for errors.

        Raises:
            SoukError: an arm caps another; the nearest is named.
        """
        known = sorted(columns)
        for name, experiment in self.experiments.items():
            for arm, each in experiment.arms.items():
                for capped in sorted(set(each.rerank.caps if each.rerank else ()) - set(known)):
                    where = f"{origin}: experiments.{name}.arms.{arm}.rerank.caps"
                    raise unknown(f"{where}: a categorical or path column of items of {release}", capped, known)


SPEC = "Experiments compare releases of one feature specification; try another with a canary (docs/rollout.md)."
TOGETHER = "A user in both could get one of the two only: make them arms of one experiment."
SALT = "With one salt, the arms of the one would decide those of the other."
MEMORY = "Each is held in memory beside the current one."


def parse_experiments(text: str, origin: str = FILE) -> Experiments:
    """Reads experiments from YAML; nothing at all is no experiment.

    Raises:
        SoukError: not YAML, an unknown key (the nearest known one is named), or values that do not go together.
    """
    values = sections(text, origin, "docs/experiments.md")
    try:
        return Experiments.model_validate(values)
    except ValidationError as error:
        raise explain(error, values, Experiments, origin) from error
    except SoukError as error:
        raise SoukError(f"{origin}: {error.expected}", error.received, error.remedy) from error


def refuse_other_than_file(path: Path) -> None:
    """For what watches a path, or holds a lock while it reads it.

    Raises:
        SoukError: a folder is there, or a pipe, whose reader waits for who writes it.
    """
    if path.exists() and not path.is_file():
        raise SoukError(f"{path} to be a file", "something else", "Put the file in its place.")


def read_experiments(path: Path) -> Experiments:
    """Reads the file at a path.

    Raises:
        SoukError: there is none, or it is wrong.
    """
    try:
        return parse_experiments(read_text(path), str(path))
    except OSError as error:
        received = "none" if isinstance(error, FileNotFoundError) else str(error.strerror)
        raise SoukError(f"an experiments file at {path}", received, "docs/experiments.md shows one.") from error
