"""A champion that learned from columns which the config of today does not have."""

import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from souk.cli.run import _tell_success
from souk.cli.view import RunView
from souk.config import Columns, Evaluate
from souk.evaluation.gate import Champion, judge
from souk.evaluation.gone_columns import gone_columns
from souk.evaluation.measure import measure
from souk.evaluation.queries import in_spec, rolling_queries
from souk.evaluation.report import page
from souk.evaluation.windows import read_window
from souk.release.bundle import Bundle
from souk.state import features_at
from souk.workspace import Workspace
from tests.evaluation_fixtures import DAY, ITEMS, START, make_spec, write_artifacts
from tests.evaluation_shop import Shop
from tests.gate_fixtures import Made, gate_setting, measured
from tests.marketplace import CONFIG


def spec(**columns):
    return make_spec({**CONFIG, "repeat": "always", "columns": columns})


def tables_of(folder, **devices):
    """Events, of which some have a device."""
    events = [("ann", "a", "click", START - 9 * DAY), ("ann", "c", "click", START + 5)]
    tables, features = write_artifacts(folder, events, ITEMS, START, [{"user_id": "ann", "region": "north"}])
    rows = pq.read_table(tables / "events.parquet")
    for name, value in devices.items():
        column = pa.array([value] * len(rows), pa.string())
        rows = rows.drop_columns([n for n in (name,) if n in rows.column_names]).append_column(name, column)
    pq.write_table(rows, tables / "events.parquet")
    return tables, features


def test_queries_carry_what_a_champion_is_asked_with_where_the_tables_have_it(tmp_path):
    tables, features = tables_of(tmp_path / "x", device="mobile")
    old, new = spec(events={"device": "categorical"}), spec(events={})
    for context, seen in (((), ""), (("device", "surface"), "mobile")):
        catalogue, window = read_window(tables, features, new, context=context)
        [query] = rolling_queries(window, catalogue, new, most=20)
        found = features_at(in_spec(query, old), query.timestamp, old, query.context)
        assert found.query["context_device"] == seen


@pytest.mark.parametrize(
    ("table", "own", "now", "expected"),
    [
        ("events", {"device": "categorical"}, {}, set()),  # of the contract: it is read all the same
        ("events", {"surface": "categorical", "basket": "numeric"}, {}, {"surface", "basket"}),
        ("events", {"location": "categorical"}, {}, {"location"}),  # of the contract, without a value
        ("events", {"basket": "numeric"}, {"basket": "numeric"}, set()),  # both alike, whatever is there
        ("users", {"region": "categorical", "age": "numeric"}, {"age": "numeric"}, set()),
        ("users", {"region": "numeric"}, {"region": "categorical"}, {"region"}),
        ("users", {"region": "text"}, {"region": "categorical"}, set()),  # both are text in the table
    ],
)
def test_what_the_tables_lack_or_have_as_something_else_is_gone(tmp_path, table, own, now, expected):
    tables, _ = tables_of(tmp_path / "x", device="mobile", location=None)
    assert gone_columns(table, spec(**{table: own}), spec(**{table: now}), tables) == expected


@pytest.mark.parametrize("chance", [0.9, 0.1])
def test_the_verdict_names_them_and_they_decide_nothing(tmp_path, capsys, chance):
    setting = gate_setting(tmp_path)
    slates = [
        Made(setting.catalogue, name, lambda query, own=own: own, n)
        for n, (name, own) in enumerate((("slate", chance), ("champion", 0.5)))
    ]
    metrics, per_user = measured(setting, *slates)
    plain = judge(metrics, per_user, "old", Evaluate(bootstrap=200))
    assert not any(rule.warning for rule in plain.rules)
    lacks = metrics | {"champion_lacks": ["columns.events.device"]}
    verdict = judge(lacks, per_user, "old", Evaluate(bootstrap=200))
    assert (verdict.outcome, verdict.broken) == (plain.outcome, plain.broken)
    [warning] = [rule for rule in verdict.rules if rule.warning]
    assert (warning.name, warning.passed) == ("champion_columns", True) and "columns.events.device" in warning.detail
    assert '<td>champion_columns</td>\n<td class="worse">\nwarning</td>' in page(lacks, verdict)
    (tmp_path / "verdict.json").write_text(verdict.to_json(), "utf-8")
    view = RunView(sys.stdout, sys.stderr)
    view.outputs = {"evaluate": {"Output": verdict.outcome, "evaluation": SimpleNamespace(path=str(tmp_path))}}
    _tell_success(view, Workspace(tmp_path / "workspace"), None, tmp_path / "run.log")
    told = "WARNING: the slate is measured beside a champion that was asked without columns it learned from: columns.ev"
    assert told in capsys.readouterr().out


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return Shop(tmp_path_factory.mktemp("shop")).write()


def with_columns(bundle, **more):
    """A bundle whose models read no more, made with more columns."""
    columns = bundle.spec.columns
    kinds = {table: getattr(columns, table) | more.get(table, {}) for table in ("events", "items", "users")}
    return replace(bundle, spec=replace(bundle.spec, columns=Columns(**kinds)))


@pytest.mark.slow
def test_a_champion_is_asked_with_what_the_data_have_of_its_columns(shop, tmp_path, monkeypatch):
    from souk.evaluation.twins import Towers

    full = Bundle.load(shop.evaluate("good")[2] / "twin")
    old = with_columns(full, events={"surface": "categorical", "coupon": "categorical"}, users={"tier": "numeric"})
    events = pq.read_table(shop.tables / "events.parquet")
    pq.write_table(events.append_column("surface", pa.array(["home"] * len(events))), tmp_path / "events.parquet")
    pq.write_table(pq.read_table(shop.tables / "users.parquet"), tmp_path / "users.parquet")
    asked = {}

    def context(towers, query, real=Towers.context):
        asked.setdefault(towers.name, []).append(real(towers, query))
        return real(towers, query)

    monkeypatch.setattr(Bundle, "load", lambda folder: old)
    monkeypatch.setattr(Towers, "context", context)
    metrics, _ = measure(Evaluate(bootstrap=100), full, Champion("old", tmp_path), tmp_path, shop.features)
    assert metrics["champion_lacks"] == ["columns.events.coupon", "columns.users.tier"]
    assert {json.dumps(each) for each in asked["champion"]} == {json.dumps({"device": "phone", "surface": "home"})}
    assert {json.dumps(each) for each in asked["two_tower"]} == {json.dumps({"device": "phone"})}


@pytest.mark.slow
def test_a_column_that_is_of_another_kind_now_is_missing(shop):
    from souk.evaluation.twins import Towers

    full = Bundle.load(shop.evaluate("good")[2] / "twin")
    catalogue, window = read_window(shop.tables, shop.features, full.spec)
    query = rolling_queries(window, catalogue, full.spec, 20)[0]
    old = with_columns(full, users={"region": "numeric"})
    gone = {"users": gone_columns("users", old.spec, full.spec, shop.tables)}
    towers = Towers("champion", old, catalogue, full.spec, gone=gone)
    assert query.state.profile["region"] and towers.lacks == ["columns.users.region"]
    assert towers.state(query).profile["region"] != towers.state(query).profile["region"], "not a number"
    with_items = Towers("champion", old, catalogue, full.spec, gone=gone | {"items": {"price"}})
    assert with_items.lacks == towers.lacks, "it has the content of all items"
