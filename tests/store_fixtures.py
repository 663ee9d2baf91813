"""User states, and files of them, for tests of stores."""

import math
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq

from souk.state import Event, UserState, advance
from souk.state_rows import profile_of, state_columns, to_row
from souk.store.publish import publish
from tests.features_fixtures import START, bazaar, spec_of

CONFIG = bazaar()
SPEC = spec_of(CONFIG)
NOW = START + 10**9


def state(user_id, events=3, spec=SPEC):
    made = UserState(user_id, profile=profile_of({"country": "日本", "age": None, "hobbies": ["go", ""]}, spec))
    for number in range(events):
        context = {"device": "wëb", "tags": ["x"]} if number % 2 else {}
        made = advance(made, Event(f"i{number}", "click", START + number, math.nan, f"e{number}", 1.5, context), spec)
    return made


def user_states(path, states, spec=SPEC):
    """A `user_state.parquet`."""
    rows = [to_row(one, spec) for one in states]
    types = {"string": pa.string(), "int64": pa.int64(), "double": pa.float64()}
    schema = pa.schema(
        [
            (name, pa.list_(types[kind[5:-1]]) if kind.startswith("list") else types[kind])
            for name, kind in state_columns(spec).items()
        ]
    )
    pq.write_table(pa.Table.from_pylist(rows, schema), path)
    return path


def published_in(folder, uri=""):
    states = [state("ann"), state("silent", 0)]
    publish(user_states(folder / "user_state.parquet", states), SPEC, folder / "feast", NOW, uri)
    return folder / "feast"


def one_more(states):
    """What an update makes of the states of users who are known."""
    return [replace(state, count=state.count + 1) for state in states if state is not None]
