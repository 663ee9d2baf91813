"""Re-ranking: the ranker's order, bent for the slate as a whole. One definition, for serving and evaluation.

Items are chosen one after the other, each time the candidate of highest

    (1 - d) · (1 + p where it is popular) · log score + d · log(what it adds)

among those that the rules leave. d is `diversity`: what an item adds is the squared distance of its vector from the
space of those chosen before it, so that this is the greedy search for the slate of greatest probability under a
determinantal point process whose kernel has the scores as quality and the vectors' products as likeness (Chen, Zhang
and Zhou 2018, Fast Greedy MAP Inference, equations 8 to 10). p is `popularity`; popular
are the most popular 1% of the release. Their score s, a probability, counts s^(1 + p): what a user likely takes hardly
loses by it, what is there because everybody takes it does (docs/models.md).

What is chosen stands in the ranker's order, and so does the rest behind it: which items are shown costs less than
where they stand (docs/models.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from souk.config import Rerank
from souk.errors import SoukError
from souk.items import ItemTable
from souk.rerank_rules import Added, Caps, Floor
from souk.schema import DAY_MS
from souk.spec import Entity, FeatureSpec

DIGITS = 5  # of what is compared: equal items are equal on every machine, and stay in the ranker's order
POPULAR = 0.01  # the share of the catalogue that counts as most popular
POWER = "power"  # what the section of a release has where `popularity` is the power above, and not a share as before
CONTROLS = ("diversity", "caps", "new_items", "popularity")


def written(rules: Rerank) -> dict[str, Any]:
    """The section as a release keeps it, with POWER where it has a `popularity`."""
    section = rules.model_dump()
    return section | {POWER: True} if rules.popularity else section


def kept_rules(section: Mapping[str, Any]) -> tuple[Rerank, bool]:
    """The rules that a release keeps, and whether their `popularity` is a power."""
    return Rerank(**{name: value for name, value in section.items() if name != POWER}), POWER in section


@dataclass(frozen=True)
class Reranker:
    """Reorders ranked candidates. Nothing is lost, and nothing added.

    Args:
        rules: what is asked for.
        items: vectors, engagements and ages, by position.
        edge: the counter of the last of the most popular 1% of the release; inf where nothing was engaged with.
        values: `[items, caps]` int64, the value of each capped column as a number; -1 where an item has none.
        numbers: of each capped column, the number of each value.
        power: whether `popularity` is the one above; in releases of before it divides a popular item's score by 1 + p.
        variants: other rules over the same items, by name.
    """

    rules: Rerank
    items: ItemTable
    edge: float
    values: np.ndarray
    numbers: tuple[Mapping[str, int], ...] = ()
    power: bool = True
    variants: Mapping[str, Reranker] = field(default_factory=dict)

    @classmethod
    def of(cls, rules: Rerank, items: ItemTable, table: pa.Table, spec: FeatureSpec, power: bool = True) -> Reranker:
        """From the item feature table, in the order of `items`.

        Raises:
            SoukError: a capped column is none of the table.
        """
        values, numbers = _capped(rules, table, spec, [{} for _ in rules.caps])
        available = table["available"].to_numpy(zero_copy_only=False).astype(bool)
        counters = np.sort(items.counters[available, 0])[::-1]
        edge = float(counters[max(1, round(POPULAR * len(counters))) - 1]) if len(counters) else 0.0
        return cls(rules, items, edge or np.inf, values, numbers, power or not rules.popularity)

    def with_items(self, items: ItemTable, table: pa.Table, where: np.ndarray, spec: FeatureSpec) -> Reranker:
        """The same rules over a catalogue with other rows.

        Args:
            items: all of them, as they are now.
            table: rows of the item feature table, which are at the positions
            where: `[rows]` int64.
            spec: the feature specification.
        """
        new, numbers = _capped(self.rules, table, spec, self.numbers)
        values = np.full((len(items.vectors), len(self.rules.caps)), -1, np.int64)
        values[: len(self.values)] = self.values
        values[where] = new
        variants = {name: each.with_items(items, table, where, spec) for name, each in self.variants.items()}
        return replace(self, items=items, values=values, numbers=numbers, variants=variants)

    def with_variants(
        self, rules: Mapping[str, Rerank], table: pa.Table, rows: pa.Table, where: np.ndarray, spec: FeatureSpec
    ) -> Reranker:
        """The same, with others of other rules beside it, by name.

        Args:
            rules: of each.
            table: the item feature table that `of` was given.
            rows: those that came since, which are at the positions
            where: `[rows]` int64.
            spec: the feature specification.

        Raises:
            SoukError: a capped column is none of the table.
        """
        made = {}
        for name, each in rules.items():
            values, numbers = _capped(each, table, spec, [{} for _ in each.caps])
            variant = replace(self, rules=each, values=values, numbers=numbers, power=True, variants={})
            made[name] = variant.with_items(self.items, rows, where, spec)
        return replace(self, variants=made)

    def named(self, name: str) -> Reranker:
        """The variant of a name, or else this one."""
        return self.variants.get(name, self)

    @property
    def controls(self) -> tuple[str, ...]:
        """The names of the controls that are on."""
        on = self.rules.diversity, self.rules.caps, self.rules.new_items.share, self.rules.popularity
        return tuple(name for name, value in zip(CONTROLS, on, strict=True) if value)

    def alone(self, control: str) -> Reranker:
        """With one of the controls; "" for none."""
        off = {name: getattr(Rerank(), name) for name in CONTROLS if name not in (control, "new_items")}
        new = self.rules.new_items if control == "new_items" else self.rules.new_items.model_copy(update={"share": 0.0})
        rules = self.rules.model_copy(update=off | {"new_items": new})  # what is new stays what it is
        kept = len(rules.caps)
        return replace(self, rules=rules, values=self.values[:, :kept], numbers=self.numbers[:kept])

    def order(self, positions: np.ndarray, log_scores: np.ndarray, time: int, k: int) -> np.ndarray:
        """The new order of ranked candidates, `[C]` int64 indices.

        Args:
            positions: `[C]` by position in the item table, each once, best first.
            log_scores: `[C]` float64, the logarithms of their scores, falling (souk.slate_score).
            time: of the request, UTC epoch milliseconds: who is new.
            k: how many are shown.
        """
        if not self.controls:
            return np.arange(len(positions))
        shown = np.zeros(len(positions), bool)
        shown[self.chosen(positions, log_scores, time, k)] = True
        return np.concatenate([np.flatnonzero(shown), np.flatnonzero(~shown)])

    def chosen(self, positions: np.ndarray, log_scores: np.ndarray, time: int, k: int) -> list[int]:
        """What `order` shows, in the order in which it was chosen: of `k`, at most `slate`."""
        strength, places = self.rules.diversity, min(k, self.rules.slate, len(positions))
        less = -self.rules.popularity * np.minimum(log_scores, 0) if self.power else np.log1p(self.rules.popularity)
        worth = gain = np.round(
            log_scores - less * self.popular(positions), DIGITS
        )  # scores above 1 are no probabilities
        left, found = np.ones(len(positions), bool), list[int]()
        caps = Caps(self.values[positions], tuple(self.rules.caps.values()))
        floor = Floor(self.new(positions, time), self.rules.new_items.share)
        added = Added(self.items.vectors[positions], places) if strength else None
        for _ in range(places):
            if added:
                gain = np.round((1 - strength) * worth + strength * np.log(added.squared), DIGITS)
            best = int(np.argmax(np.where(floor.narrowed(caps.narrowed(left)), gain, -np.inf)))
            found.append(best)
            left[best] = False
            caps.take(best)
            floor.take(best)
            if added:
                added.take(best)
        return found

    def popular(self, positions: np.ndarray) -> np.ndarray:
        """Which of the items `[C]` are of the most popular 1%."""
        return np.asarray(self.items.counters[positions, 0] >= self.edge)

    def new(self, positions: np.ndarray, time: int) -> np.ndarray:
        """Which of the items `[C]` are new at `time`."""
        age = time - self.items.created_at[positions]
        return np.asarray((age >= 0) & (age <= self.rules.new_items.days * DAY_MS))


def _capped(
    rules: Rerank, table: pa.Table, spec: FeatureSpec, known: Sequence[Mapping[str, int]]
) -> tuple[np.ndarray, tuple[Mapping[str, int], ...]]:
    """The values of the capped columns `[rows, caps]`, and the numbers of all values, `known` ones among them."""
    features = {feature.source: feature for feature in spec.of(Entity.ITEM)}
    columns, numbers = [], []
    for name, old in zip(rules.caps, known, strict=True):
        if name not in features or features[name].name not in table.column_names:
            raise SoukError("a column of items in rerank.caps", name, "Declare it, and run the pipeline again.")
        column, new = _numbers(table[features[name].name].to_pylist(), old)
        columns.append(column)
        numbers.append(new)
    values = np.stack(columns, axis=1) if columns else np.zeros((len(table), 0), np.int64)
    return values, tuple(numbers)


def _numbers(values: Sequence[Any], old: Mapping[str, int]) -> tuple[np.ndarray, dict[str, int]]:
    """The values of a column as numbers, -1 for none; a path is told by its top level."""
    known = dict(old)
    words = [(value[0] if value else "") if isinstance(value, list | tuple) else value for value in values]
    numbers = [known.setdefault(str(w), len(known)) if w not in (None, "") else -1 for w in words]
    return np.array(numbers, np.int64), known
