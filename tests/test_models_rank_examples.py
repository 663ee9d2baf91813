"""What of a moment's candidates was taken, and what of it pleased, beside the plain definition; and what is kept."""

import weakref
from dataclasses import replace
from itertools import islice
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from souk.config import Repeat
from souk.errors import SoukError
from souk.items import ItemTable
from souk.logged_slates import FILE, SCHEMA, LoggedSlate
from souk.models import rank_examples, retrieve
from souk.models.rank_examples import _lists, _moments, _place, read_rank_examples
from souk.models.targets import Target, read_targets
from souk.pairs import PAIR_FEATURES
from tests.models_fixtures import cycle_market
from tests.ranker_fixtures import Ranked

UNTIL = 1_000


class Watched(dict):
    """A dictionary that can be looked after."""


@pytest.mark.parametrize("drawn", [1, 2])
def test_candidates_are_chosen_and_pleased_as_their_moment_says(drawn):
    """Moments that took one item, and one that took more than there are candidates; all examples, or every second."""
    rng = np.random.default_rng(4)
    names = [f"i{n:02}" for n in range(40)]
    sizes = [1, 1, 3, 30, 2]
    moment = np.repeat(np.arange(len(sizes)), sizes)
    count = len(moment)
    table = pa.table(
        {
            "user_id": [f"u{n % 2}" for n in moment],
            "timestamp": 10 * moment,
            "item_id": [name for size in sizes for name in rng.permutation(names)[:size].tolist()],
            "satisfied": rng.integers(-1, 2, count),
            "satisfied_at": rng.integers(UNTIL - 3, UNTIL + 1, count),
            "own_score": np.zeros(count, np.float32),
            "answerable": moment != 1,
            "items": [rng.permutation(names)[:12].tolist() for _ in range(count)],
            "scores": rng.normal(size=(count, 12)).tolist(),
        }
    )
    every = table.select(["item_id", "satisfied", "satisfied_at"]).to_pylist()
    first = np.flatnonzero(np.diff(moment[::drawn], prepend=-1))
    whole = [[] for _ in moment[::drawn]]
    for row in first.tolist():
        whole[row] = [each for each, place in zip(every, moment, strict=True) if place == moment[drawn * row]]
    table = table.take(np.arange(count)[::drawn]).append_column("moment", pa.array(whole))
    found = _lists(
        table, SimpleNamespace(position={name: n for n, name in enumerate(names)}), 10, UNTIL, ("satisfied",)
    )
    assert np.flatnonzero(found["first"]).tolist() == [row for row in first.tolist() if moment[drawn * row] != 1]
    pleased = found["pleased"]["satisfied"]
    for row, own in enumerate(table.to_pylist()):
        beside = [other for other, place in zip(every, moment, strict=True) if place == moment[drawn * row]]
        took = {other["item_id"] for other in beside}
        liked = {o["item_id"] for o in beside if o["satisfied"] == 1 and o["satisfied_at"] < UNTIL}
        assert found["chosen"][row, :10].tolist() == [name in took for name in own["items"][:10]]
        assert pleased[row, :10].tolist() == [name in liked for name in own["items"][:10]]
        assert (found["taken"][row], found["liked"]["satisfied"][row]) == (len(took), len(liked))
        known = own["satisfied"] if own["satisfied_at"] < UNTIL else -1
        assert found["labels"]["satisfied"][row] == known
    assert found["chosen"].any() and pleased.any() and (found["chosen"] & ~pleased).any()


@pytest.mark.parametrize("labels", [(1, -1), (-1, 1), (1, 0), (0, 0)])
def test_an_item_of_several_events_of_a_moment_has_pleased_where_one_of_them_did(labels):
    moment = [{"item_id": "a", "satisfied": label, "satisfied_at": UNTIL - 1} for label in labels]
    columns = {"user_id": ["u"] * 2, "timestamp": [5] * 2, "moment": [moment, []], "answerable": [True] * 2}
    taken, _ = _moments(pa.table(columns), SimpleNamespace(position={"a": 0}), UNTIL, ("satisfied",))
    (items, pleased), *others = taken.values()
    assert (items.tolist(), pleased.tolist(), others) == ([0], [[1 in labels]], [])


def test_what_a_slate_had_taken_at_the_same_moment_is_wanted_and_at_another_is_apart():
    """Item 0 is the example's own, 1 was taken with it, 2 later, 3 was left; 4 was not shown, and 5 is no candidate."""
    lists = {
        "present": np.array([[True] * 5 + [False]] * 2),
        "positions": np.array([[3, 1, 0, 4, 2, 5], [0, 1, 2, 3, 4, 0]]),
        "chosen": np.array([[False, True, True, False, False, False], [True] + [False] * 5]),
        "own": np.array([2, 0]),
        "place": np.zeros((2, 6), np.int16),
        "also": np.zeros((2, 6), bool),
    }
    shown = LoggedSlate(["a", "b", "c", "d", "f"], [1, 2, 3, 4, 5], [True, True, True, False, True])
    _place(lists, {"e": shown}, ["e", "none"], SimpleNamespace(position={name: n for n, name in enumerate("abcdef")}))
    assert lists["place"].tolist() == [[4, 2, 1, 0, 3, 0], [0] * 6]
    assert lists["also"].tolist() == [[False, False, False, False, True, False], [False] * 6]
    missed = lists | {"chosen": np.zeros((2, 6), bool), "also": np.zeros((2, 6), bool)}
    _place(missed, {"e": shown}, ["e", "none"], SimpleNamespace(position={name: n for n, name in enumerate("abcdef")}))
    assert missed["also"][0].tolist() == [False, True, False, False, True, False], "its own is never another one's"


def test_candidates_of_an_older_version_are_refused(tmp_path):
    ranked = Ranked(tmp_path / "ranked", *cycle_market(users=8))
    table = pq.read_table(ranked.folder / "candidates.parquet").drop_columns("answerable")
    pq.write_table(table, tmp_path / "candidates.parquet")
    items = ItemTable.load(ranked.folder, "validation_start", ranked.vectors)
    with pytest.raises(SoukError, match="train_two_tower"):
        read_rank_examples(tmp_path / "candidates.parquet", ranked.sequences, items, ranked.window, 4)


def test_the_pasts_of_all_examples_are_never_in_memory_together(tmp_path, monkeypatch):
    made, most = [], []

    def watched(*asked):
        for target in read_targets(*asked):
            made.append(weakref.ref(own := Watched(target.habits)))
            most.append(sum(each() is not None for each in made))
            yield replace(target, habits=own)

    ranked = Ranked(tmp_path, *cycle_market(users=8))
    monkeypatch.setattr(rank_examples, "CHUNK", 1)
    monkeypatch.setattr(rank_examples, "read_targets", watched)
    assert len(ranked.examples()) == len(made) > 10 > max(most)


def test_what_a_slate_shows_and_has_taken_after_the_window_is_not_known(tmp_path):
    ranked = Ranked(tmp_path, *cycle_market(users=8))
    [one, *_] = (row for row in pq.read_table(tmp_path / "candidates.parquet").to_pylist() if len(row["items"]) > 3)
    left, late, new = [item for item in one["items"] if item != one["item_id"]][:3]
    end = ranked.window[1]
    slate = {"event_id": one["event_id"], "items": [one["item_id"], left, late, new], "places": [1, 2, 3, 4]}
    slate |= {"engaged": [True, False, True, False], "shown_at": [1, 1, 1, end], "taken_at": [2, None, end, None]}
    pq.write_table(pa.Table.from_pylist([slate], SCHEMA), tmp_path / FILE)
    items = ItemTable.load(tmp_path, "validation_start", ranked.vectors)
    found = read_rank_examples(
        tmp_path / "candidates.parquet", ranked.sequences, items, ranked.window, 12, tmp_path / FILE
    )
    (row,) = np.flatnonzero(found.place.any(axis=1))
    places = dict(zip(found.positions[row].tolist(), found.place[row].tolist(), strict=True))
    assert [places[items.position[item]] for item in (one["item_id"], left, late, new)] == [1, 2, 3, 0]
    assert not found.also.any(), "it is a negative still"


@pytest.mark.parametrize("together", [1, 3])
def test_nor_are_those_that_candidates_are_retrieved_for(tmp_path, monkeypatch, together):
    made, most = [], []

    def watched(*asked):
        for target in read_targets(*asked):
            made.append(weakref.ref(own := Watched(target.habits)))
            yield replace(target, habits=own)

    def of(target, items):
        made.append(weakref.ref(query := pair_query(target, items)))
        most.append(sum(each() is not None for each in made))
        return query

    ranked, pair_query = Ranked(tmp_path, *cycle_market(users=8)), Target.pair_query
    found = pq.read_table(tmp_path / "candidates.parquet")
    monkeypatch.setattr(retrieve, "TOGETHER", together)
    monkeypatch.setattr(retrieve, "read_targets", watched)
    monkeypatch.setattr(Target, "pair_query", of)
    ranked.retrieve()
    assert len(made) == 2 * len(found) > 20 and max(most) <= 2 * together + 2
    again = pq.read_table(tmp_path / "candidates.parquet")
    assert again.drop_columns(["scores", "own_score"]).equals(found.drop_columns(["scores", "own_score"]))
    for one, other in zip(found["scores"].to_pylist(), again["scores"].to_pylist(), strict=True):
        assert one == pytest.approx(other, rel=1e-5)


def test_an_example_without_a_row_is_told(tmp_path, monkeypatch):
    ranked = Ranked(tmp_path, *cycle_market(users=8))
    monkeypatch.setattr(retrieve, "read_targets", lambda *asked: islice(read_targets(*asked), 3))
    with pytest.raises(
        SoukError, match=r"a row of sequences/\*.tfrecord for each example. Received: none for \d+ of \d+"
    ):
        ranked.retrieve()


def test_a_source_that_fails_in_training_stops_it():
    """A server goes on with the others; a ranker that learned without it would not know its candidates."""
    sources = SimpleNamespace(listed=lambda *_: ({}, ["fresh", "matched"]), shares={})
    with pytest.raises(SoukError, match="none of fresh, matched"):
        retrieve._candidates(sources, None, None, np.zeros(3), np.ones(3, bool))


def test_an_item_that_retrieval_had_to_leave_out_moves_no_candidate(tmp_path):
    """Twelve items go round in twelve days, and none may come back within 14: eight others are the candidates."""
    (events, _, users), (_, items, _) = cycle_market(users=20), cycle_market(items=20)
    world = Ranked(tmp_path, events, items, users, repeat=Repeat(rule="after_days", days=14))
    examples = world.examples(count=4)
    assert (examples.candidate.sum(axis=1) == 4).all() and not examples.retrieved.any()
    found = pq.read_table(world.folder / "candidates.parquet").to_pylist()
    log_rank = examples.pair[:, :, PAIR_FEATURES.index("log_rank")]
    ahead = 0
    for row, candidates in enumerate(found):
        np.testing.assert_allclose(np.sort(log_rank[row, :4]), np.log([2, 3, 4, 5]), rtol=1e-6)
        better = sum(score > candidates["own_score"] for score in candidates["scores"][:4])
        assert log_rank[row, examples.own[row]] == pytest.approx(np.log(better + 2), rel=1e-6)
        ahead += better < 4
    assert ahead > 10


def test_a_moment_of_which_nothing_may_be_recommended_is_no_request(tmp_path):
    """A round of twelve items comes back within 14 days, one of twenty does not; some take one of each at a time."""
    (events, _, users), (others, items, _) = cycle_market(users=30), cycle_market(users=30, items=20)
    beside = others[others["user_id"] < "u010"].assign(event_id=lambda rows: "b" + rows["event_id"])
    events = pd.concat([events[events["user_id"] < "u020"], others[others["user_id"] >= "u020"], beside])
    examples = Ranked(tmp_path, events, items, users, repeat=Repeat(rule="after_days", days=14)).examples()
    answerable = []
    for user, time in zip(examples.users, examples.times.tolist(), strict=True):
        own = events[events["user_id"] == user]
        before = own[own["timestamp"].between(time - 14 * 86_400_000, time - 1)]
        answerable.append(bool(set(own[own["timestamp"] == time]["item_id"]) - set(before["item_id"])))
    told, first = np.array(answerable), np.flatnonzero(examples.first)
    assert told[examples.users >= "u020"].all() and 0 < told[examples.users < "u010"].mean() < 1
    moments = list(zip(examples.users, examples.times.tolist(), strict=True))
    assert len(first) == len({moments[row] for row in first}) == len({moments[row] for row in np.flatnonzero(told)})
    assert told[first].all() and not told[(examples.users >= "u010") & (examples.users < "u020")].any()


def test_moments_of_which_nothing_may_be_recommended_alone_are_refused_with_the_remedy(tmp_path):
    world = Ranked(tmp_path, *cycle_market(users=8), repeat=Repeat(rule="never"))
    examples = world.examples()
    assert len(examples) > 9 and not examples.first.any()
    with pytest.raises(SoukError, match=rf"none among {len(examples)} examples.*`repeat`.*split\.validation"):
        world.ranker(examples)


def test_what_was_taken_at_the_same_time_is_no_negative(tmp_path):
    events, items, users = cycle_market(users=4)
    events["timestamp"] -= (events["timestamp"] // 86_400_000 % 2) * 86_400_000  # two events at a time
    world = Ranked(tmp_path, events, items, users)
    examples = world.examples()
    assert (examples.chosen.sum(axis=1) == 2).all()
    assert examples.first.sum() == len(examples) / 2
    assert (examples.chosen[np.arange(len(examples)), examples.own]).all()
