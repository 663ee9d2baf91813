"""What stages may take of a request's time."""

import math
from dataclasses import replace

import pytest

from souk.serving.budget import FINISH, Budget, by_turns
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


def test_a_batch_of_several_keys_has_one_deadline_and_who_hangs_leaves_time_to_the_others():
    now, told = [NOW], []

    def hangs(key, own):
        budget = Budget(own, lambda: now[0])
        told.append((key, len(own), now[0] - NOW))
        now[0] += budget.rest()
        return [f"{key} {request.user_id}" for request in own]

    keys = "bbabbc"
    requests = [replace(REQUEST, user_id=str(n), deadline=NOW + 1 - n / 10) for n in range(len(keys))]
    assert by_turns(requests, keys, hangs, lambda: now[0]) == ["b 0", "b 1", "a 2", "b 3", "b 4", "c 5"]
    assert [(key, count) for key, count, _ in told] == [("a", 1), ("c", 1), ("b", 4)], "the fewest first"
    began = [at for _, _, at in told]
    assert began[1] < 0.15 and began[2] < 0.3 and now[0] - NOW < 0.5, "the last request has until 0.5"


def test_a_batch_of_one_key_is_as_it_was_and_without_a_deadline_all_have_all_the_time():
    several = [replace(REQUEST, deadline=NOW + n) for n in (1, 2)]
    assert by_turns(several, "aa", lambda key, own: own) == several
    endless = by_turns([REQUEST] * 3, "aba", lambda key, own: own)
    assert [request.deadline for request in endless] == [math.inf] * 3
    assert by_turns([], [], lambda key, own: own) == []
