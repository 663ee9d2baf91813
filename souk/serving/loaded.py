"""What a release is on the request path: its models, its items, and what stands around them."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Self

import numpy as np
import pyarrow as pa

from souk.candidates import Sources
from souk.counts import ItemCounts
from souk.index.exact import ExactIndex
from souk.index.interface import Index
from souk.items import ItemTable
from souk.release.bundle import Bundle
from souk.rerank import Reranker, kept_rules
from souk.serving.budget import Guards
from souk.serving.catalogue import Catalogue
from souk.serving.dependency import Dependency
from souk.serving.filters import Filters
from souk.serving.inputs import item_inputs
from souk.serving.lifetimes import Lifetimes
from souk.serving.plugged import OwnRanker, Plugged, seen
from souk.serving.ranking import Settings, SlateMaker
from souk.serving.retrieval import Retrieval
from souk.serving.signatures import QueryTower, Ranker
from souk.serving.users import Store
from souk.spec import FeatureSpec


class Loaded:
    """The parts of a release. They stay as they are: what changes is another one. The counts of `items` alone grow, in
    all that were made of one another, but for those made `with_counts`.

    Args:
        spec: the release's feature specification.
        settings: what the bundle says about its slates.
        catalogue: the items.
        items: what pairs of query and item are described with.
        query_tower: loaded.
        ranker: loaded.
        reranker: what reorders its candidates.
        retrieval: the index and its fallback.
        store: user states; None where requests bring their own.
        guards: what stands before each part that may hang or fail.
    """

    def __init__(
        self,
        spec: FeatureSpec,
        settings: Settings,
        catalogue: Catalogue,
        items: ItemTable,
        query_tower: QueryTower,
        ranker: Ranker | OwnRanker,
        reranker: Reranker,
        retrieval: Retrieval,
        store: Store | None,
        guards: Guards,
    ) -> None:
        self.guards = guards
        self.spec = spec
        self.settings = settings
        self.catalogue = catalogue
        self.store = store
        self.reranker = reranker
        self.retrieval = retrieval
        self.items = items
        self.sources = Sources(items)
        self.query_tower = query_tower
        self.ranker = ranker
        self.plugged = Plugged()
        self.slates = SlateMaker(catalogue, items.segments, settings.release)

    @classmethod
    def load(cls, bundle: Bundle, index: Index | None, store: Store | None, guards: Guards | None = None) -> Self:
        """Reads the models of a bundle.

        Args:
            bundle: a bundle, or a release.
            index: over its vectors; None to search in process.
            store: user states of its spec; None where requests bring their own.
            guards: what stands before each part that may hang or fail; None for new ones.
        """
        guards, (rules, power) = guards or Guards(), kept_rules(bundle.settings.rerank)
        columns = bundle.items.to_pydict()
        filters = Filters.of(columns, len(bundle.items), bundle.spec)
        settings = Settings(bundle.name, bundle.settings.objectives, bundle.settings.candidates)
        parts = bundle.items, bundle.counters, bundle.vectors, bundle.spec, bundle.rules, bundle.segments
        items = ItemTable.of(*parts, form=bundle.settings.form, ease=bundle.ease)
        catalogue = Catalogue.of(bundle.item_ids, bundle.titles, bundle.available, filters, Lifetimes.of(items))
        loaded = cls(
            spec=bundle.spec,
            settings=settings,
            catalogue=catalogue,
            items=items,
            query_tower=QueryTower(bundle.query_tower).load(),
            ranker=Ranker(bundle.ranker, item_inputs(columns, bundle.spec)).load(),
            reranker=Reranker.of(rules, items, bundle.items, bundle.spec, power),
            retrieval=Retrieval(index, ExactIndex(items.vectors, catalogue.available), guards.index),
            store=store,
            guards=guards,
        )
        loaded._plug(Plugged.of(bundle.settings, seen(catalogue, items), guards.query_tower.patience))
        return loaded

    def connected(self, index: Index | None, store: Store | None) -> Self:
        """The same models over another index and store."""
        other = copy.copy(self)
        other.retrieval, other.store = Retrieval(index, self.retrieval.exact, self.guards.index), store
        return other

    def with_counts(self, counts: ItemCounts) -> Self:
        """The same models, whose pairs and sources know other counts of the same items; these keep theirs."""
        other = copy.copy(self)
        other.items = replace(self.items, counts=counts)
        other.sources = self.sources.with_items(other.items, np.zeros(0, np.int64))
        return other

    def with_items(self, rows: pa.Table, vectors: np.ndarray) -> Self:
        """The same models over a catalogue with other rows; this one stays as it is.

        Args:
            rows: of the item feature table, each item once: new content of known items, and new items.
            vectors: `[rows, dim]` float32, by the item tower.
        """
        other, listed = copy.copy(self), rows.to_pylist()
        other.items = self.items.with_items(rows, vectors, self.spec)
        other.catalogue = self.catalogue.with_items(listed, self._lifetimes(other.items))
        where = np.array([other.catalogue.positions[row["item_id"]] for row in listed], np.int64)
        other.sources = self.sources.with_items(other.items, where)
        other.ranker = self.ranker.with_items(where, item_inputs(rows.to_pydict(), self.spec))
        other._plug(self.plugged.over(other.catalogue, other.items))
        other.reranker = self.reranker.with_items(other.items, rows, where, self.spec)
        other.retrieval = self.retrieval.with_items(other.items.vectors, other.catalogue.available, where)
        other.slates = SlateMaker(other.catalogue, other.items.segments, self.settings.release)
        return other

    def _lifetimes(self, items: ItemTable) -> Lifetimes | None:
        """Those of other items: the same ones where no date changed, since they are sorted."""
        same = all(getattr(items, n) is getattr(self.items, n) for n in ("created_at", "available_until", "counters"))
        return self.catalogue.lifetimes if same else Lifetimes.of(items)

    @property
    def breakers(self) -> tuple[Dependency, ...]:
        """Before the parts, in the order of the path, and before the classes of the release's own."""
        return *self.guards.all(), *self.plugged.guards.values()

    def close(self) -> None:
        """Lets go of the threads in which the parts are called."""
        self.guards.close()
        for guard in self.plugged.guards.values():
            guard.close()

    def _plug(self, plugged: Plugged) -> None:
        self.plugged, self.ranker = plugged, plugged.ranker or self.ranker

    @property
    def parts(self) -> tuple[ItemTable, QueryTower, Ranker | OwnRanker]:
        """What an explanation takes apart."""
        return self.items, self.query_tower, self.ranker
