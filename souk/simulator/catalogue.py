"""The items: what they are, what they are really worth, and when they are to be had."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from souk.schema import DAY_MS
from souk.simulator.identifiers import identifiers
from souk.simulator.parameters import START, Parameters, Size

# Department: its median price, the words of its titles, and its leaves, as many in each.
DEPARTMENTS: dict[str, tuple[float, tuple[str, ...], tuple[str, ...]]] = {
    "fashion": (40.0, ("leather", "cotton", "slim", "winter"), ("boots", "dresses", "jackets", "bags")),
    "home": (30.0, ("oak", "linen", "folding", "round"), ("lamps", "chairs", "rugs", "shelves")),
    "sports": (35.0, ("outdoor", "light", "team", "trail"), ("bikes", "tents", "balls", "skates")),
    "music": (60.0, ("acoustic", "electric", "studio", "vintage"), ("guitars", "drums", "records", "pianos")),
    "garden": (20.0, ("hardy", "dwarf", "copper", "evergreen"), ("seeds", "tools", "ponds", "fences")),
    "toys": (15.0, ("wooden", "magnetic", "tiny", "talking"), ("puzzles", "trains", "dolls", "kites")),
}
LEAVES = tuple(f"{name}/{leaf}" for name, (_, _, leaves) in DEPARTMENTS.items() for leaf in leaves)
DEPARTMENT_OF = np.repeat(np.arange(len(DEPARTMENTS)), [len(leaves) for _, _, leaves in DEPARTMENTS.values()])
PLAIN_WORDS = ("classic", "sturdy", "simple", "everyday", "fine", "new")
LOUD_WORDS = ("unbelievable", "secret", "viral", "miracle")
CONDITIONS = ("new", "refurbished", "used")
CONDITION_QUALITY = np.array([0.2, 0.0, -0.4])
BRANDS = 6  # of a department
ITEMS_PER_SELLER = 25
YEAR_DAYS = 365
NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Items:
    """By index, oldest first.

    Args:
        ids: `[items]` text.
        leaf: `[items]` int64, index into LEAVES.
        price: `[items]` float64, what a buyer pays.
        relative_price: `[items]` float64, log(price / department's median) in standard deviations.
        quality: `[items]` float64, standard normal over items.
        bait: `[items]` float64 in [0, 1], the clickbait share: what the listing promises beyond what the item is.
        created_at: `[items]` int64, UTC epoch milliseconds.
        withdrawn_day: `[items]` int64, first day on which it is no longer offered; NEVER for most.
        seller: `[items]` int64.
        brand: `[items]` int64, of its department.
        condition: `[items]` int64, index into CONDITIONS.
        photos: `[items]` int64.
        title: `[items]` text.
    """

    ids: np.ndarray
    leaf: np.ndarray
    price: np.ndarray
    relative_price: np.ndarray
    quality: np.ndarray
    bait: np.ndarray
    created_at: np.ndarray
    withdrawn_day: np.ndarray
    seller: np.ndarray
    brand: np.ndarray
    condition: np.ndarray
    photos: np.ndarray
    title: np.ndarray

    def offered(self, day: int) -> np.ndarray:
        """`[items]` bool: created before the day begins, and not withdrawn."""
        return (self.created_at < START + day * DAY_MS) & (self.withdrawn_day > day)

    def table(self, day: int) -> pa.Table:
        """What a shop would know of the items on `day`: the `items` of the contract, and two more columns."""
        departments = list(DEPARTMENTS)
        brands = [f"{departments[DEPARTMENT_OF[leaf]]}-{b}" for leaf, b in zip(self.leaf, self.brand, strict=True)]
        return pa.table(
            {
                "item_id": pa.array(self.ids.tolist(), pa.string()),
                "created_at": self.created_at,
                "available": self.withdrawn_day > day,
                "available_until": pa.nulls(len(self.ids), pa.int64()),  # this shop notes no ends
                "price": self.price,
                "seller_id": [f"s{seller:04d}" for seller in self.seller],
                "brand": brands,
                "category": [LEAVES[leaf] for leaf in self.leaf],
                "title": pa.array(self.title.tolist(), pa.string()),
                "condition": [CONDITIONS[condition] for condition in self.condition],
                "photos": self.photos,
            }
        )


def draw_items(rng: np.random.Generator, size: Size, parameters: Parameters) -> Items:
    """Draws the catalogue; as many items as a slate holds are there from the first day to the last."""
    count = size.items
    leaf = rng.integers(len(LEAVES), size=count)
    department = DEPARTMENT_OF[leaf]
    brand, seller = rng.integers(BRANDS, size=count), rng.integers(max(2, count // ITEMS_PER_SELLER), size=count)
    condition = rng.choice(len(CONDITIONS), size=count, p=[0.6, 0.15, 0.25])
    quality = (
        0.5 * rng.standard_normal(seller.max() + 1)[seller]
        + 0.5 * rng.standard_normal((len(DEPARTMENTS), BRANDS))[department, brand]
        + CONDITION_QUALITY[condition]
        + 0.6 * rng.standard_normal(count)
    )
    baits = rng.random(count) < parameters.bait_items
    bait = np.where(baits, rng.uniform(0.6, 1.0, count), rng.uniform(0.0, 0.1, count))
    relative = rng.standard_normal(count)
    median = np.array([price for price, _, _ in DEPARTMENTS.values()])[department]
    created_at, withdrawn_day = _times(rng, size, parameters)
    return Items(
        ids=identifiers("i", count),
        leaf=leaf,
        price=np.round(median * np.exp(parameters.price_spread * relative), 2),
        relative_price=relative,
        quality=(quality - quality.mean()) / max(quality.std(), 1e-9),
        bait=bait,
        created_at=created_at,
        withdrawn_day=withdrawn_day,
        seller=seller,
        brand=brand,
        condition=condition,
        photos=1 + rng.poisson(3 + 3 * bait),
        title=_titles(rng, leaf, bait),
    )


def _times(rng: np.random.Generator, size: Size, parameters: Parameters) -> tuple[np.ndarray, np.ndarray]:
    """When items come, oldest first, and when some go."""
    kept = parameters.slate_size
    new = min(int(parameters.new_items * size.items), size.items - kept)
    gone = min(int(parameters.withdrawn_items * size.items), size.items - new - kept)
    old = rng.integers(START - YEAR_DAYS * DAY_MS, START, size.items - new)
    late = rng.integers(START, START + size.days * DAY_MS, new)
    withdrawn_day = np.full(size.items, NEVER)
    chosen = rng.choice(size.items - new, gone, replace=False)
    withdrawn_day[chosen] = rng.integers(size.days // 2, size.days + 1, gone)
    return np.sort(np.concatenate([old, late])), withdrawn_day


def _titles(rng: np.random.Generator, leaf: np.ndarray, bait: np.ndarray) -> np.ndarray:
    """A manner, a word of the department and the leaf: "sturdy oak chairs"; clickbait is loud."""
    loud = rng.random(len(leaf)) < bait
    manner = np.where(loud, rng.choice(LOUD_WORDS, len(leaf)), rng.choice(PLAIN_WORDS, len(leaf)))
    words = [words for _, words, _ in DEPARTMENTS.values()]
    chosen = rng.integers(4, size=len(leaf))
    titles = [
        f"{first} {words[DEPARTMENT_OF[where]][word]} {LEAVES[where].split('/')[1]}"
        for first, where, word in zip(manner.tolist(), leaf, chosen, strict=True)
    ]
    return np.array(titles, dtype=str)
