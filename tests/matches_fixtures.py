"""Six items with towns and tags, and queries that ask for them by `matched`."""

import numpy as np
import pyarrow as pa

from souk.config import BuildFeatures, Columns
from souk.items import FORM, ItemTable
from souk.pair_query import PairQuery
from souk.schema import DAY_MS
from tests.models_fixtures import cycle_spec

NOW = 1_000 * DAY_MS
CITIES = ["fes", "rabat", "fes", "", "fes", "rabat"]
TAGS = [["jazz", "rock"], ["jazz"], [], ["fes"], ["jazz"], []]
EVENTS = [3, 9, 7, 8, 0, 5]
NAMES = [f"i{n}" for n in range(6)]


def spec(*matches):
    columns = {
        "users": {"home": "categorical", "likes": "list"},
        "events": {"place": "categorical"},
        "items": {"city": "categorical", "tags": "list"},
    }
    build = BuildFeatures(history_length=8, matches=[list(pair) for pair in matches])
    return cycle_spec(columns=Columns.model_validate(columns), build=build)


BOTH = spec(("user_home", "item_city"), ("user_likes", "item_tags"))


def rows(names, cities, tags):
    return pa.table({"item_id": names, "item_city": cities, "item_tags": pa.array(tags, pa.list_(pa.string()))})


def table(given=BOTH, form=FORM):
    """Items that were taken 3, 9, 7, 8, 0 and 5 times."""
    counters = pa.table(
        {"item_id": NAMES, "events": EVENTS, "lately": [float(n) for n in EVENTS], "satisfied_rate": [0.5] * 6}
        | {"until": [NOW] * 6, "half_life_days": [float("inf")] * 6}
    )
    return ItemTable.of(rows(NAMES, CITIES, TAGS), counters, np.eye(6, dtype=np.float32), given, form=form)


def query(items, time=NOW, window=(), **asker):
    tokens = {
        "token_item_id": [NAMES[place] for place in window],
        "token_gap": [float("nan"), *[60.0] * len(window)][: len(window)],
        "token_event_type": ["click"] * len(window),
        "token_value": [float("nan")] * len(window),
    }
    return PairQuery.of(time, tokens, 60.0, items, {f"user_{name}": value for name, value in asker.items()})


def listed(sources, asked, count=9, allowed=lambda positions: np.ones(len(positions), bool)):
    lists, failed = sources.listed(asked, None, count, allowed)
    assert not failed
    return lists["matched"].tolist()
