"""The plots of the report draw what can be compared, and all of it."""

from dataclasses import asdict

import numpy as np
import pytest

from souk.evaluation.measure import BASELINES
from souk.evaluation.plots import learning_curves, metric_bars, popularity_curve, recall_curves
from souk.metrics import bootstrap
from tests.report_fixtures import *  # noqa: F403


def test_every_model_has_a_line_in_each_plot_of_them():
    """The slate, a champion, the towers, and all that stands beside them where items come back."""
    names = ["slate", "champion", "two_tower", *BASELINES]
    curves = {"percent": [1.0], "models": {name: [0.5] for name in names}, "data": [0.4]}
    for svg in (recall_curves({name: [0.5] for name in names}), popularity_curve(curves)):
        assert all(f"<!-- {name} -->" in svg for name in names)


@pytest.mark.parametrize("rank", [3, 4, 7])
def test_a_metric_that_is_the_same_for_all_users_is_drawn(rank):
    """A launch that all take: `popularity` has it at the same place for each of them."""
    mrr = asdict(bootstrap(np.full(50, 1 / rank), 1000, seed=1))
    assert "<svg" in metric_bars({"slate": {"mrr": mrr}, "popularity": {"mrr": mrr}}, ["mrr"])


def test_losses_are_of_the_towers_epochs_and_of_the_rankers_judgements(html):
    drawn = html[html.index("<h2>Training") :]
    assert [drawn.count(f"<!-- {word} -->") for word in ("epoch", "judgement")] == [1, 1]
    places = [drawn.index(f"<!-- {word} -->") for word in ("epoch", "two_tower", "judgement", "ranker")]
    assert places == sorted(places), "each chart has its title after its axis"


def test_only_what_can_be_compared_is_drawn_of_a_fit(html):
    """The ranker's `loss` has more heads and other negatives than `held_out_loss`; the towers have no loss held out."""
    drawn = html[html.index("<h2>Training") :]
    drawn = drawn[: drawn.index("</svg>")]
    assert [drawn.count(f"<!-- {word} -->") for word in ("held_out_loss", "ndcg@10", "loss")] == [1, 1, 1]
    assert drawn.count("stroke: #bbbbbb") == 3, "the refresh, and two stages"


@pytest.mark.parametrize("history", [[{"loss": 0.5}], [{"stage": 0}]])
def test_a_fit_that_recorded_less_is_drawn(history):
    assert "<svg" in learning_curves({"two_tower": history[:1], "ranker": history})
