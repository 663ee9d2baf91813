"""What is a user's own is in none of this user's slates: not in training, evaluation or serving."""

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from souk.config import parse_config
from souk.errors import SoukError
from souk.evaluation.protocol import rank
from souk.evaluation.queries import ask
from souk.evaluation.windows import read_window
from souk.models.exclusions import exclusions
from souk.owners import owned
from souk.serving.catalogue import Catalogue
from souk.serving.filters import Filters
from souk.serving.kept_out import KeptOut
from souk.serving.request import Request
from souk.state import UserState
from tests.evaluation_fixtures import EVENTS, ITEMS, START, Fixed, make_spec, write_artifacts
from tests.marketplace import CONFIG

SELLERS = ["ann", None, "eve", "ann", "", "zoe"]  # of a, b, c, d, gone, new
NAMES = sorted(ITEMS)


def spec_of(own="seller_id", kind="categorical"):
    columns = {**CONFIG["columns"], "items": {**CONFIG["columns"]["items"], own or "seller_id": kind}}
    return make_spec({**CONFIG, "columns": columns, "repeat": {"own": own} if own else "always"})


@pytest.fixture
def folders(tmp_path):
    tables, features = write_artifacts(tmp_path / "made", EVENTS, ITEMS, START)
    items = pq.read_table(features / "items.parquet")
    sellers = pa.array(SELLERS, pa.string())
    pq.write_table(items.append_column("item_seller_id", sellers), features / "items.parquet")
    return tables, features


def test_who_owns_what(folders):
    found = {user: places.tolist() for user, places in owned(folders[1], spec_of()).items()}
    assert found == {"ann": [0, 3], "eve": [2], "zoe": [5]}
    assert owned(folders[1], spec_of(own="")) == {}


def test_an_item_may_have_several_owners(folders):
    items = pq.read_table(folders[1] / "items.parquet").drop_columns("item_seller_id")
    both = pa.array([["ann", "bob"], [], ["bob"], None, ["eve"], ["bob"]])
    pq.write_table(items.append_column("item_sellers", both), folders[1] / "items.parquet")
    found = {user: places.tolist() for user, places in owned(folders[1], spec_of("sellers", "list")).items()}
    assert found == {"ann": [0], "bob": [0, 2, 5], "eve": [4]}


def test_the_evaluation_asks_nobody_for_what_is_the_users_own(folders):
    """Ann takes c and her own d, then b, then what is gone: d is no target, and neither a nor d is in her ranking."""
    catalogue, window = read_window(*folders, spec_of(), "test")
    asked = ask(window, catalogue, spec_of(), most=20)
    told = [(query.user_id, [catalogue.ids[place] for place in query.targets]) for query in asked.queries]
    assert told == [("ann", ["c"]), ("ann", ["b"]), ("eve", ["new"])]
    assert asked.causes["the user's own"] == 1
    ranking = rank(Fixed(catalogue, {"a": 9, "d": 8, "c": 7}), asked.queries, catalogue)
    assert [ranks.tolist() for ranks in ranking.ranks] == [[1], [2], [4]], "eve does not own a and d, but c"
    free = ask(window, read_window(*folders, spec_of(own=""), "test")[0], spec_of(own=""), most=20)
    assert free.causes["the user's own"] == 0 and len(free.queries[0].targets) == 2


def test_the_ranker_learns_from_no_list_with_the_users_own(folders):
    columns = ("user_id", "timestamp", "item_id")
    rows = [dict(zip(columns, (user, time, item), strict=True)) for user, item, kind, time in EVENTS if kind == "click"]
    examples = pa.Table.from_pylist(rows)
    pq.write_table(examples, folders[1] / "examples.parquet")
    out = exclusions(folders[1], examples, spec_of(), {item: place for place, item in enumerate(NAMES)})
    assert [out(SimpleNamespace(user=user, time=START)).tolist() for user in ("ann", "bob", "eve")] == [[0, 3], [], [2]]


def test_a_server_keeps_the_users_own_out_as_upserts_have_it():
    spec = spec_of()
    columns = {feature.name: [None] * len(NAMES) for feature in spec.of("item")} | {"item_seller_id": SELLERS}
    filters = Filters.of(columns, len(NAMES), spec)
    catalogue = Catalogue.of(NAMES, [None] * len(NAMES), np.ones(len(NAMES), bool), filters)

    def kept(user, spec=spec, catalogue=catalogue):
        return set(KeptOut.of(Request(user, 5, START, exclude=("b",)), UserState(user), catalogue, spec).never)

    assert kept("ann") == {0, 1, 3} and kept("bob") == {1} and kept("") == {1}
    assert kept("ann", spec_of(own="")) == {1}
    row = {feature.name: None for feature in spec.of("item")} | {"item_id": "d", "title": "", "available": True}
    changed = catalogue.with_items([{**row, "item_seller_id": "bob"}], None)
    assert kept("ann", catalogue=changed) == {0, 1} and kept("bob", catalogue=changed) == {1, 3}


@pytest.mark.parametrize("line", ["own: seller", "own: price", "own: title"])
def test_a_column_that_names_no_owners_is_refused(line):
    config = "name: x\ndata: {events: {path: e.csv}, items: {path: i.csv}}\nobjectives: {engaged: {events: [click]}, "
    config += "satisfied: {events: [click]}}\ncolumns: {items: {seller_id: categorical, price: numeric, title: text}}\n"
    with pytest.raises(SoukError, match=r"categorical or list column of items, with ids of users, in repeat\.own"):
        parse_config(config + f"repeat: {{{line}}}\n")
    assert parse_config(config + "repeat: {own: seller_id}\n").repeat.own == "seller_id"
