"""What stages may take of a request's time."""

import math
from dataclasses import replace

import pytest

from souk.serving.budget import FINISH, Budget
from souk.serving.request import Request

NOW = 100.0
REQUEST = Request("u", 1, 0)


def budget(*seconds):
    return Budget([replace(REQUEST, deadline=NOW + left) for left in seconds], lambda: NOW)


@pytest.mark.parametrize(
    ("seconds", "rest"), [(0.2, 0.19), (0.05, 0.05 - FINISH), (1.0, 0.95), (0.001, 0.001 - FINISH)]
)
def test_the_last_stage_leaves_time_to_write_the_answer_and_the_more_the_longer_it_may_hang(seconds, rest):
    assert budget(seconds).rest() == pytest.approx(rest)
    assert budget(seconds).half() == pytest.approx(rest / 2)


def test_the_most_pressing_request_tells_and_without_a_deadline_there_is_all_the_time():
    assert budget(0.5, 0.2, 1.0).rest() == pytest.approx(0.19)
    assert budget(math.inf).rest() == budget(math.inf).half() == math.inf
