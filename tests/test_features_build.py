"""The whole build on a small bazaar: parity with serving, no look into the future, the same bytes twice."""

import json
import os
import random
import subprocess
import sys
from itertools import pairwise, product

import numpy as np
import pandas as pd
import pytest

from souk.errors import SoukError
from souk.features.co_visitation import LIVES
from souk.features.rules import BACK, DISTANCE, SUPPORT, VOTES
from souk.features.runner import Runner
from souk.features.transform import load_transform
from souk.features.trends import half_life, trends
from souk.features.windows import read_windows
from souk.schema import DAY_MS
from souk.sources.rows import SparseRows
from souk.spec import Entity, read_spec
from souk.state import features_at, habits_at, state_of
from souk.state_rows import profile_of
from souk.store.feast_store import FeastStore
from souk.store.publish import publish
from tests.features_fixtures import (
    bazaar_events,
    build_bazaar,
    contents,
    histories,
    pad_column,
    served_values,
    targets,
    write_tables,
)

pytestmark = pytest.mark.slow
EVENTS = bazaar_events()
ENGAGING = [event for event in EVENTS if event["event_type"] in ("click", "purchase")]


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    return build_bazaar(tmp_path_factory.mktemp("bazaar"), EVENTS)


def test_training_and_serving_see_the_same_values(features, tmp_path):
    spec, trained = read_spec(features / "spec.json"), targets(features)
    publish(features / "user_state.parquet", spec, tmp_path / "feast", 0)
    store = FeastStore(tmp_path / "feast", spec)
    users = pd.read_parquet(features.parent / "tables" / "users.parquet").astype(object)
    users = users.where(users.notna(), None)
    profiles = {row["user_id"]: profile_of(row, spec) for row in users.to_dict("records")}
    by_user, compared, remembered = histories(EVENTS), 0, 0
    for time in sorted({event["timestamp"] for event in ENGAGING}):
        now = [event for event in ENGAGING if event["timestamp"] == time]
        asked = sorted({event["user_id"] for event in now})
        store.write(
            [state_of(u, [e for e in by_user[u] if e.timestamp < time], spec, profiles[u]) for u in asked], time
        )
        states = dict(zip(asked, store.read(asked), strict=True))
        for row in now:
            event = next(e for e in by_user[row["user_id"]] if e.event_id == row["event_id"])
            served = features_at(states[row["user_id"]], time, spec, event.context)
            raw = served.tokens | served.query | served.user
            for feature in spec.features:
                if feature.entity is not Entity.ITEM:
                    seen = trained[event.event_id][feature.name]
                    assert repr(seen) == repr(served_values(raw, feature)), (event.event_id, feature.name)
            habits = habits_at(states[row["user_id"]], time, spec)
            assert trained[event.event_id]["habits"] == habits
            compared, remembered = compared + 1, remembered + bool(habits)
    assert remembered > len(trained) / 2
    assert compared == len(trained) == len(ENGAGING)


def test_published_states_answer_for_the_last_events(features, tmp_path):
    spec, trained, by_user = read_spec(features / "spec.json"), targets(features), histories(EVENTS)
    assert publish(features / "user_state.parquet", spec, tmp_path / "feast", 0) == len(by_user) + 1
    users = sorted(by_user)
    states = dict(zip(users, FeastStore(tmp_path / "feast", spec).read(users), strict=True))
    for user, events in by_user.items():
        last = [event for event in events if event.event_type in ("click", "purchase")][-1:]
        for event in last:
            served = features_at(states[user], event.timestamp, spec, event.context)
            for feature in spec.of(Entity.TOKEN):
                assert repr(trained[event.event_id][feature.name]) == repr(served_values(served.tokens, feature))


def test_every_engaging_event_is_a_target_and_an_example_once(features):
    wanted = {event["event_id"] for event in ENGAGING}
    examples = pd.read_parquet(features / "examples.parquet")
    assert set(targets(features)) == wanted
    assert len(examples) == len(wanted) and set(examples.event_id) == wanted
    assert examples.timestamp.is_monotonic_increasing
    for event_id, row in examples.set_index("event_id").iterrows():
        seen = targets_of(features)[event_id]
        for name in ("item_id", "satisfied", "satisfied_at", "back", "back_at"):
            assert row[name] == seen[f"target_{name}"]
        assert list(row.context_tags) == [tag for tag in seen["context_tags"] if tag]


def test_a_further_objective_has_labels_of_its_own_rule(features):
    """A click after which the same user put anything in the cart, half a day to two days later."""
    examples, end = pd.read_parquet(features / "examples.parquet"), max(event["timestamp"] for event in EVENTS) + 1
    carts = [(event["user_id"], event["timestamp"]) for event in EVENTS if event["event_type"] == "cart"]
    clicks = {event["event_id"] for event in EVENTS if event["event_type"] == "click"}
    expected = []
    for row in examples.itertuples():
        later = [(time - row.timestamp) / DAY_MS for user, time in carts if user == row.user_id]
        known = row.event_id in clicks and row.timestamp + 2 * DAY_MS < end
        expected.append(int(any(0.5 <= days <= 2 for days in later)) if known else -1)
    assert examples.back.tolist() == expected
    assert min(expected.count(value) for value in (1, 0, -1)) > 20 and expected != examples.satisfied.tolist()


def targets_of(features, kept={}):  # noqa: B006 - read once
    return kept.setdefault(features, targets(features))


def test_tables_beside_the_rows(features):
    items, counters, acts = (pd.read_parquet(features / f"{name}.parquet") for name in ("items", "counters", "acts"))
    assert len(acts) == sum(e["event_type"] != "impression" for e in EVENTS) and acts.keeps_out.sum() == len(ENGAGING)
    windows, examples = read_windows(features / "windows.json"), pd.read_parquet(features / "examples.parquet")
    assert items.item_id.is_monotonic_increasing and not items.available[7]
    for boundary in ("validation_start", "test_start", "end"):
        part, time = counters[counters.boundary == boundary].set_index("item_id"), getattr(windows, boundary)
        assert [*part.index] == [*items.item_id] and {*part.until} == {time} and part.half_life_days.nunique() == 1
        before = examples[examples.timestamp < time]
        assert part.events.to_dict() == before.item_id.value_counts().reindex(part.index, fill_value=0).to_dict()
        halves = (time - before.timestamp) / (part.half_life_days.iloc[0] * 86_400_000)
        assert part.lately.sum() == pytest.approx((0.5**halves).sum())
        known = examples[(examples.satisfied >= 0) & (examples.satisfied_at < time)]
        mean = known.satisfied.mean()
        for item, labels in known.groupby("item_id").satisfied:
            assert part.satisfied_rate[item] == pytest.approx((labels.sum() + 10 * mean) / (len(labels) + 10))


def test_rules_are_those_of_the_plain_way(features):
    """Every pair of events of a user, one by one."""
    ids = list(pd.read_parquet(features / "items.parquet").item_id)
    windows = read_windows(features / "windows.json")
    items = np.array([ids.index(event["item_id"]) for event in ENGAGING])
    times = np.array([event["timestamp"] for event in ENGAGING])
    early = times < windows.validation_start
    half = half_life(items[early], times[early], len(ids))
    for name in ("validation_start", "test_start", "end"):
        rows = SparseRows.load(features / "co_visitation" / f"{name}.npz", len(ids))
        votes, events, end = np.zeros((len(ids), len(ids))), np.zeros(len(ids)), getattr(windows, name)
        starts = [0, *(bound for bound in windows.ends if bound <= end)]
        for history, (start, until) in product(histories(EVENTS).values(), pairwise(starts)):
            seen = [e for e in history if e.timestamp < until and e.event_type != "impression"]
            mine, own = np.zeros_like(votes), np.zeros_like(events)
            for later, event in enumerate(seen):
                if event.timestamp < start:
                    continue
                aged = 0.5 ** ((until - event.timestamp) / (LIVES * half))
                own[ids.index(event.item_id)] += 1
                for steps, earlier in enumerate(reversed(seen[max(0, later - DISTANCE) : later]), 1):
                    if earlier.item_id != event.item_id:
                        pair = ids.index(earlier.item_id), ids.index(event.item_id)
                        mine[pair] += aged * (event.event_type in ("click", "purchase")) / steps
                        back = 1 if earlier.timestamp == event.timestamp else BACK
                        mine[pair[::-1]] += aged * back * (earlier.event_type in ("click", "purchase")) / steps
            votes += np.minimum(mine, VOTES) * 0.5 ** ((end - until) / (LIVES * half))
            events += np.minimum(own, VOTES)
        row, item, weight = rows.gather(np.arange(len(ids)))
        assert len(row) == np.count_nonzero(votes) > 100
        plain = votes[row, item] / np.sqrt(events[row] + SUPPORT) * trends(items, times, len(ids), end, half)[item]
        np.testing.assert_allclose(weight, plain, rtol=1e-5)


def changed_future(time):
    """The same events before `time`; from it on, other users do other things with other items."""
    chance = random.Random(9)
    future = [event for event in EVENTS if event["timestamp"] >= time]
    users, items = ([event[name] for event in future] for name in ("user_id", "item_id"))
    chance.shuffle(users)
    chance.shuffle(items)
    planted = {"dwell_seconds": 1e6, "value": 1e9, "discount": -1e9, "device": "planted"}
    return [
        *(event for event in EVENTS if event["timestamp"] < time),
        *(event | planted | {"user_id": u, "item_id": i} for event, u, i in zip(future, users, items, strict=True)),
    ]


def test_a_planted_future_changes_nothing_before_it(features, tmp_path):
    windows = read_windows(features / "windows.json")
    planted = build_bazaar(tmp_path, changed_future(windows.test_start))
    assert read_windows(planted / "windows.json") == windows
    was, became, compared = targets(features), targets(planted), 0
    for event_id, seen in was.items():
        if seen["target_time"] < windows.test_start:
            other = became[event_id]
            label: set[str] = set()
            for name in ("target_satisfied", "target_back"):
                unknown = [row[name] < 0 or row[f"{name}_at"] >= windows.test_start for row in (seen, other)]
                assert unknown[0] == unknown[1]
                label |= {name, f"{name}_at"} if unknown[0] else set()
            assert repr({n: v for n, v in seen.items() if n not in label}) == repr(
                {n: v for n, v in other.items() if n not in label}
            )
            compared += 1
    assert compared > 200
    counters = [pd.read_parquet(folder / "counters.parquet") for folder in (features, planted)]
    early = [table[table.boundary != "end"].reset_index(drop=True) for table in counters]
    pd.testing.assert_frame_equal(*early)
    assert not counters[0].equals(counters[1])
    for part in ("co_visitation", "ease", "segment_popular"):
        for boundary in ("validation_start", "test_start", "end"):
            was, became = (folder.joinpath(part, f"{boundary}.npz").read_bytes() for folder in (features, planted))
            assert (was == became) == (boundary != "end"), (part, boundary)
    for entity in Entity:
        graphs = [folder / "transform" / entity / "transform_fn" for folder in (features, planted)]
        for part in ("assets", "variables"):
            assert contents(graphs[0] / part) == contents(graphs[1] / part), entity


def test_two_builds_are_the_same_bytes(features, tmp_path):
    write_tables(tmp_path / "tables", EVENTS)
    code = (
        "from pathlib import Path; from souk.features.pipeline import build; from souk.features.runner import Runner\n"
        "from tests.features_fixtures import bazaar, spec_of\n"
        f"root = Path({str(tmp_path)!r}); config = bazaar()\n"
        "build(root / 'tables', root / 'features', spec_of(config), config.split, Runner())"
    )
    environment = os.environ | {"PYTHONHASHSEED": "12345", "PYTHONPATH": os.getcwd()}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, capture_output=True)
    assert contents(tmp_path / "features") == contents(features)


def test_transforms_of_items(features):
    items = pd.read_parquet(features / "items.parquet")
    spec = read_spec(features / "spec.json")
    raw = {f.name: pad_column(items[f.name], f) for f in spec.of(Entity.ITEM)}
    made = {name: value.numpy() for name, value in load_transform(features, "item")(raw).items()}
    described = json.loads((features / "transform" / "features.json").read_text())
    assert set(made) == {name for name, value in described.items() if value["entity"] == "item"}
    assert sorted(made["item_id"]) == list(range(2, len(items) + 2))
    missing = items.item_price.isna().to_numpy()
    assert (made["item_price_missing"] == missing).all() and (made["item_price"][missing] == 0).all()
    known = items.item_price[~missing].to_numpy()
    np.testing.assert_allclose(made["item_price"][~missing], (known - known.mean()) / known.std(), rtol=1e-5)
    assert (made["item_price_bucket"][missing] == 0).all() and set(made["item_price_bucket"]) == {0, 2, 3, 4, 5}
    for name, value in described.items():
        if value["entity"] == "item" and value["type"] == "ids":
            assert made[name].max() < value["size"] and made[name].min() >= 0
        if value["entity"] == "item":
            assert made[name].shape[1:] == ((value["length"],) if value["length"] else ())
    assert (made["item_image"] == np.nan_to_num(raw["item_image"])).all()
    assert made["item_image"].any()
    assert ((made["item_category"] == 0) == np.array([[x == "" for x in row] for row in raw["item_category"]])).all()


def test_tokens_share_the_ids_of_items_and_survive_without_the_folder(features, tmp_path):
    import shutil

    import tensorflow as tf

    copy = tmp_path / "features"
    shutil.copytree(features, copy)

    class Model(tf.Module):
        def __init__(self):
            super().__init__()
            self.transform = load_transform(copy, Entity.TOKEN)

        @tf.function
        def serve(self, **raw):
            return self.transform(raw)

    spec = read_spec(features / "spec.json")
    signature = {f.name: tf.TensorSpec([None, None], f.dtype, name=f.name) for f in spec.of(Entity.TOKEN)}
    model = Model()
    concrete = model.serve.get_concrete_function(**signature)
    tf.saved_model.save(model, str(tmp_path / "saved"), signatures={"serve": concrete})
    shutil.rmtree(copy)
    raw = {
        "token_item_id": tf.constant([["i03", "never seen", ""]]),
        "token_event_type": tf.constant([["click", "nonsense", ""]]),
        "token_gap": tf.constant([[1.0, float("nan"), float("nan")]]),
        "token_value": tf.constant([[2.5, 1.0, float("nan")]]),
        "token_dwell": tf.constant([[9.0, float("nan"), float("nan")]]),
    }
    made = tf.saved_model.load(str(tmp_path / "saved")).signatures["serve"](**raw)
    item_ids = (features / "transform/item/transform_fn/assets/item_id").read_text().splitlines()
    assert made["token_item_id"].numpy().tolist() == [[item_ids.index("i03") + 2, 1, 0]]
    assert made["token_event_type"].numpy().tolist() == [[3, 1, 0]]
    assert made["token_gap_missing"].numpy().tolist() == [[0.0, 1.0, 1.0]]
    assert made["token_gap"].numpy()[0, 1:].tolist() == [0.0, 0.0]


def test_beam_options_are_a_json_list():
    assert Runner.parse("apache_beam.runners.portability.fn_api_runner.FnApiRunner", "") == Runner()
    assert Runner.parse("of.mine.Own", '["--parallelism=2"]') == Runner("of.mine.Own", ("--parallelism=2",))
    for wrong in ("{}", "[1]", "--parallelism=2"):
        with pytest.raises(SoukError, match="JSON list of flags"):
            Runner.parse("FnApiRunner", wrong)
