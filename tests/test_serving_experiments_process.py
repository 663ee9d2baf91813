"""Experiments in a real server: the arm in answers, log and metrics, and the commands that put and tell them."""

import json
import time

import pyarrow.parquet as pq
import pytest

from souk.cli import main
from souk.config.experiments import parse_experiments
from souk.experiments import assigned, label
from tests.arms_fixtures import beside
from tests.serving_fixtures import NOW, write_workspace
from tests.serving_process import serving

pytestmark = pytest.mark.slow
TEXT = """
experiments:
  weight: {arms: {control: {share: 0.5}, squared: {share: 0.5, weights: {engaged: 2}}}}
  next: {arms: {control: {share: 0.5}, other: {share: 0.5, release: shop-2}}}
"""
USERS = [f"u{n}" for n in range(200)]


def until(seen):
    end = time.monotonic() + 60
    while not seen():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_arms_are_taken_told_logged_and_counted(tmp_path, capsys):
    workspace = write_workspace(tmp_path / "workspace")
    beside(workspace, "shop-2")
    first, file = workspace.current_release(), tmp_path / "mine.yaml"
    place = ["--workspace", str(workspace.root)]
    file.write_text(TEXT)
    plan = parse_experiments(TEXT)
    arms = {user: label(assigned(plan, user, "")) for user in USERS}
    taken = 'souk_experiment_changes_total{outcome="%s"}'
    with serving(workspace.root, tmp_path / "log", "--reload-seconds", "0.1") as server:
        before = server.slates({"user_id": "u1"})[0]
        assert (before["arm"], before["release"]) == ("", first)
        assert main(["experiment", "apply", str(file), *place]) == 0
        until(lambda: server.metric(taken % "taken") == 1)
        slates = server.slates(*({"user_id": user, "k": 4, "timestamp": NOW} for user in USERS))
        assert {slate["user_id"]: slate["arm"] for slate in slates} == arms
        assert all((s["release"] == "shop-2") == ("next=other" in s["arm"]) for s in slates)
        squared = sum("weight=squared" in arm for arm in arms.values())
        assert server.metric('souk_arm_slates_total{arm="squared",experiment="weight"}') == squared
        assert server.metric('souk_arm_units{arm="squared",experiment="weight"}') == squared
        assert server.metric('souk_sample_ratio_p{experiment="weight"}') > 0.001
        event = {"item_id": "g1-01", "event_type": "click", "timestamp": NOW}
        events = [
            {**event, "event_id": f"e{n}", "user_id": slate["user_id"], "request_id": slate["request_id"]}
            for n, slate in enumerate(slates)
            if "weight=squared" in slate["arm"]
        ]
        status, body = server.call("/v1/events", json.dumps({"events": events}))
        assert status == 200 and json.loads(body)["accepted"] == squared, body
        workspace.experiments.write_text("experiments: {weight: {arms: {control: {share: 1}}}}")
        until(lambda: server.metric(taken % "refused") == 1)
        assert server.slates({"user_id": "u1"})[0]["arm"] == arms["u1"]
        assert main(["experiment", "stop", *place]) == 0
        until(lambda: server.metric(taken % "taken") == 2)
        assert server.slates({"user_id": "u1"})[0]["arm"] == ""
        assert server.stop() == 0
    assert "experiments refused, those before go on" in (tmp_path / "log").read_text()
    rows = [row for part in workspace.impressions.rglob("*.parquet") for row in pq.read_table(part).to_pylist()]
    assert {row["user_id"]: row["arm"] for row in rows if row["arm"]} == arms
    capsys.readouterr()
    assert main(["experiment", "results", "--file", str(file), "--json", *place]) == 0
    told = json.loads(capsys.readouterr().out)["weight"]
    found = {arm: (each["units"], each["events"]["click"]["mean"]) for arm, each in told["arms"].items()}
    assert found == {"squared": (squared, 1.0), "control": (200 - squared, 0.0)}
    same = "where all units of an arm are the same, there is too little to tell how sure that is"
    assert told["arms"]["squared"]["events"]["click"]["low"] is None, same
    assert told["sample_ratio_p"] > 0.001
