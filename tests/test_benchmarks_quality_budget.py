"""What a peer may spend."""

import pytest

from benchmarks.quality.tuning import Trial, over


@pytest.mark.parametrize(
    ("every", "new", "ends"),
    [
        ((1, 2), (1, 2), False),
        ((3, 2, 1), (3, 2, 1), True),
        ((3, 2, 1), (1, 2, 3), False),
        ((1, 3, 2), (2, 1, 1), False),
    ],
)
def test_a_fit_goes_on_while_it_gets_better_in_one_of_the_views(every, new, ends):
    values = [{"all": {"ndcg@10": a}, "new": {"ndcg@10": b}} for a, b in zip(every, new, strict=True)]
    assert over([Trial({}, n, found, 0.0) for n, found in enumerate(values)]) is ends
