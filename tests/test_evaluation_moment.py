"""A test window of one moment, as leave-last-out has it: what is asked at its start is what is asked in it."""

import json

import pytest

from souk.config import Evaluate
from souk.evaluation import measure
from souk.evaluation.baselines import ItemKnn, Popularity
from souk.evaluation.measure import measure_models
from souk.evaluation.queries import frozen_queries
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
