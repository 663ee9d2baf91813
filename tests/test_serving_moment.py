"""One release for all of an answer, and what the releases of a server take of its memory."""

import gc
import json
import math
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from souk.release.pointer import point
from souk.serving import memory
from souk.serving.memory import array_bytes, model_bytes
from souk.serving.metrics import PathMetrics
from souk.serving.server import example
from tests.arms_fixtures import arms_of, beside, reader_of, write
from tests.serving_fixtures import DIM, HIDDEN, IDS, NOW, write_workspace

NONE = "experiments: {}\n"
SECOND = "shop-000000000002"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    made = write_workspace(tmp_path_factory.mktemp("moment") / "workspace")
    beside(made, SECOND)
    return made


@pytest.fixture
def arms(workspace):
    first = workspace.current_release()
    yield arms_of(workspace, NONE)
    point(workspace, first)


def parsed(arms, users):
    bound = arms.now
    instances = [{"user_id": user, "k": 4} for user in users]
    return bound.main.parser.parse_all(instances, NOW, lambda: "r", None, bound)


def test_the_release_that_a_request_was_parsed_for_answers_it(workspace, arms):
    """In one batch with requests for the next one, and by the fallback too."""
    first = workspace.current_release()
    early = parsed(arms, ["ann", "bob"])
    point(workspace, SECOND)
    assert arms._releases.look()
    late = parsed(arms, ["ann"])
    for answer in (arms.recommend, arms.safe):
        slates = answer([early[0], late[0], early[1]])
        assert [slate.release for slate in slates] == [first, SECOND, first]
        assert [slate.user_id for slate in slates] == ["ann", "ann", "bob"]


def test_no_release_outlives_its_requests(workspace, arms):
    releases, first = arms._releases, workspace.current_release()
    held, releases.now.counts.counted = parsed(arms, ["ann"]), 7
    for name in (SECOND, first, SECOND, first):
        point(workspace, name)
        assert releases.look()
        gc.collect()
        assert {served.bundle.name for served in releases.alive} == {first, SECOND}
    assert len(releases.alive) == 3, "one is held by a request"
    size = releases.now.bytes
    assert told(releases) == {first: [size], SECOND: [size]}, "and has the arrays of the one that answers"
    assert releases.now.counts.counted == 7, "it goes on where it was"
    assert arms.recommend(held)[0].release == first
    del held
    gc.collect()
    assert len(releases.alive) == 2


def test_a_release_of_an_arm_is_told_as_long_as_anything_holds_it(workspace, arms):
    releases, first = arms._releases, workspace.current_release()
    write(workspace, f"experiments: {{next: {{arms: {{a: {{share: 0.5}}, b: {{share: 0.5, release: {SECOND}}}}}}}}}\n")
    assert arms.look() and told(releases).keys() == {first, SECOND}
    held = parsed(arms, ["ann"])
    write(workspace, NONE)
    assert arms.look()
    arms.look()  # lets go of what it can
    gc.collect()
    assert told(releases).keys() == {first, SECOND}, "a request is on its way"
    del held
    arms.look()
    gc.collect()
    assert told(releases).keys() == {first}


def told(releases):
    """The bytes that `/metrics` has of each release."""
    found = {}
    path = PathMetrics(SimpleNamespace(waiting=0), releases, SimpleNamespace(recall=math.nan), [])
    for family in path.collect():
        for sample in family.samples if family.name == "souk_release_bytes" else ():
            found.setdefault(sample.labels["release"], []).append(sample.value)
    return found


def test_an_answer_holds_no_release(workspace, arms):
    """It is kept in a cache, and for logs whose sink does not answer."""
    releases, first = arms._releases, workspace.current_release()
    instances = [{"user_id": "ann", "k": 4}, {"item_id": IDS[0], "k": 4}]
    parse_all = arms.now.main.parser.parse_all
    kept = [answer(parse_all(instances, NOW, lambda: "r", None, arms.now)) for answer in (arms.recommend, arms.safe)]
    for name in (SECOND, first, SECOND):
        point(workspace, name)
        assert releases.look()
    gc.collect()
    assert len(releases.alive) == 2 and [slate.release for slates in kept for slate in slates] == [first] * 4


def test_a_release_tells_what_it_takes(arms):
    served = arms.now.main
    bundle = served.bundle
    models = model_bytes(bundle.query_tower, bundle.item_tower, bundle.ranker)
    arrays = served.bytes - models
    assert models > 10_000
    assert 4 * DIM * len(IDS) + bundle.items.nbytes < arrays < 100 * bundle.items.nbytes


@dataclass
class Thing:
    array: np.ndarray
    more: Any = None
    parts: list[Any] = field(default_factory=list)


def test_an_array_counts_once_however_it_is_reached(monkeypatch):
    monkeypatch.setattr(memory, "OWN", __name__)
    whole, table = np.zeros(1000), pa.table({"a": np.zeros(10)})
    thing = Thing(
        whole[:10], {"view": whole[10:].reshape(9, -1), "table": table}, [whole, (table, np.zeros(3, np.int8))]
    )
    thing.parts.append(thing)
    assert array_bytes(thing) == 8000 + 80 + 3
    assert array_bytes(thing, Thing(np.zeros(1), "text", [0] * 10_000)) == 8000 + 80 + 3 + 8


def test_the_example_of_a_server_is_of_somebody_whom_the_release_knows_and_a_log_names_nobody(arms):
    for terminal, asked in ((True, {"user_id": "ann", "k": 5}), (False, {"item_id": IDS[0], "k": 5})):
        body = json.loads(example(arms.now.main, terminal, NOW))
        assert body == {"instances": [asked]}
        requests = arms.now.main.parser.parse_all(body["instances"], NOW, lambda: "r", None, arms.now)
        (slate,) = arms.recommend(requests)
        assert len(slate.items) == 5 and not slate.degraded


def test_the_example_of_a_log_is_like_an_item_that_can_be_shown(tmp_path):
    own = write_workspace(tmp_path / "workspace")
    served = reader_of(own).ready(own.current).serve()

    def named(time):
        (instance,) = json.loads(example(served, False, time))["instances"]
        return instance["item_id"]

    first, second, third, *others = (item for item in IDS if item not in HIDDEN)
    served.live.upsert([{"item_id": first, "available": False}, {"item_id": second, "available_until": NOW}])
    assert (named(NOW), named(NOW + 1)) == (second, third)
    served.live.upsert([{"item_id": item, "available": False} for item in (second, third, *others)])
    assert named(NOW) == IDS[0], "none can be shown"
    served.close()
