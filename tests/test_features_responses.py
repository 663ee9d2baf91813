"""How often items are taken where they are shown, by hand: places, boundaries, and logs of other forms."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from souk.config import Columns, Objective
from souk.features import responses
from souk.features.responses import PRIOR, is_told, with_responses
from souk.items import ItemTable
from souk.pair_query import PairQuery
from souk.pairs import names_of, pair_features
from souk.serving.explain.gradients import Explainer
from souk.serving.explain.names import plain_name
from souk.serving.explain.pairs import plain_value, start
from souk.spec import FeatureSpec
from tests.evaluation_fixtures import make_spec
from tests.marketplace import CONFIG
from tests.models_fixtures import cycle_spec

WINDOWS = SimpleNamespace(validation_start=100, test_start=200, end=300)
IDS = ["a", "b", "c"]
NAMES = ["event_type", "item_id", "timestamp", "request_id", "position"]


@pytest.fixture
def spec():
    return replace(make_spec(CONFIG), shown=True)  # clicks engage


def written(folder, rows, names=NAMES):
    table = pa.Table.from_pylist([dict(zip(NAMES, row, strict=True)) for row in rows], SCHEMA)
    pq.write_table(table.select(names), folder / "events.parquet")
    return folder / "events.parquet"


SCHEMA = pa.schema(
    [("event_type", pa.string()), ("item_id", pa.string()), ("timestamp", pa.int64()), ("request_id", pa.string()),
     ("position", pa.int64())]
)  # fmt: skip


def told(folder, rows, spec):
    """`[boundaries, items]` of `response`."""
    none = pa.table({"item_id": IDS * 3})
    found = with_responses(none, written(folder, rows), IDS, spec, WINDOWS)
    return found["response"].to_numpy().reshape(3, len(IDS))


def slate(request, time, *items):
    return [("impression", item, time, request, place) for place, item in enumerate(items)]


def test_by_hand(tmp_path, spec):
    """At the first place one of two is taken before the first boundary, at the second none of two."""
    rows = [*slate("r1", 10, "a", "b"), ("click", "a", 11, "r1", 0), *slate("r2", 20, "b", "a")]
    rows += [*slate("r3", 150, "b", "c"), ("click", "c", 151, "r3", None), ("click", "c", 152, "r3", None)]
    rows += [*slate("r4", 199, "c", "a"), ("click", "c", 200, "r4", 0)]  # taken at the boundary: not before it
    rows += [("click", "b", 30, "r9", None), ("purchase", "b", 31, "r2", 0), ("click", "b", 32, None, 0)]
    first = [(1 + PRIOR) / (0.5 + PRIOR), PRIOR / (0.5 + PRIOR), 1]
    # then of four at the first place one was taken, and of four at the second one
    second = [(1 + PRIOR) / (0.75 + PRIOR), PRIOR / (0.75 + PRIOR), (1 + PRIOR) / (0.5 + PRIOR)]
    third = [(1 + PRIOR) / (0.5 + 0.5 + PRIOR), PRIOR / (0.5 + 0.25 + 0.5 + PRIOR), (2 + PRIOR) / (0.25 + 0.5 + PRIOR)]
    third[0], third[1] = (1 + PRIOR) / (0.5 + 0.25 + 0.25 + PRIOR), PRIOR / (0.25 + 0.5 + 0.5 + PRIOR)
    np.testing.assert_allclose(told(tmp_path, rows, spec), np.log([first, second, third]), atol=1e-6)


def test_nothing_of_later_is_told(tmp_path, spec):
    early = [*slate("r1", 10, "a", "b"), ("click", "b", 20, "r1", 1)]
    late = [*slate("r2", 100, "a", "c"), ("click", "a", 101, "r2", 0)]
    before, after = told(tmp_path, early, spec), told(tmp_path, early + late, spec)
    np.testing.assert_array_equal(before[0], after[0])
    assert (before[1] != after[1]).any()


def test_an_item_that_is_shown_often_is_no_better_for_it(tmp_path, spec):
    """Of what is shown at either place half is taken, of `a` always, of `b` always where `a` is not."""
    rows = [row for n in range(40) for row in [*slate(f"r{n}", n, "a", "c"), ("click", "a", n, f"r{n}", 0)]]
    rows += [row for n in range(40, 44) for row in [*slate(f"r{n}", n, "b", "c"), ("click", "b", n, f"r{n}", 0)]]
    rows += [row for n in range(44, 88) for row in slate(f"r{n}", n, "c", "c2")]
    response = told(tmp_path, rows, spec)[0]
    expected = np.array([40 / 2, 4 / 2, 44 / 2])
    np.testing.assert_allclose(response, np.log((np.array([40, 4, 0]) + PRIOR) / (expected + PRIOR)), atol=1e-6)


def test_a_log_whose_row_says_that_it_was_taken_has_no_other_row_for_it(tmp_path, spec):
    """A click with a place is a showing, one without a place is none."""
    rows = [*slate("r1", 10, "b", "c")[1:], ("click", "b", 10, "r1", 0), *slate("r2", 11, "b", "c")]
    rows += [("click", "a", 12, "r3", None)]
    np.testing.assert_allclose(
        told(tmp_path, rows, spec)[0], np.log([1, (1 + PRIOR) / (1 + PRIOR), PRIOR / (0 + PRIOR)]), atol=1e-6
    )


@pytest.mark.parametrize(("kept", "counts"), [(3, False), (2, True)])
def test_what_was_taken_without_its_impression_counts_where_most_of_it_has_none(tmp_path, spec, kept, counts):
    """`a` is always taken at the first place, `b` never, but for two takings of which no impression tells."""
    rows = [row for n in range(kept) for row in [*slate(f"r{n}", n, "a"), ("click", "a", n, f"r{n}", 0)]]
    rows += [row for n in range(kept) for row in slate(f"s{n}", n, "b")]
    lost = [("click", "b", n, f"lost{n}", 0) for n in range(2)]
    more = 2 * counts
    rate = (kept + more) / (2 * kept + more)
    expected = [
        math.log((kept + PRIOR) / (kept * rate + PRIOR)),
        math.log((more + PRIOR) / ((kept + more) * rate + PRIOR)),
        0,
    ]
    np.testing.assert_allclose(told(tmp_path, rows + lost, spec)[0], expected, atol=1e-6)


def test_places_behind_the_last_share_its_rate(tmp_path, spec):
    rows = [("impression", "a", 1, "r1", 63), ("impression", "b", 2, "r2", 500), ("click", "b", 3, "r2", 500)]
    rows += [("impression", "c", 4, "r3", 62)]
    np.testing.assert_allclose(
        told(tmp_path, rows, spec)[0], np.log([PRIOR / (0.5 + PRIOR), (1 + PRIOR) / (0.5 + PRIOR), 1]), atol=1e-6
    )


@pytest.mark.parametrize(("rows", "batch"), [(7, 1), (300, 11)])
def test_files_of_any_size_are_read_in_parts(tmp_path, spec, monkeypatch, rows, batch):
    rng = np.random.default_rng(rows)
    events = []
    for n in range(rows):
        shown = rng.permutation(IDS).tolist()
        events += slate(f"r{n}", n, *shown)
        events += [("click", item, n + 1, f"r{n}", None) for item in shown if rng.random() < 0.3]
    whole = told(tmp_path, events, spec)
    monkeypatch.setattr(responses, "ROWS", batch)
    np.testing.assert_array_equal(whole, told(tmp_path, events, spec))


def pairs(count, taken):
    """So many slates of two, some of which were taken from."""
    rows = [row for n in range(count) for row in slate(f"r{n}", n % 90, "a", "b")]
    return rows + [("click", "a", n % 90, f"r{n}", 0) for n in range(taken)]


@pytest.mark.parametrize(
    ("rows", "names", "enough"),
    [
        (pairs(120, 100), NAMES, True),
        (pairs(120, 99), NAMES, False),
        (pairs(120, 100), [name for name in NAMES if name != "position"], False),
        (pairs(120, 100), [name for name in NAMES if name != "request_id"], False),
        ([("impression", "a", 1, f"r{n}", 0) for n in range(120)] + [("click", "a", 1, f"r{n}", 0) for n in range(115)],
         NAMES, False),  # nearly all was taken: what was left was not written
        ([(kind, item, time + 100, *rest) for kind, item, time, *rest in pairs(120, 100)], NAMES, False),  # later
    ],
)  # fmt: skip
def test_it_is_told_where_enough_was_shown_and_some_left(tmp_path, spec, rows, names, enough):
    assert is_told(written(tmp_path, rows, names), spec, 100) == enough


def heavy(folder, rows, spec, before=100):
    """`is_told` of events with values and dwells."""
    columns = [*NAMES, "value", "dwell_seconds"]
    schema = pa.schema([*SCHEMA, ("value", pa.float64()), ("dwell_seconds", pa.float64())])
    table = pa.Table.from_pylist([dict(zip(columns, row, strict=True)) for row in rows], schema)
    pq.write_table(table, folder / "events.parquet")
    return is_told(folder / "events.parquet", spec, before)


@pytest.mark.parametrize(
    ("rule", "value", "dwell", "enough"),
    [
        ({"min_value": 4}, 4.0, None, True),
        ({"min_value": 4}, 3.0, None, False),
        ({"min_dwell_seconds": 10}, None, 10.0, True),
        ({"min_dwell_seconds": 10}, None, 9.0, False),
    ],
)
def test_what_does_not_engage_takes_nothing(tmp_path, spec, rule, value, dwell, enough):
    engaged = Objective(events=("click",), **rule)
    spec = replace(spec, objectives=spec.objectives.model_copy(update={"engaged": engaged}))
    rows = [(*row, value, dwell) if row[0] == "click" else (*row, None, None) for row in pairs(120, 100)]
    assert heavy(tmp_path, rows, spec) == enough


@pytest.mark.parametrize(("taken", "enough"), [(113, True), (114, False)])
def test_nearly_all_is_nineteen_of_twenty(tmp_path, spec, taken, enough):
    rows = [("impression", "a", 1, f"r{n}", 0) for n in range(120)]
    rows += [("click", "a", 1, f"r{n}", 0) for n in range(taken)]
    assert is_told(written(tmp_path, rows), spec, 100) == enough


def ratios(folder, rows, spec, row=0):
    """Taken and expected of `a` and `b`, as one ratio with the prior."""
    return np.exp(told(folder, rows, spec)[row][:2])


def test_of_what_is_taken_twice_in_a_request_the_first_time_counts_in_any_order_of_the_rows(tmp_path, spec):
    """Without an impression of its own it is one showing, at the place of the first time, and known from then on."""
    rows = [("click", "a", 120, "r1", 1), ("click", "a", 90, "r1", 0), ("impression", "b", 10, "r1", 0)]
    one = [(1 + PRIOR) / (0.5 + PRIOR), PRIOR / (0.5 + PRIOR)]
    for order in (rows, rows[::-1]):
        np.testing.assert_allclose([ratios(tmp_path, order, spec, row) for row in range(3)], [one] * 3, atol=1e-6)


def test_a_place_that_was_shown_once_has_the_rate_of_that_time(tmp_path, spec):
    rows = [("impression", "a", 1, "r1", 5), ("click", "a", 2, "r1", 5), ("impression", "b", 1, "r1", 6)]
    np.testing.assert_allclose(ratios(tmp_path, rows, spec), 1, atol=1e-6)


def test_what_is_left_elsewhere_does_not_hide_what_was_taken_without_an_impression(tmp_path, spec):
    rows = [("click", "a", 1, "r1", 0), *slate("r2", 2, "b", "c")]
    np.testing.assert_allclose(
        ratios(tmp_path, rows, spec), [(1 + PRIOR) / (0.5 + PRIOR), PRIOR / (0.5 + PRIOR)], atol=1e-6
    )


def test_a_log_of_which_nothing_was_taken_tells_nothing(tmp_path, spec):
    rows = slate("r1", 1, "a", "b")
    assert not is_told(written(tmp_path, rows), spec, 100)
    assert not told(tmp_path, rows, spec).any()


def test_an_impression_without_a_place_is_no_showing_and_one_before_the_first_stands_first(tmp_path, spec):
    rows = [("impression", "b", 1, "r1", None), *slate("r1", 1, "a", "c"), ("click", "a", 2, "r1", None)]
    rows += [("impression", "b", 1, "r2", -1)]
    np.testing.assert_allclose(
        ratios(tmp_path, rows, spec), [(1 + PRIOR) / (0.5 + PRIOR), PRIOR / (0.5 + PRIOR)], atol=1e-6
    )


def test_a_request_and_an_item_are_two_names(tmp_path, spec):
    """`ra` of `b` is not `r` of `ab`."""
    rows = [("impression", "b", 1, "ra", 0), ("impression", "a", 1, "ra", 0), ("click", "ab", 2, "r", None)]
    assert not told(tmp_path, rows, spec).any()


def test_a_spec_of_a_log_without_showings_is_what_it_was_and_has_no_column(spec):
    plain = replace(spec, shown=False)
    assert "shown" not in plain.to_json() and FeatureSpec.from_json(plain.to_json()) == plain
    assert FeatureSpec.from_json(spec.to_json()) == spec and spec.hash != plain.hash
    assert spec.of_states.hash == plain.of_states.hash, "user states do not depend on it"
    none = pa.table({"item_id": IDS})
    assert with_responses(none, None, IDS, plain, WINDOWS) is none


ROWS = {"item_id": ["a", "b"], "available_until": pa.nulls(2, pa.int64()), "created_at": pa.nulls(2, pa.int64())}


def table_of(spec, **columns):
    """Two items, of which `b` is taken twice as often as its places promise."""
    counters = pa.table(
        {"item_id": ["a", "b"], "events": [1.0, 1.0], "events_30d": [1.0, 1.0], "satisfied_rate": [0.5, 0.5], **columns}
    )
    return ItemTable.of(pa.table(ROWS), counters, np.eye(2, dtype=np.float32), spec)


TWICE = {"response": [0.0, math.log(2)]}


def columns_of(items, positions=None):
    query = PairQuery.of(
        10**12, {"token_item_id": [], "token_event_type": [], "token_value": [], "token_gap": []}, math.nan, items
    )
    positions = np.arange(len(items.vectors)) if positions is None else positions
    zeros = np.zeros(len(positions))
    return pair_features(items, [query], zeros.astype(np.int64), positions, zeros.astype(np.float32))


def test_pairs_know_it_of_training_and_of_live_items():
    """It is the last column, of a release whose log tells alone; an item that comes while it serves was never shown."""
    plain = cycle_spec(columns=Columns())
    shown = replace(plain, shown=True)
    items = table_of(shown, **TWICE)
    assert names_of(shown) == (*names_of(plain), "response")
    assert columns_of(items)[:, -1] == pytest.approx([0, math.log(2)]) and items.responses.dtype == np.float32
    assert columns_of(items, np.array([1, 0, 1]))[:, -1] == pytest.approx([math.log(2), 0, math.log(2)])
    live = items.with_items(pa.table(ROWS | {"item_id": ["b", "new"]}), np.eye(2, dtype=np.float32), shown)
    assert columns_of(live)[:, -1] == pytest.approx([0, math.log(2), 0])
    dear = live.with_items(pa.table(ROWS), np.eye(2, dtype=np.float32), shown)
    assert dear.responses is live.responses, "a price copies nothing"
    without = table_of(plain, response=[0.0, 1.0])  # which the spec does not know of
    assert columns_of(without).shape[1] == len(names_of(plain)) == columns_of(items).shape[1] - 1
    assert without.responses is None
    assert without.with_items(pa.table(ROWS), np.eye(2, dtype=np.float32), plain).responses is None


def test_an_explanation_tells_it_as_multiples_of_what_is_usual():
    assert plain_value("response", math.log(2)) == 2.0
    assert plain_name("response") == "how often it is chosen where it is shown"
    names = names_of(replace(cycle_spec(), shown=True))
    candidates = np.arange(2.0 * len(names)).reshape(2, -1)
    assert start(names, candidates, candidates[:1], 0.0)[-1] == candidates[:, -1].mean(), "as of the mean candidate"


def test_an_explanation_has_the_columns_of_the_release():
    for spec, own in ((cycle_spec(columns=Columns()), {}), (replace(cycle_spec(columns=Columns()), shown=True), TWICE)):
        parts = table_of(spec, **own), None, None
        assert Explainer(SimpleNamespace(parts=parts))._names == names_of(spec)
