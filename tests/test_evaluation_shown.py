"""The ranker on what was shown: the logged slates of the window, with every figure by hand."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from souk.evaluation.baselines import ItemKnn, Popularity
from souk.evaluation.measure import measure_models
from souk.evaluation.report import page
from souk.evaluation.shown import read_shown
from souk.logged_slates import FILE, SCHEMA
from tests.evaluation_fixtures import FixedSlates, shop_setting

SLATES = [
    # u01 took i03; i05 of the same slate at another time, so nothing is asked of it then; i07 is no candidate
    {"event_id": "e091", "items": ["i07", "i05", "i03", "gone"], "places": [1, 2, 3, 4], "engaged": [0, 1, 1, 0]},
    # u10 took i05, which stood first, and left i03
    {"event_id": "e100", "items": ["i05", "i03"], "places": [1, 2], "engaged": [1, 0]},
]


def measured(setting):
    slates = FixedSlates(setting.catalogue, ["i05", "i03", "i04"], {"i03": 0.9, "i04": 0.5})
    return measure_models(setting, [slates], [ItemKnn(setting.catalogue), Popularity(setting.catalogue)])[0]


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    return shop_setting(tmp_path_factory.mktemp("shown"))


@pytest.fixture(scope="module")
def logged(setting):
    rows = [row | {"engaged": list(map(bool, row["engaged"]))} for row in SLATES]
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), setting.features / FILE)
    yield measured(setting)
    (setting.features / FILE).unlink()


def test_a_slate_is_of_items_that_the_catalogue_knows(setting, logged):
    found = read_shown(setting.features, setting.catalogue.position, ["e100", "e091"])
    assert [setting.catalogue.ids[place] for place in found["e100"].positions] == ["i05", "i03"]
    assert found["e100"].taken.tolist() == [True, False]
    assert len(found["e091"].positions) == 3, "what the catalogue does not know is left out"
    assert not read_shown(setting.features, setting.catalogue.position, ["e092"])


def test_what_was_shown_is_told_beside_the_candidates(logged):
    own, shown = logged["ranker"]["slate"], logged["ranker"]["slate"]["shown"]
    assert own["heads"]["engaged"]["examples"] > 40 and shown["slates"] == 2
    engaged, satisfied = shown["heads"]["engaged"], shown["heads"]["satisfied"]
    assert (engaged["examples"], engaged["positives"]) == (3, 2)
    assert engaged["auc"] == pytest.approx(0.25), "of .9 and .01 beside .9"
    assert engaged["predicted_over_observed"] == pytest.approx((0.9 + 0.01 + 0.9) / 2)
    assert (satisfied["examples"], satisfied["positives"]) == (2, 1), "of i03 for u01, and of i05 for u10"
    assert satisfied["predicted_over_observed"] == pytest.approx(1.0)
    order = shown["ndcg@10"]["engaged"]
    assert order["ranker"]["mean"] == pytest.approx((1 + 1 / np.log2(3)) / 2)
    assert order["logged"]["mean"] == pytest.approx(1.0)


def test_the_report_has_both_or_only_the_candidates(setting, logged):
    text = page(logged, None)
    assert "On what was shown" in text and "0.905" in text
    (setting.features / FILE).rename(setting.features / "aside")
    without = measured(setting)
    (setting.features / "aside").rename(setting.features / FILE)
    assert "shown" not in without["ranker"]["slate"] and "On what was shown" not in page(without, None)
