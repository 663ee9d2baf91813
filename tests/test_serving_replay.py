"""Logged requests asked again: the same release says the same, another one what is known by construction."""

import json
import math
import os
import shutil
import time
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from souk.cli import main
from souk.cli.replay import judged
from souk.config.experiments import Exploration
from souk.release.bundle import Bundle
from souk.release.manifest import read_manifest, write_manifest
from souk.serving import beside
from souk.serving.experiments.treatment import Treatment
from souk.serving.filters import Condition
from souk.serving.impressions.log import ImpressionLog
from souk.serving.impressions.sinks import PartFiles
from souk.serving.items.log import ItemLog
from souk.serving.past import before
from souk.serving.recommender import Recommender
from souk.serving.replay import Difference, Shown, kendall_tau, overlap, records
from souk.serving.request import Request
from souk.serving.served import open_store
from souk.state import Event, state_of
from souk.state_rows import to_row
from souk.store.publish import publish
from tests.recommender_fixtures import CANDIDATES
from tests.serving_fixtures import IDS, NOW, SPEC, STATES, write_workspace
from tests.serving_process import serving
from tests.test_serving_impressions import slate

K = CANDIDATES


def another(workspace, name, **settings):
    """The current release with other settings, under another name."""
    folder = workspace.releases / name
    shutil.copytree(workspace.releases / workspace.current_release(), folder)
    given = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps({**given, **settings}))
    manifest = read_manifest(folder)
    (folder / "release.json").unlink()
    write_manifest(folder, name, manifest["content"], manifest["lineage"])


def requests():
    """Requests of all kinds, a second apart."""
    own = Event("g2-09", "click", NOW - 5000, event_id="own")
    kinds = [
        Request("ann", K, NOW),
        Request("bob", K, NOW, context={"device": "mobile", "basket": 2.5}),
        Request("cho", 5, NOW, filter=(Condition("price", low=20.0),), exclude=frozenset({"g3-06"})),
        Request("ann", K, NOW, events=(own,)),
        Request("stranger", 4, NOW, profile={"region": "north"}, candidates=("g0-01", "g0-02", "g1-05", "g1-06")),
        Request("", 4, NOW, item_id="g1-03"),
    ]
    return [replace(each, request_id=f"r{n}", timestamp=NOW + 1000 * n) for n, each in enumerate(kinds * 5)]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    made = write_workspace(tmp_path_factory.mktemp("replay") / "workspace")
    another(made, "shop-turned", objectives={"engaged": -1.0, "satisfied": 1.0})
    another(made, "shop-small", max_slate_size=K - 1)
    bundle = Bundle.load(made.served_folder())
    recommender = Recommender.load(bundle, None, open_store(made, bundle))
    log = ImpressionLog(PartFiles(made.impressions, "w1"), lambda: NOW)
    for request in requests():
        log.record(recommender.recommend([request]))
    assert log.flush()
    return made


def told(workspace, capsys, *words):
    """The exit code of a replay, its report, and what it printed."""
    output = workspace.root / "report.json"
    output.unlink(missing_ok=True)
    code = main(["replay", "--workspace", str(workspace.root), "--output", str(output), *words])
    text = capsys.readouterr()
    return code, json.loads(output.read_text()) if output.exists() else None, text.out + text.err


def test_the_release_that_answered_says_the_same_again(workspace, capsys):
    code, report, text = told(workspace, capsys, "--release", workspace.current_release(), "--min-overlap", "1")
    assert code == 0 and report["records"] == report["requests"]["compared"] == 30
    assert report["identical"] == report["same_features"] == report["kendall_tau"]["mean"] == 1
    assert set(report["overlap"].values()) == {1.0} and set(report["overlap"]) == {"1", "5", "10", "20"}
    assert report["score"]["mean_change"] == pytest.approx(0, abs=1e-7) and report["score"]["items"] > 300
    assert report["degraded"]["logged"] == report["degraded"]["release"] == {"unknown_user": pytest.approx(1 / 6)}
    assert report["latency_ms"]["release"]["p99"] >= report["latency_ms"]["release"]["p50"] > 0
    assert "--min-overlap 1: 1.000 of @5, which 20 of 30 requests have" in text
    assert "identical slates  100.0%" in text and "degraded, release" in text


def test_a_release_that_turns_the_order_round_has_all_items_and_the_opposite_order(workspace, capsys):
    only = [n for n, each in enumerate(requests()) if each.k == K]
    code, report, _ = told(workspace, capsys, "--release", "shop-turned", "--min-overlap", "0.5")
    assert code == 1 and report["overlap"]["20"] == 1.0 and report["overlap"]["1"] < 1
    _, logged = records(str(workspace.impressions), 1000)
    old = [record for record in logged if record.request_id in {f"r{n}" for n in only}]
    assert len(old) == len(only) == 15 and report["overlap"]["10"] == pytest.approx(0.0)
    changes = [0.25 / (score / 0.5) / 0.5 - score for record in old for score in record.shown.scores.values()]
    assert report["changed_most"][0]["overlap"] <= 0.5 and np.mean(changes) > 0
    names = {each["request_id"] for each in report["changed_most"]}
    assert names <= {f"r{n}" for n in range(30)} and report["score"]["mean_change"] > 0


def test_a_log_of_items_that_a_server_would_thin_stays_what_it_is(workspace, capsys, tmp_path):
    copied = type(workspace)(tmp_path / "w")
    shutil.copytree(workspace.root, copied.root, symlinks=True)
    log, row = ItemLog(copied.item_log), {"item_id": "g0-01", "price": 1.0}
    for price in range(6):
        log.append([{**row, "price": float(price)}], [False], NOW + 10**9)
    before = copied.item_log.read_bytes()
    assert told(copied, capsys, "--release", "current")[0] == 0
    assert copied.item_log.read_bytes() == before
    assert log.thin() == 5, "or there was nothing to thin"


def test_what_tensorflow_says_as_it_reads_an_upserted_item_is_not_told(workspace, capfd, tmp_path, monkeypatch):
    copied, asked = type(workspace)(tmp_path / "w"), []

    def loud(model, signature, inputs):
        os.write(2, b"oneDNN custom operations are on")
        asked.append(signature)
        return here(model, signature, inputs)

    here = beside.here
    monkeypatch.setattr(beside, "here", loud)
    shutil.copytree(workspace.root, copied.root, symlinks=True)
    ItemLog(copied.item_log).append([{"item_id": "g0-01", "title": "New"}], [False], NOW + 10**9)
    code, _, text = told(copied, capfd, "--release", "current")
    assert code == 0 and asked and "loading" in text and "oneDNN" not in text


def test_the_least_overlap_is_judged_at_as_many_places_as_most_requests_have():
    difference = Difference()
    long = [Shown([f"{side}{n}" for n in range(20)], {}) for side in "ab"]
    difference.add("long", *long, 20)
    short = Shown(list("abcde"), {})
    for number in range(9):
        difference.add(f"r{number}", short, short, 5)
    assert difference.to_json()["overlap"]["10"] == 0, "one request's"
    assert judged(difference.to_json()) == (5, pytest.approx(0.9), 10)
    for number in range(9):
        difference.add(f"s{number}", *long, 20)
    assert judged(difference.to_json()) == (10, 0, 10)


@pytest.mark.parametrize("kept", [0, 3])
def test_a_logged_slate_that_was_shorter_is_not_the_same(workspace, capsys, tmp_path, kept):
    bundle = Bundle.load(workspace.served_folder())
    recommender = Recommender.load(bundle, None, open_store(workspace, bundle))
    log = ImpressionLog(PartFiles(tmp_path / "log", "w1"), lambda: NOW)
    asked = [replace(each, k=10) for each in requests() if each.k == K]
    log.record([replace(each, items=each.items[:kept]) for each in recommender.recommend(asked)])
    log.flush()
    words = ["--release", workspace.current_release(), "--log", str(tmp_path / "log"), "--min-overlap", "0.5"]
    code, report, text = told(workspace, capsys, *words)
    assert code == 1 and report["identical"] == 0 and report["overlap"]["10"] == pytest.approx(kept / 10), text
    assert report["overlap_requests"]["10"] == 15


def test_two_releases_are_compared_with_each_other_and_not_with_the_log(workspace, capsys):
    code, report, text = told(workspace, capsys, "--release", "current", "--against", "current")
    assert code == 0 and report["identical"] == 1 and report["against"] == workspace.current_release()
    assert set(report["latency_ms"]) == {"release", "against"} and "ms, against" in text


def test_what_does_not_fit_the_release_is_left_out_and_said(workspace, capsys):
    code, report, text = told(workspace, capsys, "--release", "shop-small")
    assert code == 0 and report["requests"]["compared"] == 15
    ((why, count),) = report["requests"]["refused"].items()
    assert count == 15 and "the request.k to be a whole number from 1 to 19" in why and why in text


def test_what_came_since_is_not_looked_at_and_a_changed_profile_is_told(workspace, capsys, tmp_path):
    copied = type(workspace)(tmp_path / "w")
    shutil.copytree(workspace.root, copied.root, symlinks=True)
    publish_states(copied, tmp_path, STATES[0].profile["region"])
    _, report, _ = told(copied, capsys, "--release", workspace.current_release())
    assert report["identical"] == report["same_features"] == 1, "events after a request are cut off"
    publish_states(copied, tmp_path, "south")
    _, report, text = told(copied, capsys, "--release", workspace.current_release())
    assert report["same_features"] == pytest.approx(4 / 6) and report["identical"] < 1
    assert "in the same state 66.7%" in text


def publish_states(workspace, folder, region):
    """Ann with an event of after the log, and of a region."""
    later = Event("g0-00", "click", NOW + 10**6, event_id="later")
    newer = state_of("ann", [*STATES[0].events, later], SPEC, {"region": region})
    rows = [to_row(each, SPEC) for each in (newer, *STATES[1:])]
    pq.write_table(pa.Table.from_pylist(rows), folder / "states.parquet")
    publish(folder / "states.parquet", SPEC, workspace.feast, time.time_ns() // 1_000_000, "")


def test_drawn_places_do_not_count_and_records_without_a_request_are_left_out(workspace, capsys, tmp_path):
    bundle = Bundle.load(workspace.served_folder())
    recommender = Recommender.load(bundle, None, open_store(workspace, bundle))
    drawn = Treatment("e=a", exploration=Exploration(slots=8, epsilon=1.0, pool=2))
    log = ImpressionLog(PartFiles(tmp_path / "log", "w1"), lambda: NOW)
    asked = [replace(each, k=10, treatment=drawn) for each in requests() if each.k == K]
    log.record([*recommender.recommend(asked), slate(1)])
    log.flush()
    words = ["--release", workspace.current_release(), "--log", str(tmp_path / "log")]
    _, report, text = told(workspace, capsys, *words)
    assert report["identical"] == 1 and set(report["overlap"]) == {"1"} and report["requests"]["compared"] == 15
    assert report["requests"]["without_request"] == 1 and [g["arm"] for g in report["by_logged"]] == ["e=a"]
    assert "1 records without a request" in text


def test_a_log_of_other_items_is_told_without_numbers_that_are_none(workspace, capsys, tmp_path):
    bundle = Bundle.load(workspace.served_folder())
    (found,) = Recommender.load(bundle, None, open_store(workspace, bundle)).recommend(requests()[:1])
    log = ImpressionLog(PartFiles(tmp_path / "log", "w1"), lambda: NOW)
    log.record([replace(found, items=tuple(replace(item, item_id=f"x{item.item_id}") for item in found.items))])
    log.flush()
    words = ["--release", workspace.current_release(), "--log", str(tmp_path / "log")]
    code, report, text = told(workspace, capsys, *words)
    assert code == 0 and report["overlap"]["1"] == 0 and report["kendall_tau"]["mean"] is None
    assert "no slate has an item in common" in text and "nan" not in text


def test_a_log_without_requests_and_none_at_all_are_errors(workspace, capsys, tmp_path):
    log = ImpressionLog(PartFiles(tmp_path / "log", "w1"), lambda: NOW)
    log.record([slate(1)])
    log.flush()
    release = ["--release", workspace.current_release()]
    code, report, text = told(workspace, capsys, *release, "--log", str(tmp_path / "log"))
    assert code == 2 and report is None and "1 records without a request" in text
    code, _, text = told(workspace, capsys, *release, "--log", str(tmp_path))
    assert code == 2
    code, _, text = told(workspace, capsys, "--release", "gone")
    assert code == 2 and "souk release list" in text


def test_a_damaged_part_of_a_log_is_named(workspace, capsys, tmp_path):
    log = ImpressionLog(PartFiles(tmp_path, "w1"), lambda: NOW)
    log.record([slate(1)])
    log.flush()
    (part,) = tmp_path.rglob("*.parquet")
    part.write_bytes(part.read_bytes()[:-100])
    code, report, text = told(workspace, capsys, "--release", "current", "--log", str(tmp_path))
    assert code == 2 and report is None and part.name in text and "Move the damaged file out of the log." in text


def test_records_are_taken_evenly_from_the_whole_log(tmp_path):
    log = ImpressionLog(PartFiles(tmp_path, "w1"), lambda: NOW)
    for start in range(0, 100, 30):
        log.record([slate(n) for n in range(start, min(start + 30, 100))])
        log.flush()
    total, logged = records(str(tmp_path), 25)
    assert total == 100 and [record.request_id for record in logged] == [f"r{n}" for n in range(0, 100, 4)]


@given(st.lists(st.tuples(st.sampled_from(IDS), st.integers(0, 5 * 10**8)), max_size=7), st.integers(0, 5 * 10**8))
def test_a_state_that_is_cut_is_that_of_the_events_before(acts, time):
    events = [Event(item, "click", at, event_id=f"{n}") for n, (item, at) in enumerate(acts)]
    wanted = state_of("ann", [event for event in events if event.timestamp < time], SPEC, {"region": "north"})
    assert before(state_of("ann", events, SPEC, {"region": "north"}), time) == wanted


def test_overlap_and_rank_correlation_by_hand():
    assert (
        overlap(["a", "b"], ["b", "c"]) == 0.5 and overlap([], []) == 1 and overlap(["a"], ["a", "b", "c", "d"]) == 0.25
    )
    assert kendall_tau(list("abcd"), list("dcba")) == -1 and kendall_tau(list("abcd"), list("abdc")) == pytest.approx(
        2 / 3
    )
    assert kendall_tau(list("axb"), list("ayb")) == 1 and math.isnan(kendall_tau(["a"], ["a"]))


@pytest.mark.slow
def test_what_a_server_logged_can_be_asked_again(workspace, capsys, tmp_path):
    copied = type(workspace)(tmp_path / "w")
    shutil.copytree(workspace.root, copied.root, symlinks=True, ignore=shutil.ignore_patterns("impressions"))
    bodies = [
        {"user_id": "ann", "k": 8, "timestamp": NOW, "context": {"device": "mobile"}, "filter": {"price": {"min": 9}}},
        {"user_id": "bob", "exclude": ["g2-04"], "events": [{"item_id": "g1-01", "event_type": "click"}]},
        {"events": [{"item_id": "g1-01", "event_type": "click"}], "k": 6, "profile": {"region": "north"}},
        {"item_id": "g3-03", "k": 7, "filter": {"category": "all/g3"}},
    ]
    with serving(copied.root, tmp_path / "log") as server:
        server.slates(*bodies)
        assert server.stop() == 0
    code, report, text = told(copied, capsys, "--release", workspace.current_release())
    assert code == 0 and report["requests"] == {"compared": 4, "without_request": 0, "refused": {}}, text
    assert report["identical"] == report["same_features"] == 1
