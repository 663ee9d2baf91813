"""A habit of the logging policy is no taste of its users: the place in a slate is taken out of what a click says."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from souk.config import Objective, Objectives
from souk.features.impressions import write_impressions
from souk.logged_slates import FILE, read_slates
from souk.models.rank_lists import rank_lists
from souk.schema import EventType
from souk.simulator.parameters import Size
from tests.debias_fixtures import Log, compared, simulated
from tests.models_fixtures import cycle_spec
from tests.test_models_rank_quality import examples as taken_and_left

SIZE = Size(1500, 120, 30, 1)


def event(number: int, kind: str, item: str, request: str | None, position: int | None, time: int = 10) -> dict:
    names = {"event_id": f"e{number}", "user_id": "u", "item_id": item, "event_type": kind, "timestamp": time}
    return names | {"request_id": request, "position": position}


def test_a_slate_is_what_the_request_of_a_click_showed(tmp_path):
    clicks = Objective(events=(EventType.CLICK,))
    spec = cycle_spec(objectives=Objectives(engaged=clicks, satisfied=clicks))
    rows = [event(place, "impression", "abc"[place], "r1", place) for place in (2, 0, 1)]
    rows += [event(10, "click", "b", "r1", 1, 11), event(11, "click", "c", "r1", 2, 12)]
    rows += [event(12, "impression", "a", "r2", 0, 13)]  # nothing was taken there
    rows += [event(13, "click", "a", None, None, 14)]  # no request
    rows += [event(14, "impression", "b", "r0", 0, 1), event(15, "click", "b", "r0", 0, 2)]  # before the start
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "events.parquet")
    assert write_impressions(tmp_path, tmp_path, spec, start=10) == 2
    shown = {"items": ["a", "b", "c"], "places": [1, 2, 3], "engaged": [False, True, True]}
    shown |= {"shown_at": [10] * 3, "taken_at": [None, 11, 12]}
    assert pq.read_table(tmp_path / FILE).to_pylist() == [{"event_id": e, **shown} for e in ("e10", "e11")]


@pytest.mark.parametrize(
    ("clicked", "slates"),
    [
        ({"b": 1}, 1),  # as a row whose column `click` is 1, where the others' is 0
        ({"b": 1, "c": 2}, 2),
        ({"a": 0, "b": 1, "c": 2}, 0),  # nothing was left
        ({"b": None}, 0),  # nobody knows where it was shown
    ],
)
def test_what_was_clicked_at_a_place_was_shown_there(tmp_path, clicked, slates):
    """A log with one row for each item shown, an impression or a click of it, and others with a request for each."""
    clicks = Objective(events=(EventType.CLICK,))
    spec = cycle_spec(objectives=Objectives(engaged=clicks, satisfied=clicks))
    rows = [event(place, "impression", item, "r1", place) for place, item in enumerate("abc") if item not in clicked]
    rows += [event(10 + n, "click", item, "r1", place) for n, (item, place) in enumerate(clicked.items())]
    rows += [event(20, "impression", "a", "r2", 0), event(21, "click", "b", "r3", 0)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "events.parquet")
    told: list[str] = []
    assert write_impressions(tmp_path, tmp_path, spec, 0, told.append) == slates
    assert [line.split(" engaging")[0] for line in told] == (
        [] if slates else [f"events: {sum(p is not None for p in clicked.values()) + 1}"]
    )
    found = pq.read_table(tmp_path / FILE).to_pylist() if slates else []
    for row in found:
        shown = dict(zip(row["items"], zip(row["places"], row["engaged"], strict=True), strict=True))
        assert shown == {item: (place + 1, item in clicked) for place, item in enumerate("abc")}
    assert [row["event_id"] for row in found] == [f"e{10 + n}" for n in range(slates)]


@pytest.mark.parametrize("impressions", [True, False])
def test_of_a_slate_nothing_is_known_before_it_happens(tmp_path, impressions):
    """What a request of before a moment shows and has taken after it: no twin that ends there learns of it."""
    clicks = Objective(events=(EventType.CLICK,))
    spec = cycle_spec(objectives=Objectives(engaged=clicks, satisfied=clicks))
    rows = [
        event(0, "impression", "a", "r1", 0),
        event(1, "impression", "b", "r1", 1),
        event(2, "click", "a", "r1", 0, 11),
    ]
    rows += [event(3, "click", "c", "r2", 0, 12), event(4, "impression", "d", "r2", 1, 12)]
    if not impressions:
        rows = [row | {"event_type": "click"} for row in rows]
    after = [event(5, "click", "b", "r1", 1, 20), event(6, "impression", "e", "r1", 4, 21)]
    after += [event(7, "click", "e", "r1", 4, 22), event(8, "impression", "f", "r2", 3, 23)]
    known = []
    for name, log in (("without", rows), ("with", rows + after)):
        (folder := tmp_path / name).mkdir()
        pq.write_table(pa.Table.from_pylist(log), folder / "events.parquet")
        write_impressions(folder, folder, spec, start=0)
        known.append(read_slates(folder / FILE, [f"e{n}" for n in range(5)], until=20))
    assert known[0] == known[1] and bool(known[0]) == impressions
    if impressions:
        assert known[0]["e2"] == (["a", "b"], [1, 2], [True, False]) and known[0]["e3"].items == ["c", "d"]
        assert read_slates(tmp_path / "with" / FILE, ["e2", "e3"]).keys() == {"e3"}, "of the other nothing was left"


def test_a_slate_counts_from_the_first_moment_at_which_an_item_was_shown(tmp_path):
    """And what was taken from it, from the first time that it was."""
    clicks = Objective(events=(EventType.CLICK,))
    spec = cycle_spec(objectives=Objectives(engaged=clicks, satisfied=clicks))
    rows = [
        event(0, "click", "a", "r1", 0, 15),
        event(1, "click", "a", "r1", None, 18),
        event(2, "impression", "a", "r1", 0, 14),
        event(3, "click", "c", "r1", 2, 16),
        event(4, "impression", "c", "r1", 2, 17),
    ]
    rows += [event(5 + n, "impression", "b", "r1", 1, time) for n, time in enumerate((13, 12, 19))]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "events.parquet")
    assert write_impressions(tmp_path, tmp_path, spec, start=0) == 2
    slate = {
        "items": ["a", "b", "c"],
        "places": [1, 2, 3],
        "engaged": [True, False, True],
        "shown_at": [14, 12, 16],
        "taken_at": [15, None, 16],
    }
    assert pq.read_table(tmp_path / FILE).to_pylist() == [{"event_id": name, **slate} for name in ("e0", "e3")]


def test_slates_of_a_version_before_are_known_whole(tmp_path):
    rows = [{"event_id": "e", "items": ["a", "b"], "places": [1, 2], "engaged": [True, False]}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / FILE)
    assert read_slates(tmp_path / FILE, ["e"], until=1) == {"e": (["a", "b"], [1, 2], [True, False])}


def test_data_without_requests_have_no_slates(tmp_path):
    rows = [{"event_id": "e", "user_id": "u", "item_id": "a", "event_type": "rating", "timestamp": 1}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "events.parquet")
    assert write_impressions(tmp_path, tmp_path, cycle_spec(), start=0) == 0
    assert not (tmp_path / FILE).exists()


def test_the_list_of_a_logged_slate_is_what_it_showed_and_was_left(tmp_path):
    """What was taken from it at another time is neither wanted nor unwanted."""
    examples = Log(simulated(tmp_path / "log", 1.0, Size(200, 60, 10, 1))).examples()
    examples.place[:, 7:] = 0
    spread, weights = (np.zeros((len(examples), 1)),) * 2, np.ones(examples.positions.shape, np.float32)
    lists = rank_lists(examples, spread, weights, debias=True)
    slate = examples.place[np.arange(len(examples)), examples.own] > 0
    assert 0 < slate.mean() < 1
    assert not (lists.allowed & examples.also)[slate].any()
    assert (lists.allowed[slate].sum(axis=1) == 7 - examples.also[slate, :7].sum(axis=1)).all()
    assert lists.allowed[~slate].all(), "a click on what no slate showed is set against all candidates"
    alike = rank_lists(examples, spread, weights, debias=False)
    assert alike.allowed.all()
    rows = np.flatnonzero(slate)[:8]
    assert lists.batch(rows)["place"].numpy().any()
    assert not alike.batch(rows)["place"].numpy().any(), "a list of all candidates tells nobody what was shown"
    assert not alike.examples.place.any(), "nor the rules that ask whether there are places"
    assert examples.place.any(), "what was read stays as it was"


def test_what_retrieval_missed_is_left_by_nobody_where_a_slate_showed_it():
    """A slate showed what was taken and what was left; in every second moment retrieval missed one of the taken."""
    found, _, _ = taken_and_left(rows=40)
    rows, missed = np.arange(len(found)), np.arange(len(found)) % 2 == 0
    there = np.ones(found.chosen.shape, bool)
    there[rows, found.own] = ~missed
    place = np.tile(np.arange(1, 13, dtype=np.int16), (len(found), 1))
    found = replace(found, candidate=there, chosen=found.chosen & there, place=place)
    lists = rank_lists(found, (np.zeros((len(found), 1)),) * 2, np.ones(there.shape, np.float32), debias=True)
    assert (lists.allowed[rows, found.own] == ~missed).all()
    assert ((lists.positive > 0) == found.chosen).all() and (lists.allowed.sum(axis=1) == 12 - missed).all()


@pytest.mark.slow
def test_clicks_of_biased_slates_teach_what_those_of_random_ones_do(tmp_path):
    """Most slates have the newest items at the top, where everybody looks."""
    best, debiased, naive = compared(tmp_path, SIZE).values()
    assert debiased >= 0.95 * best
    assert naive < 0.9 * best


@pytest.mark.slow
def test_the_places_are_learned_as_they_were_looked_at(tmp_path):
    """Weights of places fall as the simulated looks do."""
    log = Log(simulated(tmp_path / "biased", 0.15, SIZE))
    model, _ = log.ranker(debias=True)
    learned = model.position.place.numpy()[:10]
    looks = log.data.slates("position")[0]
    assert np.corrcoef(learned, -np.log1p(looks))[0, 1] > 0.9
    assert learned[0] > learned[4] > learned[9]
