"""States hold events without where these were: no feature asks. A store of before is read and emptied."""

import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from souk.schema import DAY_MS
from souk.state import Event, state_of, states_before, walk
from souk.state_rows import from_row, profile_of, state_columns, to_row
from souk.store import definitions, feast_store, publish
from tests.features_fixtures import bazaar, spec_of

SPEC = spec_of(bazaar())
PROFILE = profile_of({}, SPEC)
NOW = 20_000 * DAY_MS
PLACES = [{"device": "tv"}, {"device": "ios"}, {}]


def visits(places=PLACES):
    return [Event("i", "click", NOW + n, math.nan, f"e{n}", math.nan, place) for n, place in enumerate(places)]


def row_of_before(state):
    """As versions wrote it that kept the context."""
    return {**to_row(state, SPEC), "event_context": ['{"device": "tv"}'] * len(state.events)}


def test_a_state_is_the_same_wherever_its_events_were():
    state = state_of("u", visits(), SPEC, PROFILE)
    assert repr(state) == repr(state_of("u", visits([{}] * 3), SPEC, PROFILE))
    assert not [name for name in state_columns(SPEC) if "context" in name]
    assert repr(from_row(to_row(state, SPEC), SPEC)) == repr(state) == repr(from_row(row_of_before(state), SPEC))


def test_targets_keep_theirs():
    pairs = list(walk("u", visits(), SPEC, PROFILE))
    assert [event.context for event, _ in pairs] == PLACES
    seen = [*(state for _, state in pairs), *states_before("u", visits(), [NOW + 2, NOW + 9], SPEC, PROFILE)]
    assert max(len(state.events) for state in seen) == 3
    assert not any(event.context for state in seen for event in state.events)


def stored(store, user="u"):
    """What the store has of the context of a user's events."""
    feast = store._opened()
    [(_, values)] = feast.provider.online_read(
        feast.config, store._view_of(feast), [feast_store.user_key(user)], ["event_context"]
    )
    return values and list(values["event_context"].string_list_val.val)


@pytest.mark.parametrize("republished", [True, False])
def test_what_a_version_before_published_is_read_and_emptied(tmp_path, monkeypatch, republished):
    state, rows = state_of("u", visits(), SPEC, PROFILE), tmp_path / "states.parquet"
    pq.write_table(pa.Table.from_pylist([row_of_before(state)]), rows)
    with monkeypatch.context() as patched:
        for module in (definitions, publish):
            patched.setattr(
                module, "state_columns", lambda spec: state_columns(spec) | {"event_context": "list<string>"}
            )
        publish.publish(rows, SPEC, tmp_path / "feast", 10)
    store = feast_store.FeastStore(tmp_path / "feast", SPEC)
    assert repr(store.read(["u"])) == repr([state]) and len(stored(store)) == 3
    if republished:
        assert publish.publish(rows, SPEC, tmp_path / "feast", 20) == 1, "a file of before"
        assert "event_context" not in pq.read_schema(definitions.offline_file(SPEC, tmp_path / "feast")).names
        store = feast_store.FeastStore(tmp_path / "feast", SPEC)
    else:
        store.write([state], 20)
    assert repr(store.read(["u"])) == repr([state]) and stored(store) == []
