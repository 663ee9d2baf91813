"""Columns with more text than pyarrow joins in one array: what reads all examples or events goes on."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from souk import counts, ordered
from souk.config import Objective
from souk.features import funnel, label_windows, responses, tables
from souk.features.tables import join_parts
from souk.models import exclusions, marked
from souk.ordered import in_order
from souk.release.golden import golden_requests
from souk.schema import DAY_MS
from tests.features_fixtures import bazaar, spec_of
from tests.release_fixtures import SPEC, write_features

KINDS = ["click", "cart", "purchase"]


class Column:
    """A column of texts that are not joined."""

    def __init__(self, column):
        self._column = column

    def __getattr__(self, name):
        return getattr(self._column, name)

    def __len__(self):
        return len(self._column)

    def __getitem__(self, place):
        return self._column[place]

    def combine_chunks(self):
        raise pa.ArrowInvalid("offset overflow while concatenating arrays")


class Rows:
    """A table of such columns."""

    def __init__(self, table):
        self._table = table

    def __getitem__(self, name):
        column = self._table[name]
        return Column(column) if pa.types.is_string(column.type) else column

    def __getattr__(self, name):
        return getattr(self._table, name)

    def __len__(self):
        return len(self._table)

    def take(self, places):
        raise pa.ArrowInvalid("offset overflow while concatenating arrays")


def drawn(count=400, chunk=70):
    draw = np.random.default_rng(5)
    table = pa.table(
        {
            "event_id": [f"e{n}" for n in draw.permutation(count)],
            "user_id": [f"u{n}" for n in draw.integers(0, 9, count)],
            "item_id": [f"i{n}" for n in draw.integers(0, 5, count)],
            "event_type": [KINDS[n] for n in draw.integers(0, 3, count)],
            "timestamp": np.sort(draw.integers(0, 20 * DAY_MS, count)),
        }
    )
    return pa.concat_tables(table.slice(start, chunk) for start in range(0, count, chunk))


def test_parts_are_joined_in_order(tmp_path, monkeypatch):
    whole, written = drawn(), []
    for n in range(4):
        pq.write_table(whole.slice(100 * n, 100), tmp_path / f"part-{n}.parquet")
    monkeypatch.setattr(ordered, "PART_BYTES", 2000)
    monkeypatch.setattr(tables.pq, "write_table", lambda table, target: written.append(table))
    assert join_parts(tmp_path.glob("part-*"), tmp_path / "all.parquet", ["item_id", "event_id"]) == 400
    assert written[0] == whole.sort_by([("item_id", "ascending"), ("event_id", "ascending")])
    assert written[0]["event_id"].num_chunks > 4


def test_events_are_looked_at_before_anything_is_done(tmp_path, monkeypatch):
    spec, rows = spec_of(bazaar()), drawn()
    rule = Objective(events=("click",), followed_by=("purchase",), within_days=2)
    carries = np.isin(rows["event_type"].to_pandas(), rule.events)
    labels = [label_windows._labels(label_windows._frame(each), carries, rule, rows) for each in (rows, Rows(rows))]
    assert labels[0].positive.tolist() == labels[1].positive.tolist() and labels[0].positive.any()
    pq.write_table(rows, tmp_path / "events.parquet")
    expected = list(funnel.funnel(tmp_path / "events.parquet", spec, 0))
    found = [funnel._pairs(each).tolist() for each in (rows, Rows(rows))]
    assert found[0] == found[1]
    real = pq.read_table
    monkeypatch.setattr(funnel.pq, "read_table", lambda *args, **given: Rows(real(*args, **given)))
    assert list(funnel.funnel(tmp_path / "events.parquet", spec, 0)) == expected


def test_recent_engagements_are_counted(tmp_path, monkeypatch):
    pq.write_table(drawn(), tmp_path / "examples.parquet")
    expected, real = counts.engagements(tmp_path, 0, {"i1": 0}), pq.read_table
    monkeypatch.setattr(counts.pq, "read_table", lambda *args, **given: Rows(real(*args, **given)))
    found = counts.engagements(tmp_path, 0, {"i1": 0})
    assert [each.tolist() for each in found] == [each.tolist() for each in expected]


@pytest.mark.parametrize("kind", [exclusions._Runs, marked._Events])
def test_what_users_did_is_found_by_user_and_time(monkeypatch, kind):
    rows, module = drawn(), exclusions if kind is exclusions._Runs else marked
    given = ({f"i{n}": n for n in range(5)},) if kind is exclusions._Runs else ()

    def asked(made):
        moments = [SimpleNamespace(user=f"u{n}", time=time) for n in range(10) for time in (0, 9 * DAY_MS, 99 * DAY_MS)]
        if kind is exclusions._Runs:
            return [made.between(moment, None).tolist() for moment in moments]
        return [repr(made.before(moment)) for moment in moments]

    expected = asked(kind(rows, *given))
    monkeypatch.setattr(ordered, "PART_BYTES", 2000)
    monkeypatch.setattr(module, "in_order", lambda rows, keys: Rows(in_order(rows, keys)))
    assert asked(kind(rows, *given)) == expected


def test_what_was_taken_where_it_was_shown_is_sorted_in_parts(tmp_path, monkeypatch):
    rows, draw = drawn(), np.random.default_rng(2)
    rows = rows.append_column("request_id", pa.array([f"r{n}" for n in draw.integers(0, 60, len(rows))]))
    rows = rows.append_column("position", pa.array(draw.integers(0, 4, len(rows))))
    rows = rows.set_column(3, "event_type", pa.array(np.where(np.arange(len(rows)) % 3, "impression", "click")))
    pq.write_table(rows.take(draw.permutation(len(rows))), tmp_path / "events.parquet")

    def found():
        showings = responses._Showings(tmp_path / "events.parquet", spec_of(bazaar()))
        ends, ids = [10 * DAY_MS, 15 * DAY_MS, 20 * DAY_MS], [f"i{n}" for n in range(5)]
        return showings._taken, [each.tolist() for each in showings.by_item(ends, ids)]

    taken, expected = found()
    monkeypatch.setattr(ordered, "PART_BYTES", 2000)
    again, same = found()
    assert again == taken and same == expected and np.sum(expected) > 0
    assert again["item_id"].num_chunks > 1


def test_golden_requests_join_no_texts_of_all_states_and_examples(tmp_path, monkeypatch):
    spec = replace(SPEC, columns=SPEC.columns.model_copy(update={"events": {"device": "categorical"}}))
    features = write_features(tmp_path / "features", users=30)
    devices = {"context_device": [f"d{n % 7}" for n in range(50)]}
    pq.write_table(pa.table(devices), features / "examples.parquet")
    wanted, read = golden_requests(features, spec), pq.read_table
    assert len({request.context["device"] for request in wanted}) > 1

    def joined(file, filters=None, **given):
        found = read(file, filters=filters, **given)
        return Rows(found) if filters is None else found  # a few rows may be joined

    monkeypatch.setattr(pq, "read_table", joined)
    assert str(golden_requests(features, spec)) == str(wanted)
