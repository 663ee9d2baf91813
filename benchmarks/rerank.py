"""What a control of re-ranking costs and brings, and how popular what is shown is.

    python -m benchmarks.rerank CONFIG FEATURES TOWERS RANKER [KEY=VALUE,...]

The users that the ranker held out of the validation window, on the candidates that it was trained on; the test window
is not read. FEATURES, TOWERS and RANKER are folders of `build_features`, `train_two_tower` and `train_ranker`, of the
twin of CONFIG. Each KEY=VALUE,VALUE,... is a key of `rerank` and the values to try, one after the other:
`popularity=0.5,1 diversity=0.1`. The first row is the order of the ranker. `--rare COLUMN` adds the share of places of
items with a value of an item column (`item_genres`) that fewer than 6% of what was taken have.

Figures are averaged within a user, then over users, as in an evaluation; `low` and `high` are the 95% interval of the
change, over users.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import yaml

from benchmarks.__main__ import table
from souk.config import Rerank, TrainRanker, load_config
from souk.features.transform import load_transform
from souk.features.windows import read_windows
from souk.items import ItemTable
from souk.metrics import Interval, coverage, mean_by_user
from souk.models.calibration import Calibration
from souk.models.held_out import split_users
from souk.models.inputs import read_transformed
from souk.models.rank_examples import RankExamples, read_rank_examples
from souk.models.rank_lists import rank_lists
from souk.models.rank_scoring import new_ranker, scoring, spread_of
from souk.models.ranker import Ranker
from souk.models.sequences import Sequences as Rows
from souk.models.sequences import read_catalogue
from souk.models.towers import TowerShape
from souk.models.weights import load_weights
from souk.rerank import POPULAR, Reranker
from souk.slate_score import log_chances, log_scores
from souk.spec import Entity, read_spec

TOP = 10
RARE = 0.06
SAMPLES = 1000  # of the bootstrap


@dataclass(frozen=True)
class Lists:
    """The candidates of held-out moments, best first by the ranker.

    Args:
        reranker: of the items, without a rule.
        popular: `[items]` bool, the most popular 1% of the available.
        available: how many items are.
        users: `[moments] int64`, whose each is, from 0 on.
        positions, log_scores, taken: of each moment, `[C]`.
        best: the greatest DCG of each moment.
        time: of the window, UTC epoch milliseconds.
        rare: `[items]` bool, items with a rare value; None where nobody asks.
    """

    reranker: Reranker
    popular: np.ndarray
    available: int
    users: np.ndarray
    positions: list[np.ndarray]
    log_scores: list[np.ndarray]
    taken: list[np.ndarray]
    best: np.ndarray
    time: int
    rare: np.ndarray | None = None

    def rare_share(self) -> float:
        """The share of rare items of the ranker's first places."""
        if self.rare is None:
            return float("nan")
        return float(self._by_user([self.rare[own[:TOP]].mean() for own in self.positions]).mean())

    def measure(self, rules: Rerank) -> tuple[np.ndarray, np.ndarray, np.ndarray, float, float]:
        """Per user NDCG@10, the share of the most popular, and diversity by the vectors; coverage; milliseconds."""
        reranker = replace(self.reranker, rules=rules)
        tops, gains, apart, took = [], [], [], []
        for positions, scores, taken in zip(self.positions, self.log_scores, self.taken, strict=True):
            began = time.perf_counter()
            order = reranker.order(positions, scores, self.time, TOP)[:TOP]
            took.append(1000 * (time.perf_counter() - began))
            tops.append(positions[order])
            gains.append((taken[order] / np.log2(2 + np.arange(len(order)))).sum())
            vectors = reranker.items.vectors[tops[-1]]
            vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
            pairs = max(1, len(order) * (len(order) - 1))
            apart.append(1 - ((vectors @ vectors.T).sum() - len(order)) / pairs)
        shares = [self.popular[top].mean() for top in tops]
        ndcg, popular, diversity = map(self._by_user, (np.array(gains) / self.best, shares, apart))
        return ndcg, popular, diversity, coverage(np.concatenate(tops), self.available), float(np.median(took))

    def _by_user(self, values: Sequence[float] | np.ndarray) -> np.ndarray:
        """The mean of each user's moments."""
        return mean_by_user(np.asarray(values), self.users, int(self.users.max()) + 1)


def main() -> None:
    """Reads the arguments, reorders and prints."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rerank", description=(__doc__ or "").split(":")[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("features", type=Path)
    parser.add_argument("towers", type=Path)
    parser.add_argument("ranker", type=Path)
    parser.add_argument("keys", nargs="*", metavar="KEY=VALUE,...")
    parser.add_argument("--rare", metavar="COLUMN", help="tell the share of items with a rare value of this column")
    given = parser.parse_args()
    lists = read_lists(load_config(given.config).train_ranker, given.features, given.towers, given.ranker)
    tried = [{}, *({key: value} for key, values in map(_split, given.keys) for value in values)]
    print(table(rows(lists, tried)))
    if given.rare:
        rare = rare_items(given.features, given.towers, given.rare)
        print(f"rare by the ranker: {replace(lists, rare=rare).rare_share():.3f}; in the catalogue: {rare.mean():.3f}")


def _split(text: str) -> tuple[str, Sequence[object]]:
    key, _, values = text.partition("=")
    return key, [yaml.safe_load(value) for value in values.split(",")]


def rows(lists: Lists, tried: Sequence[dict[str, object]]) -> list[dict[str, object]]:
    """A row for each setting, with its change from the first, paired."""
    found: list[dict[str, object]] = []
    base = np.zeros(0)
    for rules in tried:
        ndcg, shares, apart, covered, took = lists.measure(Rerank.model_validate(rules))
        base = base if len(base) else ndcg
        change = relative(ndcg, base)
        found.append(
            {
                "rerank": json.dumps(rules),
                "ndcg@10": f"{ndcg.mean():.4f}",
                "change": f"{change.mean:+.1%}",
                "low": f"{change.low:+.1%}",
                "high": f"{change.high:+.1%}",
                "top 1%": f"{shares.mean():.4f}",
                "coverage": f"{covered:.3f}",
                "diversity": f"{apart.mean():.3f}",
                "ms": f"{took:.2f}",
            }
        )
    return found


def relative(own: np.ndarray, base: np.ndarray) -> Interval:
    """How much the mean of `own` is above that of `base`, in parts of it, both `[users]`: the users are drawn for both
    at once, so that the interval has the error of either."""
    drawn = np.random.default_rng(0).integers(len(own), size=(SAMPLES, len(own)))
    low, high = np.quantile(own[drawn].mean(axis=1) / base[drawn].mean(axis=1) - 1, (0.025, 0.975))
    return Interval(float(own.mean() / base.mean() - 1), float(low), float(high))


def rare_items(features: Path, towers: Path, column: str) -> np.ndarray:
    """`[items] bool`: whether an item has a value of `column` that fewer than RARE of what was taken have."""
    table = pq.read_table(features / "items.parquet", columns=["item_id", column]).to_pydict()
    values = [set(each if isinstance(each, list) else [each]) - {None, ""} for each in table[column]]
    own = dict(zip(table["item_id"], values, strict=True))
    moments = pq.read_table(towers / "candidates.parquet", columns=["moment"])["moment"].to_pylist()
    taken = [each["item_id"] for whole in moments for each in whole]
    counts = Counter(value for item in taken for value in own[item])
    rare = {value for value, count in counts.items() if count < RARE * len(taken)}
    return np.array([bool(each & rare) for each in values])


def read_lists(config: TrainRanker, features: Path, towers: Path, ranker: Path) -> Lists:
    """The ranker's word on the candidates of the users that it held out."""
    record = json.loads((ranker / "training.json").read_text(encoding="utf-8"))
    spec, windows = read_spec(features / "spec.json"), read_windows(features / "windows.json")
    transforms = {str(entity): load_transform(features, entity) for entity in Entity}
    catalogue = read_catalogue(features, spec, transforms["item"])
    sequences = Rows.open(features, spec, transforms, catalogue.ids)
    items = ItemTable.load(features, "validation_start", np.load(towers / "candidate_vectors.npy"))
    bounds = windows.validation_start, windows.test_start
    examples = read_rank_examples(towers / "candidates.parquet", sequences, items, bounds, record["candidates"])
    model = Ranker(TowerShape(read_transformed(features), spec.history_length), config, spec.objectives.given)
    load_weights(ranker / "weights.npz", new_ranker(model, examples, catalogue))
    even = np.ones(examples.positions.shape, np.float32)
    _, held_out = split_users(examples.users, config.seed, examples.newcomer)
    moments = held_out[examples.first[held_out]]
    lists = rank_lists(examples, spread_of(model, examples), even, config.debias)
    logits = scoring(model, catalogue, record["with_body"])(lists, moments)
    chances = {head: Calibration(**curve).probability(logits[head]) for head, curve in record["calibration"].items()}
    scores = log_scores(log_chances(chances), spec.weights(record["objectives"]))
    orders = [inside[np.argsort(-own[inside], kind="stable")] for inside, own in _inside(examples, moments, scores)]
    table = pq.read_table(features / "items.parquet")
    available = np.flatnonzero(table["available"].to_numpy(zero_copy_only=False))
    popular = available[np.argsort(-items.counters[available, 0], kind="stable")]
    taken = np.minimum(examples.taken[moments], TOP)
    return Lists(
        reranker=Reranker.of(Rerank(), items, table, spec),
        popular=np.isin(np.arange(len(table)), popular[: max(1, round(POPULAR * len(popular)))]),
        available=len(available),
        users=np.unique(np.asarray(examples.users[moments]).astype(str), return_inverse=True)[1],
        positions=[examples.positions[row][order] for row, order in zip(moments, orders, strict=True)],
        log_scores=[own[order] for own, order in zip(scores, orders, strict=True)],
        taken=[examples.chosen[row][order] for row, order in zip(moments, orders, strict=True)],
        best=np.cumsum(1 / np.log2(2 + np.arange(TOP)))[taken - 1],
        time=bounds[1],
    )


def _inside(examples: RankExamples, moments: np.ndarray, scores: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    return ((np.flatnonzero(examples.candidate[row]), own) for row, own in zip(moments, scores, strict=True))


if __name__ == "__main__":
    main()
