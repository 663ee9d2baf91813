"""The files of a simulation: the contract, the order of things, the same bytes for the same seed."""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from souk.config import load_config
from souk.schema import DAY_MS, EVENTS, ITEMS, USERS, EventType
from souk.simulator.events import KINDS, RATING, RETURN
from souk.simulator.parameters import START, Parameters, Size
from souk.simulator.policies import Mix, draw_slates, own_policy
from souk.simulator.served_policy import Served
from souk.simulator.simulation import going_on, new_marketplace, simulate
from souk.simulator.slates import WHOLE, Requests
from tests.simulator_fixtures import Simulated, make, places_of

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Simulated:
    return make(tmp_path_factory.mktemp("small") / "data", users=800)


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_tables_are_those_of_the_contract(small):
    arrow = {"string": "string", "int64": "int64", "double": "double", "bool": "bool"}
    for name, contract in (("events", EVENTS), ("items", ITEMS), ("users", USERS)):
        table = pq.read_table(small.folder / f"{name}.parquet")
        types = {field.name: str(field.type) for field in table.schema}
        assert {c.name: arrow[c.type] for c in contract}.items() <= types.items()
        for column in contract:
            assert not column.required or not table[column.name].null_count, column.name
            least = [
                value for value in table[column.name].to_pylist() if value is not None and column.minimum is not None
            ]
            assert not least or min(least) >= column.minimum, column.name
    assert set(small.events["event_type"]) == {str(kind) for kind in EventType if kind is not EventType.HIDE}


def test_every_column_has_values_but_the_release(small):
    table = pq.read_table(small.folder / "events.parquet")
    assert [name for name in table.column_names if table[name].null_count == len(table)] == ["release"]
    items = pq.read_table(small.folder / "items.parquet")
    assert 0 < items["available"].to_pylist().count(False) < len(items)


def test_ids_are_unique_and_in_the_order_of_time(small):
    ids, times = small.events["event_id"].astype(str), small.events["timestamp"]
    assert len(set(ids)) == len(ids)
    assert (np.sort(ids) == ids).all()
    assert (np.diff(times) >= 0).all()
    assert (small.events["arrived_at"] >= times).all()
    assert times.min() >= START
    assert times.max() < small.truth.end


@pytest.mark.parametrize(
    ("kind", "before", "same"),
    [("click", "impression", True), ("cart", "click", True), ("purchase", "cart", True), ("return", "purchase", False),
     ("rating", "purchase", False)],
)  # fmt: skip
def test_each_event_has_the_one_that_it_follows(small, kind, before, same):
    """In the same request at the same position, with the same user, item and session, and later."""
    later, earlier = small.of(kind), small.of(before)
    order = np.argsort(places_of(earlier))
    found = order[np.searchsorted(places_of(earlier)[order], places_of(later))]
    assert len(later["user"]) > 20
    for name in (
        "user_id",
        "item_id",
        "session_id",
        "request_id",
        "position",
        "device",
        "location",
        "surface",
        "price",
    ):
        assert (earlier[name][found] == later[name]).all(), name
    assert (earlier["timestamp"][found] < later["timestamp"]).all()
    if same:
        assert (earlier["propensity"][found] == later["propensity"]).all()
    if kind != "rating":
        assert len(np.unique(places_of(later))) == len(later["user"]), "at most one of a kind at a position"


def test_a_slate_shows_ten_different_items_to_one_user_at_one_moment(small):
    items = np.sort(small.slates("item"), axis=1)
    assert (np.diff(items, axis=1) > 0).all()
    for name in ("user", "timestamp", "session_id", "surface"):
        assert (small.slates(name) == small.slates(name)[:, :1]).all(), name
    assert (small.slates("position") == np.arange(10)).all()


def test_sessions_are_of_one_user_and_day_and_requests_follow_each_other(small):
    sessions, times = small.slates("session_id")[:, 0].astype(str), small.slates("timestamp")[:, 0]
    keys, index = np.unique(sessions, return_inverse=True)
    first, last = np.full(len(keys), np.inf), np.zeros(len(keys))
    np.minimum.at(first, index, times)
    np.maximum.at(last, index, times)
    assert ((first - START) // DAY_MS == (last - START) // DAY_MS).all()
    acts = small.events["timestamp"][small.events["event_type"] == "purchase"]
    assert 1 < len(sessions) / len(keys) < 2
    assert len(acts)


def test_users_come_after_they_joined(small):
    created = small.truth.world.users.created_at
    assert (small.events["timestamp"] > created[small.events["user"]]).all()
    assert (created > START).sum() > 50


def test_titles_and_prices_follow_from_the_category(small):
    items = pq.read_table(small.folder / "items.parquet").to_pydict()
    for title, category in zip(items["title"], items["category"], strict=True):
        assert title.split()[-1] == category.split("/")[1]
    assert (np.array(items["price"]) > 0).all()


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(tmp_path):
    first, again, other = (
        digests(make(tmp_path / name, users=60, items=30, days=4, seed=seed).folder)
        for name, seed in (("a", 5), ("b", 5), ("c", 6))
    )
    assert first == again
    assert {name for name in first if first[name] == other[name]} <= {"simulated.yaml"}


def test_the_policy_changes_neither_users_nor_items(tmp_path):
    one, other = (
        digests(make(tmp_path / name, users=60, items=30, days=4, policy=name).folder) for name in ("random", "popular")
    )
    same = {"items.parquet", "users.parquet", "truth/items.parquet", "truth/users.parquet", "truth/tastes.npy"}
    assert same <= {name for name in one if one[name] == other[name]}
    assert one["events.parquet"] != other["events.parquet"]


def test_a_marketplace_goes_on_where_it_ended(tmp_path):
    first = make(tmp_path / "first", users=200, items=40, days=6)
    beginning = going_on(first.truth)
    simulate(
        tmp_path / "second", beginning, 4, 1, own_policy("random", 0.5, beginning.clicks), "random", lambda text: None
    )
    second = Simulated(tmp_path / "second")
    assert (second.truth.trust[0] == first.truth.trust[-1]).all()
    assert second.events["timestamp"].min() >= first.truth.end
    assert second.truth.course.end_day == 10
    for name in ("event_id", "session_id", "request_id"):
        assert min(second.shown[name]) > max(first.shown[name]), name
    for name in ("items.parquet", "users.parquet"):
        assert (first.folder / "truth" / name).read_bytes() == (second.folder / "truth" / name).read_bytes()


class Noting(Mix):
    """Notes what it is told, beside who asks when."""

    def __init__(self, clicks):
        super().__init__("mix", 0.8, clicks)
        self.told, self.asked, self.late = [], [], 0

    def slates(self, requests, k, rng):
        self.asked.append(dict(zip(requests.users.tolist(), requests.times.tolist(), strict=True)))
        return super().slates(requests, k, rng)

    def observe(self, rows):
        super().observe(rows)
        assert (np.diff(rows["time"]) >= 0).all()
        last = {user: time for asked in self.asked for user, time in asked.items()}
        later = np.isin(rows["kind"], (RETURN, RATING))
        self.late += sum(last.get(row["user"], 0) > row["time"] for row in rows[later])
        self.told.append(rows)


def test_a_policy_is_told_of_all_acts_and_of_returns_and_ratings_before_the_next_request(tmp_path):
    beginning = new_marketplace(Size(users=200, items=60, days=14, seed=3), Parameters())
    policy = Noting(beginning.clicks)
    counts = simulate(tmp_path / "data", beginning, 14, 3, policy, "mix", lambda text: None)
    told = np.concatenate(policy.told)
    assert dict(zip(KINDS, np.bincount(told["kind"], minlength=len(KINDS)).tolist(), strict=True)) == counts
    assert counts["return"] > 0 < counts["rating"] and policy.late == 0
    written = Simulated(tmp_path / "data").events
    assert np.sort(told["time"]).tolist() == written["timestamp"].tolist()


def test_a_served_release_is_sent_returns_and_ratings(tmp_path):
    beginning = new_marketplace(Size(users=200, items=60, days=14, seed=3), Parameters())
    noting = Noting(beginning.clicks)
    simulate(tmp_path / "data", beginning, 14, 3, noting, "mix", lambda text: None)
    served = Served("http://127.0.0.1:9/v1/models/souk", beginning.world)
    for rows in noting.told:
        served.observe(rows)
    told = np.concatenate(noting.told)
    (user, *_) = told["user"][told["kind"] == RATING]
    asked = Requests(*(np.array([each]) for each in (user, int(told["time"].max()) + 1, WHOLE, False, 0)))
    sent = served._instance(asked, 0, 10)["events"]
    assert "rating" in {event["event_type"] for event in sent}
    assert [event["timestamp"] for event in sent] == sorted(event["timestamp"] for event in sent)


def test_random_slates_are_uniform():
    drawn = draw_slates(np.random.default_rng(0), 5, 120_000, 2)
    counts = np.bincount(drawn[:, 0] * 5 + drawn[:, 1], minlength=25).reshape(5, 5)
    assert counts.trace() == 0
    rest = counts[~np.eye(5, dtype=bool)]
    assert np.abs(rest - 6000).max() < 5 * np.sqrt(6000)


def test_a_slate_may_hold_the_whole_catalogue(tmp_path):
    """Ten items, one user, one day: the smallest marketplace."""
    assert (np.sort(draw_slates(np.random.default_rng(0), 10, 50, 10), axis=1) == np.arange(10)).all()
    data = make(tmp_path / "data", users=1, items=10, days=3)
    assert pq.read_table(data.folder / "items.parquet")["available"].to_pylist() == [True] * 10
    assert pq.read_table(data.folder / "events.parquet").schema.names == [column.name for column in EVENTS]


def test_the_written_config_is_the_committed_one_and_both_load(small):
    written, committed = load_config(small.folder / "simulated.yaml"), load_config(ROOT / "configs/simulated.yaml")
    assert written.data.events.path == str((small.folder / "events.parquet").resolve())
    assert committed.data.events.path == str(ROOT / ".souk/data/simulated/events.parquet")
    texts = [
        yaml.safe_load(Path(p).read_text("utf-8"))
        for p in (small.folder / "simulated.yaml", ROOT / "configs/simulated.yaml")
    ]
    for values in texts:
        for key in ("folder", "obtain"):
            values["data"].pop(key, None)
    assert texts[0] == texts[1]


def test_the_objective_is_the_truth_of_the_events(small):
    """A click is satisfied when bought and not returned within the config's window: returns all fall into it."""
    config = load_config(small.folder / "simulated.yaml").objectives.satisfied
    bought, back = small.of("purchase"), small.of("return")
    order = np.argsort(places_of(bought))
    found = order[np.searchsorted(places_of(bought)[order], places_of(back))]
    assert (back["timestamp"] - bought["timestamp"][found]).max() < config.within_days * DAY_MS
    assert config.followed_by == ("purchase",)
    assert config.unless == ("return",)


def test_sizes_of_the_committed_config_are_the_defaults():
    text = (ROOT / "configs/simulated.yaml").read_text("utf-8")
    size = Size()
    assert f"{size.users:,} users, {size.items:,} items, {size.days} days" in text
    assert Parameters().slate_size == load_config(ROOT / "configs/simulated.yaml").deploy.slate_size


def test_the_page_names_every_constant_with_its_value():
    text = (ROOT / "docs/simulator.md").read_text("utf-8")
    for name, value in Parameters().to_json().items():
        assert f"| `{name}` | {value:g} |" in text, name
    assert f"`--users`, `--items`, `--days` | {Size().users:,}, {Size().items:,}, {Size().days} |" in text
