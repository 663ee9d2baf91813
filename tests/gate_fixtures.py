"""A shop large enough to judge models in, and models whose worth is chosen user by user."""

import numpy as np

from souk.config import Evaluate
from souk.evaluation.baselines import ItemKnn, Popularity
from souk.evaluation.cost import Cost
from souk.evaluation.measure import measure_models
from souk.evaluation.observed import Observed
from souk.evaluation.reranking import Alternatives
from souk.evaluation.setting import Setting
from tests.evaluation_fixtures import DAY, START, make_spec, write_artifacts, write_examples
from tests.marketplace import CONFIG

USERS, ITEMS, NEW = 400, 100, 20  # the last NEW items have no event before the window
CANDIDATES = 25
BATCH = 40  # requests in one call
TOWNS = ("north", "north", "north", "south")


def town(user_id):
    return TOWNS[int(user_id[1:]) % len(TOWNS)]


def gate_setting(folder):
    """Everyone had five popular items and takes one more thing, one user in four a new one; i000 is the top 1%."""
    random = np.random.default_rng(7)
    names = [f"u{n:03d}" for n in range(USERS)]
    rows = [(user, f"i{n:03d}", "click", START - DAY + n) for user in names for n in range(5)]
    rows += [(user, f"i{5 + n % 70:03d}", "click", START - DAY + 9) for n, user in enumerate(names)]
    wanted = [random.integers(ITEMS - NEW, ITEMS) if n % 4 == 1 else random.integers(10, 75) for n in range(USERS)]
    rows += [(user, f"i{item:03d}", "click", START + DAY) for user, item in zip(names, wanted, strict=True)]
    users = [{"user_id": user, "town": town(user), "age": 20 + n % 50} for n, user in enumerate(names)]
    columns = {"users": {"town": "categorical", "age": "numeric"}}
    tables, features = write_artifacts(folder / "gate", rows, {f"i{n:03d}": True for n in range(ITEMS)}, START, users)
    write_examples(features, {})
    spec = make_spec({**CONFIG, "repeat": "always", "columns": columns})
    return Setting.read(Evaluate(bootstrap=200), spec, tables, features, lambda text: None)


class Made:
    """A request path that ranks the target of a query first by the chance of its user's, and far behind otherwise.

    Args:
        catalogue: the items.
        name: of the model.
        chance: query → that of a hit.
        seed: of the luck.
        fill: how many items stand before all others beside the targets; the whole catalogue by default.
        popular: the chance that the most popular item stands in the second place.
        predicted: the probability that it gives each candidate; the true one by default.
        seconds: that a request takes, by a clock of the model's own: a busy machine decides no test.
        folder: where the model lies.
    """

    def __init__(
        self, catalogue, name, chance, seed=0, fill=ITEMS, popular=0.5, predicted=None, seconds=0.001, folder=None
    ):
        self.name = name
        self.observing, self.observed, self.alternatives = True, Observed(), Alternatives()
        self._now = 0.0
        size = sum(path.stat().st_size for path in folder.rglob("weights")) if folder else 0
        self.cost = Cost(size, clock=lambda: self._now)
        self._catalogue, self._chance, self._seed = catalogue, chance, seed
        self._fill, self._popular, self._predicted, self._seconds = fill, popular, predicted, seconds

    def score(self, queries):
        rows = []
        for start in range(0, len(queries), BATCH):
            batch = queries[start : start + BATCH]
            with self.cost.timed(len(batch)):
                self._now += self._seconds * len(batch)
            for query in batch:
                order = self._order(query)
                predicted = 1 / CANDIDATES if self._predicted is None else self._predicted
                heads = {"engaged": np.full(CANDIDATES, predicted)}
                if self.observing:
                    self.observed.add(query, order[:CANDIDATES], np.arange(CANDIDATES), heads)
                row = np.zeros(len(self._catalogue.ids), np.float32)
                row[order] = np.arange(len(order), 0, -1)
                rows.append(row)
        return np.array(rows)

    def _order(self, query):
        """`[items]` positions: the target is first, or the last candidate; the others vary by user."""
        random = np.random.default_rng([self._seed, int(query.user_id[1:])])
        hit, popular = random.uniform(size=2) < (self._chance(query), self._popular)
        shown, targets = (1 + random.permutation(ITEMS - 1)).tolist(), query.targets.tolist()
        shown.sort(key=lambda place: place >= self._fill)
        order = [place for place in ([0, *shown] if popular else [*shown, 0]) if place not in targets]
        at = 0 if hit else CANDIDATES - len(targets)
        return np.array([*order[:at], *targets, *order[at:]])


def measured(setting, *slates, others=()):
    """The metrics of a challenger and perhaps a champion, beside baselines or some `others`, and those of each user."""
    return measure_models(setting, slates, others or [ItemKnn(setting.catalogue), Popularity(setting.catalogue)])
