"""A test window of one moment, as leave-last-out has it: what is asked at its start is what is asked in it."""

import json

import pytest

from souk.config import Evaluate
from souk.evaluation import measure
from souk.evaluation.baselines import ItemKnn, Popularity
from souk.evaluation.measure import measure_models
from souk.evaluation.queries import frozen_queries
from souk.evaluation.report import page, summary
from souk.evaluation.setting import Setting
from tests.evaluation_fixtures import DAY, ITEMS, START, FixedSlates, make_spec, write_artifacts, write_examples
from tests.marketplace import CONFIG

BEFORE = [("ann", "a", "click", START - DAY), ("bob", "b", "click", START - 2 * DAY), ("bob", "a", "click", START - 9)]


@pytest.mark.parametrize(("last", "asked"), [(START, 1), (START + 5, 2)])
def test_a_moment_is_asked_once(tmp_path, last, asked):
    spec, told = make_spec({**CONFIG, "columns": {}, "repeat": {"rule": "never"}}), []
    events = [*BEFORE, ("ann", "c", "click", START), ("bob", "c", "click", last)]
    tables, features = write_artifacts(tmp_path / "shop", events, ITEMS, START)
    write_examples(features, {})
    setting = Setting.read(Evaluate(bootstrap=100), spec, tables, features, told.append)
    models = [FixedSlates(setting.catalogue, ["c", "b"], {"c": 0.9}), ItemKnn(setting.catalogue)]
    found = measure_models(setting, models[:1], [*models[1:], Popularity(setting.catalogue)])[0]["protocols"]
    assert sum(": 2 queries of 2 users" in line for line in told) == asked
    queries = frozen_queries(setting.window, setting.catalogue, spec)
    again, _, _ = measure._summary("frozen", setting, queries, [*models, Popularity(setting.catalogue)])
    assert json.dumps(found["frozen"]) == json.dumps(again)


@pytest.mark.parametrize("last_out", [True, False])
def test_last_engagements_are_told_as_such_and_as_no_window_of_the_shop(tmp_path, last_out):
    """Times count engagements there: they are no dates, and of an order or a slate one engagement is in the window."""
    spec = make_spec({**CONFIG, "columns": {}, "repeat": {"rule": "never"}})
    events = [(user, "c", kind, START) for user in ("ann", "bob") for kind in ("click", "purchase")]
    rows = [
        {"event_id": f"e{n}", "user_id": user, "item_id": item, "event_type": kind, "timestamp": time, "price": 5.0}
        for n, (user, item, kind, time) in enumerate([*BEFORE, *events])
    ]
    rows.append({**rows[-1], "event_id": "shown", "event_type": "impression", "request_id": "r"})
    tables, features = write_artifacts(tmp_path / "shop", rows, ITEMS, START)
    write_examples(features, {})
    windows = json.loads((features / "windows.json").read_text())
    (features / "windows.json").write_text(json.dumps(windows | {"last_out": last_out}))
    setting = Setting.read(Evaluate(bootstrap=100), spec, tables, features)
    slates, others = [FixedSlates(setting.catalogue, ["c", "b"], {"c": 0.9})], [Popularity(setting.catalogue)]
    metrics, _ = measure_models(setting, slates, others)
    business = metrics["protocols"]["rolling"]["business"]
    assert (business["window"] == {}) == (business["unknown"] == {}) == last_out
    assert business["models"]["slate"]["value_per_slate@10"]["mean"] == 5.0, "of what they bought last"
    html, text = page(metrics, None).replace("&#39;", "'"), summary(metrics, None)
    assert (metrics["last_out"], "Test window from 1970-04-11" in html) == (last_out, not last_out)
    for told in (html, text):
        assert ("eave-last-out, each user's last engagement; the models know what others" in told) == last_out
    older = {key: value for key, value in metrics.items() if key != "last_out"}
    assert "Test window from 1970-04-11" in page(older, None)
