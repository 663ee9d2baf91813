"""The front of weights marks the one that is served, also where the config sets it."""

import pytest

from souk.steps.evaluate import marked

FRONT = [{"weight": weight, "ndcg@10": 0.3, "chosen": float(weight == 0.5)} for weight in (0.0, 0.5, 1.0)]


@pytest.mark.parametrize(
    ("engaged", "satisfied", "chosen"),
    [(1.0, 0.5, [0, 1, 0]), (1.0, 1.0, [0, 0, 1]), (2.0, 2.0, [0, 0, 1]), (1.0, 0.7, [0, 0, 0]), (0.0, 1.0, [0, 0, 0])],
)
def test_the_served_weight_is_marked(engaged, satisfied, chosen):
    front = marked(FRONT, {"engaged": engaged, "satisfied": satisfied})
    assert [point["chosen"] for point in front] == chosen
