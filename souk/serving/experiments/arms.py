"""Who is answered how: the experiments of the workspace's file, over the releases that they name."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from souk.config.experiments import FILE, SPEC, Experiments, parse_experiments, refuse_other_than_file
from souk.config.text import read_text
from souk.errors import SoukError
from souk.serving.budget import by_turns
from souk.serving.experiments.bound import Bound
from souk.serving.experiments.counts import ArmCounts
from souk.serving.experiments.rules import apart, rules_of, within
from souk.serving.reading import Unwanted, read_while
from souk.serving.recommender import Recommender
from souk.serving.releases import POLITE, Ready, Releases, Served, often, why
from souk.serving.request import Request
from souk.serving.retries import Retries
from souk.serving.slate import Slate
from souk.serving.slate_cache import SlateCache

logger = logging.getLogger(__name__)
READABLE = "Let the user that the server runs as read it."


class Arms:
    """Answers requests by the arms of their users.

    The file is read when it changes. One that is wrong, or that names a release that cannot answer, is refused, said so
    once, and the experiments before go on. Where another release becomes current that they do not fit, they rest, until
    it is replaced or they are changed; so does an experiment whose arms would be one, since a release is current that
    an arm names. What failed for something that may pass is tried again (souk.serving.retries).

    Args:
        releases: that which answers, and where those beside it are told.
        file: the experiments, if there are any.
        read: makes a release of a folder ready; one that is in memory, without reading it (souk.serving.in_memory).
        folder_of: the folder of a release's name.
        counts: of what was answered.
        slates: of requests without a user; None to keep none.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        releases: Releases,
        file: Path,
        read: Callable[[Path], Ready],
        folder_of: Callable[[str], Path],
        counts: ArmCounts,
        slates: SlateCache | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._releases, self._file, self._read, self._folder_of = releases, file, read, folder_of
        self.counts, self._slates = counts, SlateCache(0) if slates is None else slates
        self.now = Bound(Experiments(), releases.now)
        self.taken = self.refused = 0
        self._wanted = Experiments()
        self._seen: str | None = ""  # None for what is none
        self.rejected = False  # the file as it is now, by itself or by the release that answers
        self._retries = Retries(clock)
        self._retired: list[Served] = []
        self._bounds = weakref.WeakSet((self.now,))  # a request keeps that of its time
        self._binding = threading.Lock()

    def recommend(self, requests: Sequence[Request]) -> list[Slate]:
        """A slate for each request, those of one release together."""
        return self._answered(requests, self._slates.recommend)

    def safe(self, requests: Sequence[Request]) -> list[Slate]:
        """Slates without any model or store, of the releases and arms that would have answered."""
        return self._answered(requests, lambda recommender, own: recommender.safe(own))

    def count(self, requests: Sequence[Request], slates: Sequence[Slate]) -> None:
        """Counts slates that go out; those of a batch that failed, and is answered again, would count twice."""
        bounds = [request.bound or self.now for request in requests]
        for bound in dict.fromkeys(bounds):
            self.counts.count(bound.plan, [slate for slate, own in zip(slates, bounds, strict=True) if own is bound])

    def _answered(
        self, requests: Sequence[Request], answer: Callable[[Recommender, Sequence[Request]], list[Slate]]
    ) -> list[Slate]:
        """By the releases and experiments that each request was parsed for, or those of now for one that says none."""
        bounds = [request.bound or self.now for request in requests]
        treated = [bound.treated(request) for bound, request in zip(bounds, requests, strict=True)]
        by = [bound.beside[name] if name else bound.main for bound, (name, _) in zip(bounds, treated, strict=True)]
        return by_turns([own for _, own in treated], by, lambda served, own: answer(served.live.current, own))

    def follow(self, seconds: float) -> None:
        """Looks at the file from now on, so often."""
        often(self.look, seconds, "experiments", POLITE)

    def look(self) -> bool:
        """Takes the file if it is new and sound; whether it did."""
        self._let_go()
        text, unreadable = self._text()
        if text == self._seen and not self._retries.due:
            return False
        if text != self._seen:
            self._retries.begin()
        self._seen = text
        try:
            if unreadable:
                raise unreadable
            plan = parse_experiments(text, FILE)
            there = {self._releases.now.bundle.name, *self.now.beside}
            opened = self._open(name for name in plan.releases if name not in there)
            with self._binding:  # a change of the release waits for it, and so for no reading
                self._bind(plan, self._releases.now, opened)
                self._wanted = plan
                self.counts.keep(plan)
        except Unwanted as error:
            logger.warning("experiments: the file changed: %s", error)
            self._seen = None
            return False
        except Exception as error:  # whatever is wrong with it, the experiments before go on
            self.refused, self.rejected = self.refused + 1, True
            self._retries.failed(error)
            defect = not isinstance(error, SoukError)
            logger.error("experiments refused, those before go on: %s", why(error), exc_info=defect)
            return False
        self._retries.begin()
        self.rejected = False
        self.taken += 1
        logger.warning("experiments: %s", ", ".join(plan.experiments) or "none")
        return True

    def _text(self) -> tuple[str, SoukError | None]:
        """The file's text; of one that cannot be read the reason, as a text too, so that it is refused once."""
        try:
            refuse_other_than_file(self._file)
            return read_text(self._file) if self._file.exists() else "", None
        except SoukError as error:
            return str(error), error
        except OSError as error:
            reason = SoukError(f"to read {self._file}", f"{type(error).__name__}: {error.strerror}", READABLE)
            return str(reason), reason

    def follow_release(self, served: Served) -> None:
        """Another release answers: binds the experiments to it, or lets them rest.

        One with an arm of a release that is not in memory rests until the next look has read it: here the next release
        would wait for that.
        """
        with self._binding:
            plan = within(self._wanted, {served.bundle.name, self.now.main.bundle.name, *self.now.beside})
            if self.rejected or len(plan.experiments) < len(self._wanted.experiments):
                self._seen = None  # what it asked for may be there now, or is read by the next look
            try:
                self._bind(plan, served)
            except Exception as error:
                self.refused, self.rejected = self.refused + 1, True
                self._retries.failed(error)
                defect = not isinstance(error, SoukError)
                logger.error("experiments rest while %s answers: %s", served.bundle.name, why(error), exc_info=defect)
                self._move(Bound(Experiments(), served))

    def _bind(self, plan: Experiments, main: Served, opened: Mapping[str, Served] = MappingProxyType({})) -> None:
        """Reads what is not there yet and not `opened`, checks all of it, and moves one reference.

        Raises:
            SoukError: a release cannot be read, or an arm changes what its release does not have.
        """
        fresh = dict(opened)
        try:
            plan = apart(plan, main)
            plan.check_weights(main.bundle.settings.objectives, main.bundle.name)
            plan.check_caps(main.bundle.spec.columns.cappable, main.bundle.name)
            wanted = {name for name in plan.releases if name != main.bundle.name}
            fresh |= self._open(sorted(wanted - fresh.keys() - self.now.beside.keys()))
            beside = {name: served for name, served in {**self.now.beside, **fresh}.items() if name in wanted}
            for served in (main, *beside.values()):
                self._fit(plan, main, served)
        except BaseException:
            self._releases.beside = tuple(self.now.beside.values())
            self._retired.extend(fresh.values())
            raise
        self._move(Bound(plan, main, beside))
        self._retired.extend(served for name, served in fresh.items() if name not in beside)  # current meanwhile

    def _open(self, names: Iterable[str]) -> dict[str, Served]:
        """Releases that were not there.

        Raises:
            Unwanted: the file changed meanwhile.
        """
        text, opened = self._text()[0], dict[str, Served]()
        try:
            for name in names:
                opened[name] = self._opened(name, lambda: self._text()[0] == text)
                opened[name].live.warm()
                self._releases.kept()
        except BaseException:
            self._releases.beside = tuple(s for s in self._releases.beside if s not in opened.values())
            self._retired.extend(opened.values())
            raise
        return opened

    def _opened(self, name: str, wanted: Callable[[], bool]) -> Served:
        """The release of a name, read, checked and warmed, which takes items from now on."""
        logger.warning("release %s: for an experiment", name)
        ready = read_while(wanted, self._read, self._folder_of(name))
        try:
            served = ready.serve()
        except BaseException:
            ready.close()
            raise
        served.live.followed = lambda followed: None  # the same rows a second time
        self._releases.beside = (*self._releases.beside, served)
        self._releases.note(served)
        return served

    def _fit(self, plan: Experiments, main: Served, served: Served) -> None:
        """Checks that the arms fit a release, and has its rerankers ready, those that it answers by so far too."""
        own, theirs = (each.bundle.spec.of_states.hash for each in (main, served))
        if own != theirs:
            names = f"specification {own}, that of {main.bundle.name}"
            raise SoukError(names, f"{theirs} in {served.bundle.name}", SPEC)
        before = [bound.plan for bound in self._bounds if bound.has(served)]  # of requests that are on their way too
        served.live.vary({key: rules for each in (*before, plan) for key, rules in rules_of(each, served).items()})

    def _move(self, bound: Bound) -> None:
        """Moves the reference, and lets go of the releases that are not beside any more."""
        self._bounds.add(bound)
        before, self.now = self.now, bound
        self._releases.beside = tuple(bound.beside.values())
        self._retired.extend(served for name, served in before.beside.items() if bound.beside.get(name) is not served)

    @property
    def resting(self) -> list[str]:
        """Experiments of the file that nobody is in for the time being."""
        running = self.now.plan.experiments
        return [name for name in self._wanted.experiments if name not in running]

    def close(self) -> None:
        """Lets go of the releases beside the main one."""
        with self._binding:
            self._move(Bound(Experiments(), self.now.main))
        self._bounds.clear()
        self._let_go()

    def _let_go(self) -> None:
        """Closes what nobody is answered by, nor any request that is on its way."""
        with self._binding:
            held = {served for bound in self._bounds for served in bound.beside.values()}
        for served in (gone := [served for served in self._retired if served not in held]):
            self._retired.remove(served)
            with contextlib.suppress(Exception):  # of an index that is gone already
                served.close()
        if gone:
            del served, gone
            self._releases.let_go()
