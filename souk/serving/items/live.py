"""Items that come, change or go while a release serves: checked, given a vector, on the disk, then in every answer."""

from __future__ import annotations

import copy
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from souk.config import Rerank
from souk.errors import SoukError
from souk.features.tables import item_rows
from souk.ingest.live import ItemCheck
from souk.release.bundle import Bundle
from souk.serving.beside import Run, here
from souk.serving.items.ends import Waiting, ends, rows_of
from souk.serving.items.fit import NO_VECTOR, spoken, unfit
from souk.serving.items.lines import Logged
from souk.serving.items.log import ItemLog, Mark, News
from souk.serving.items.outcomes import Batch, Followed, Outcome, Replayed, Retired, id_of
from souk.serving.items.replay import Replay, plain, replay
from souk.serving.items.vectors import Changed, ItemVectors, Missing, Vectors
from souk.serving.recommender import Recommender
from souk.serving.signatures import ItemTower, sound

logger = logging.getLogger(__name__)
REPLAYED = 10_000  # rows at a time
Made = tuple[Batch, Recommender]


class LiveItems:
    """The recommender as it is now. It is replaced as a whole: a request sees all of an upsert or nothing.

    Args:
        recommender: of the release as it was made.
        bundle: the release.
        log: where accepted rows are kept.
        clock: UTC epoch milliseconds.
        followed: is told what other servers wrote; may be replaced.
        run: runs an item tower that is no graph.
    """

    def __init__(
        self,
        recommender: Recommender,
        bundle: Bundle,
        log: ItemLog,
        clock: Callable[[], int],
        followed: Callable[[Followed], None] = lambda followed: None,
        run: Run = here,
    ) -> None:
        self.current = recommender
        self.followed = followed
        self.replayed = Replayed()
        self._spec, self._table, self._log, self._clock = bundle.spec, bundle.items, log, clock
        self._files = bundle.items_oldest or bundle.items_as_of, bundle.items_as_of
        self._tower = ItemVectors(ItemTower(bundle.item_tower, run), bundle.spec, bundle.vectors.shape[1])
        said = bundle.schema("items"), bundle.names.get("items", {}), bundle.separators, bundle.bounds.get("items", {})
        self._check = ItemCheck(bundle.spec.columns.items, bundle.spec.columns.widths_of("items"), *said)
        self._rows: dict[str, dict[str, Any]] = {}  # of the item table, of all that came since
        self.waiting = Waiting()
        self._one_at_a_time = threading.Lock()
        self._retired = self._logged = False  # the latter of one that takes what was taken before

    def load(self, settle: bool = True) -> LiveItems:
        """Takes the rows of the log that the release does not have; changes it only to settle them."""
        self._log.mark = Mark()
        plan, times, refused = self._replay((news := self._log.news()).logged, self._tower.of)
        self._log.mark = news.mark
        self.replayed = Replayed(len(times), plan.older, plan.unknown, refused, news.logged.torn, news.logged.damaged)
        if settle:
            self._settle(plan.settled)
        return self

    def follow(self) -> None:
        """Takes what other servers wrote into the log since the last look; nothing but a look where they did not."""
        with suppress(Retired):
            self._alone(self._catch_up)

    def _catch_up(self, vectors: Vectors, news: News | None = None) -> None:
        news = news or self._log.news()
        if news.logged.rows:
            plan, times, refused = self._replay(news.logged, vectors)
            if not news.again:
                self.followed(Followed(tuple(times), self._clock(), plan.older, plan.unknown, refused))
        self._log.mark = news.mark

    def _replay(self, logged: Logged, vectors: Vectors) -> tuple[Replay, list[int], int]:
        """What was to be done with rows of the log, the times of those that were taken, and how many were refused."""
        ahead, plan, taken, refused = self._ahead(logged, vectors)
        self._rows, self.current = ahead._rows, ahead.current
        return plan, taken, refused

    def _ahead(self, logged: Logged, vectors: Vectors) -> tuple[LiveItems, Replay, list[int], int]:
        """The items with rows of the log, and what `_replay` says.

        They are taken in parts, and are in the answers together: a row is not without a later one that undoes it.
        """
        once = self._spec.repeat.sold_once
        told = plain(logged, self._files, lambda rows: self._check.check(rows, ())[0].to_pylist())
        plan = replay(told, self.current.catalogue.positions, self._files, partial(ends, current=self.current), once)
        self.waiting.add(plan.waiting if once else ())
        ahead = copy.copy(self)
        ahead._rows, ahead._logged = {**self._rows}, True
        taken, refused = list[int](), 0
        for start in range(0, len(plan.rows), REPLAYED):
            part = slice(start, start + REPLAYED)
            batch, changed = ahead._prepared(plan.rows[part], plan.times[part], plan.created[part], vectors)
            taken += [plan.times[start + at] for at, _, _ in batch.accepted]
            refused += len(batch.reasons)
            ahead._take(batch, changed)
        return ahead, plan, taken, refused

    def _settle(self, items: set[str]) -> None:
        """Notes what is settled, and thins the log. Where the disk refuses, the next start does it."""
        try:
            if items:
                self._log.settle(items, self._clock())
            self._log.thin()
        except OSError as error:
            logger.warning("log of items: %s: %s", type(error).__name__, error)

    def warm(self) -> LiveItems:
        """Calls the item tower once, so that the first upsert is as fast as the others, if it succeeds."""
        try:
            self._tower.of(self._table.slice(0, 1).to_pylist())
        except (SoukError, OSError) as error:
            logger.warning("item tower: %s", error)
        return self

    def upsert(self, rows: Sequence[Any]) -> Outcome:
        """Takes rows of items: what a row leaves out of a known item stays, and `null` clears it.

        Args:
            rows: decoded JSON, an object for each item.

        Raises:
            OSError: the disk did not take them; nothing changed.
            Retired: another release answers by now; nothing changed.
        """
        outcome, whole = self._alone(partial(self._upserted, rows))
        if not whole:
            self.follow()
        return outcome

    def _upserted(self, rows: Sequence[Any], vectors: Vectors) -> tuple[Outcome, bool]:
        self._catch_up(vectors)
        now = self._clock()
        made = batch, _ = self._prepared(rows, [now] * len(rows), [True] * len(rows), vectors)
        named = [{**rows[at], "item_id": item} for at, item, _ in batch.accepted]
        whole = self._write(named, [new for _, _, new in batch.accepted], now, made, vectors)
        return batch.outcome(rows, now), whole

    def sell(self, times: Mapping[str, int], logged: bool = False) -> None:
        """Ends items with their purchases, where these end them (souk.serving.items.ends); otherwise as `upsert`, but
        that it never waits for the item tower.

        Args:
            times: by item, UTC epoch milliseconds.
            logged: whether the log has it, from another release.
        """
        self._alone(partial(self._sold, times, logged))

    def _sold(self, times: Mapping[str, int], logged: bool, vectors: Vectors) -> None:
        seen, now = self._seen(vectors), self._clock()
        if logged and seen is self.current:
            return
        here, others = rows_of(times, self.current if logged else seen, now)
        others = [row for row in others if self.waiting.lacks(row)]
        known = [row for row in here if row["item_id"] in self.current.catalogue.positions]
        made = self._prepared(known, [now] * len(known), [False] * len(known), vectors)
        rows = [] if logged else [*here, *others]
        if not self._write(rows, [False] * len(rows), now, made, vectors, sold=True):
            self._take(*made)  # the next look has them in the order of the log
        self.waiting.add(others)

    def _seen(self, vectors: Vectors) -> Recommender:
        """The items with all that others wrote. That is taken, unless the item tower is to be asked for it."""
        news = self._log.news()
        try:
            self._catch_up(vectors, news)
        except Missing:
            return self._ahead(news.logged, self._tower.standing_in)[0].current
        return self.current

    def _alone(self, change: Callable[[Vectors], Changed]) -> Changed:
        """Makes a change while nobody else makes any. Nobody waits for the item tower: see `ItemVectors.ahead_of`."""

        def made(vectors: Vectors) -> Changed:
            with self._one_at_a_time:
                if self._retired:
                    raise Retired
                return change(vectors)

        return self._tower.ahead_of(made)

    def _write(
        self, rows: Sequence[Any], created: Sequence[bool], now: int, made: Made, vectors: Vectors, sold: bool = False
    ) -> bool:
        """Whether rows are in the answers. They are on the disk; the next look takes them where another server wrote
        meanwhile what lacks a vector: in the order of the log, all servers come to the same."""
        news = self._log.append(rows, created, now, sold) if rows else None
        try:
            if news is None:
                self._take(*made)
            else:
                self._catch_up(vectors, news)
        except Missing:
            return False
        return True

    def vary(self, rules: Mapping[str, Rerank]) -> None:
        """Has rerankers of other rules ready by name, in the place of those before (`Reranker.with_variants`)."""
        with self._one_at_a_time:
            rows = pa.Table.from_pylist([*self._rows.values()], self._table.schema)
            where = np.array([self.current.catalogue.positions[item] for item in self._rows], np.int64)
            changed = copy.copy(self.current)
            changed.reranker = changed.reranker.with_variants(rules, self._table, rows, where, self._spec)
            self.current = changed

    @contextmanager
    def handing_over(self) -> Iterator[None]:
        """Takes no rows meanwhile, and, unless that fails, none ever again: they are the next release's."""
        with self._one_at_a_time:
            yield
            self._retired = True

    def _prepared(
        self, rows: Sequence[Any], times: Sequence[int], may_create: Sequence[bool], vectors: Vectors
    ) -> Made:
        """The rows that can be taken, and the recommender with them."""
        batch = self._checked(rows, times, may_create)
        found = self._vectors_now(batch, vectors)
        fit = sound(found)
        for (item, _), good in zip(list(batch.taken.items()), fit.tolist(), strict=True):
            if not good:
                batch.drop(item, NO_VECTOR)
        if not batch.taken:
            return batch, self.current
        table = pa.Table.from_pylist(list(batch.taken.values()), self._table.schema)
        return batch, self.current.with_items(table, found[fit])

    def _vectors_now(self, batch: Batch, vectors: Vectors) -> np.ndarray:
        """`[rows, dim]`: of items whose content is what it was their vectors, of others what the tower says."""
        positions, rows, content = self.current.catalogue.positions, [*batch.taken.values()], self._tower.content
        before = zip(map(self._row, batch.taken), rows, strict=True)
        same = np.array([old is not None and content(old) == content(row) for old, row in before], bool)
        found = np.zeros((len(rows), self._tower.dim), np.float32)
        found[same] = self.current.parts[0].vectors[[positions[rows[at]["item_id"]] for at in np.flatnonzero(same)]]
        if not same.all():
            found[~same] = vectors([rows[at] for at in np.flatnonzero(~same)])
        return found

    def _checked(self, rows: Sequence[Any], times: Sequence[int], may_create: Sequence[bool]) -> Batch:
        """Each row on top of what is known of its item, those before it in the call included."""
        table, alone, reasons = self._typed(rows)
        good = [at for at in range(len(rows)) if at not in reasons]
        made = item_rows(table.take(pa.array(good, pa.int64())), self._spec).to_pylist()
        batch = Batch(reasons=reasons)
        for at, row in zip(good, made, strict=True):
            item = row["item_id"]
            old = batch.taken.get(item) or self._row(item)
            why = alone.get(at, "") if old is None else ""
            why = why or unfit(rows[at], row, old is None, may_create[at], times[at], self._spec, self._logged)
            if why:
                batch.reasons[at] = why
                continue
            if old is None:
                self.waiting.born(row, rows[at], times[at])
            batch.taken[item] = row if old is None else {**old, **{n: row[n] for n in spoken(rows[at], self._spec)}}
            batch.accepted.append((at, item, old is None))
        return batch

    def _typed(self, rows: Sequence[Any]) -> tuple[pa.Table, dict[int, str], dict[int, str]]:
        """The typed rows; why some are refused, each taken alone; and why, where the call makes the items before."""
        positions = self.current.catalogue.positions
        table, alone = self._check.check(rows, positions, self._logged)
        if not alone:
            return table, alone, {}
        ids = [str(id_of(row)).strip() for row in rows]
        there = {item for at, item in enumerate(ids) if at not in alone or item in positions}
        return table, alone, self._check.check(rows, there, self._logged)[1]

    def _row(self, item: str) -> dict[str, Any] | None:
        """The row of a known item as it is now."""
        if item in self._rows:
            return self._rows[item]
        position = self.current.catalogue.positions.get(item)
        return None if position is None else dict(self._table.slice(position, 1).to_pylist()[0])

    def _take(self, batch: Batch, changed: Recommender) -> None:
        self._rows.update(batch.taken)
        self.current = changed
