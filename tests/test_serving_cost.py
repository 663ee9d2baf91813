"""What batches take, told from how long they took."""

from itertools import cycle, islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from souk.serving.cost import Cost

MOST = 16


def learned(batches):
    cost = Cost(MOST)
    for requests, seconds in batches:
        cost.learn(requests, seconds)
    return cost


def test_nothing_is_known_at_first():
    assert Cost(MOST).of(100) == 0


def test_as_long_as_all_batches_are_alike_it_is_the_requests_that_cost():
    cost = learned([(2, 0.4)] * 9)
    assert cost.of(1) == pytest.approx(0.2) and cost.of(20) == pytest.approx(4.0)


@pytest.mark.parametrize(("fixed", "each"), [(0.4, 0.0), (0.0, 0.01), (0.1, 0.02)])
def test_what_is_a_batchs_is_told_from_what_is_its_requests(fixed, each):
    cost = learned((n, fixed + n * each) for n in islice(cycle([1, 2, 5, 16]), 40))
    assert cost.of(10) == pytest.approx(fixed + 10 * each)
    assert cost.of(MOST + 1) == pytest.approx(2 * fixed + (MOST + 1) * each), "of two batches"


def test_what_comes_later_counts_more():
    cost = learned([(n, 0.01 * n) for n in (1, 4)] * 20 + [(n, 0.1 * n) for n in (1, 4)] * 20)
    assert cost.of(10) == pytest.approx(1.0, rel=0.05)


@given(st.lists(st.tuples(st.integers(1, MOST), st.floats(1e-4, 10)), min_size=1, max_size=50))
def test_more_never_takes_less_and_nothing_takes_less_than_nothing(batches):
    cost = learned(batches)
    found = [cost.of(requests) for requests in range(1, 3 * MOST)]
    assert found == sorted(found) and found[0] >= -1e-9
    assert max(found) <= 3 * MOST * max(seconds for _, seconds in batches) + 1e-6
