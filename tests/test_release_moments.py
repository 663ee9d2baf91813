"""When slates were asked for: by requests that the log has, else by visits, else by engagements."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from souk.config import BuildFeatures, Columns, Objective, Objectives, Repeat
from souk.release import moments
from souk.release.moments import asked_moments
from souk.spec import FeatureSpec

HOUR = 3_600_000
START = 1_000 * HOUR
SPEC = FeatureSpec(
    dataset="shop",
    columns=Columns(events={"device": "categorical", "tags": "list"}),
    objectives=Objectives(engaged=Objective(events=("click",)), satisfied=Objective(events=("click",))),
    repeat=Repeat(rule="always"),
    build=BuildFeatures(history_length=4),
)


def event(user, minutes, kind="click", request=None, device="mobile"):
    return {
        "user_id": user, "event_type": kind, "timestamp": START + minutes * 60_000, "request_id": request,
        "device": device, "tags": ["a", device],
    }  # fmt: skip


def found(folder, events, least, monkeypatch, without=()):
    """The kind of the moments of some events, and of each the user, minutes after the window's start, the device."""
    monkeypatch.setattr(moments, "LEAST", least)
    monkeypatch.setattr(moments, "FEWEST_REQUESTS", least)
    rows = [{"event_id": f"e{n:03d}", **each} for n, each in enumerate(events)]
    table = pa.Table.from_pylist(rows).drop_columns(list(without))
    table = table.cast(pa.schema([f.with_type(pa.string()) if pa.types.is_null(f.type) else f for f in table.schema]))
    pq.write_table(table, folder / "events.parquet", row_group_size=4)
    clicks = table.filter(pa.array([row["event_type"] == "click" for row in rows]))
    renamed = {"device": "context_device", "tags": "context_tags"}
    pq.write_table(
        clicks.rename_columns([renamed.get(name, name) for name in clicks.column_names]), folder / "examples.parquet"
    )
    (folder / "windows.json").write_text(json.dumps({"test_start": START}))
    asked = asked_moments(folder, folder, SPEC)
    taken = asked.rows.to_pylist()
    assert all(row["tags"] == ["a", row["device"]] and "event_id" not in row for row in taken)
    return asked.kind, [(row["user_id"], (row["timestamp"] - START) / 60_000, row["device"]) for row in taken]


SHOWN = [
    event("ann", 9, "impression", "r1", "web"),
    event("ann", 5, "impression", "r1"),
    *(event("bob", 7, "impression", "r1", "web") for _ in range(6)),  # an id that a client numbered by itself
    event("ann", 6, request="r1"),
    event("ann", -3, "impression", "r0"),
    event("ann", 40, "impression", "r2", "web"),
    event("ann", 50, "impression"),
]


def test_a_logged_request_is_a_moment_whatever_came_of_it(tmp_path, monkeypatch):
    asked = [("ann", 5, "mobile"), ("bob", 7, "web"), ("ann", 40, "web")]
    assert found(tmp_path, SHOWN, 3, monkeypatch) == ("requests", asked)


def test_impressions_that_lack_the_context_of_what_users_did_are_not_asked(tmp_path, monkeypatch):
    """As those of a file of their own may: every request of a server would have what the reference lacks."""
    bare = [
        each | {"device": None, "tags": ["a", None]} if each["event_type"] == "impression" else each for each in SHOWN
    ]
    assert found(tmp_path, bare, 1, monkeypatch) == ("visits", [("ann", 6, "mobile")])


ACTS = [
    event("ann", -29),
    event("ann", 1),  # of the visit from before the window
    event("ann", 32, "cart", device="web"),
    event("ann", 40, "hide"),  # no act that a history has
    event("ann", 62),
    event("ann", 93, device="web"),
    event("bob", 62, device="web"),
    event("bob", 70, "impression"),
    event("bob", 93),
]


@pytest.mark.parametrize("without", [(), ("request_id",)])
def test_where_no_request_is_logged_each_visit_begins_with_one(tmp_path, monkeypatch, without):
    visits = [("ann", 32, "web"), ("bob", 62, "web"), ("ann", 93, "web"), ("bob", 93, "mobile")]
    assert found(tmp_path, ACTS, 4, monkeypatch, without) == ("visits", visits)


def test_where_both_are_too_few_the_engagements_are_moments(tmp_path, monkeypatch):
    clicks = [("ann", 1), ("ann", 62), ("bob", 62), ("ann", 93), ("bob", 93)]
    for events, wanted in ((ACTS, clicks), (SHOWN, [("ann", 6)])):
        kind, moments = found(tmp_path, events, 5, monkeypatch)
        assert (kind, [each[:2] for each in moments]) == ("engagements", wanted)


def test_a_window_in_which_nobody_came_has_no_moments(tmp_path, monkeypatch):
    assert found(tmp_path, [event("ann", -50), event("ann", -90, "impression", "r0")], 1, monkeypatch) == (
        "engagements",
        [],
    )
