"""A lead that few users show: the bootstrap's interval of them is too narrow, and proves nothing."""

import pandas as pd
import pytest

from souk.config import Evaluate
from souk.evaluation.gate import beats
from souk.evaluation.verdict import CHALLENGER, POPULARITY
from souk.metrics import LEAST_USERS


def rule(users, margin=0.0, more=()):
    """Of the verdict of so many users that both models were asked for, and of `more`."""
    rows = [
        (f"u{user}", model, score) for user in range(users) for model, score in ((CHALLENGER, 0.9), (POPULARITY, 0.1))
    ]
    rows += more
    per_user = pd.DataFrame(rows, columns=["user_id", "model", "ndcg@10"])
    return beats(per_user, POPULARITY, Evaluate(), margin)


@pytest.mark.parametrize("margin", [0.0, -0.5])
@pytest.mark.parametrize("users", [1, 2, LEAST_USERS - 1])
def test_few_users_promote_nothing(users, margin):
    found = rule(users, margin)
    assert not found.passed
    assert found.numbers["low"] > 0
    assert f"at least 20 users, not {users}" in found.detail


def test_twenty_users_may():
    assert rule(LEAST_USERS).passed
    assert "at least" not in rule(LEAST_USERS).detail


def test_a_user_that_one_model_alone_was_asked_for_is_no_pair():
    alone = [("ann", CHALLENGER, 1.0), ("bob", POPULARITY, 0.0)]
    assert {**rule(LEAST_USERS, more=alone).numbers, "challenger": 0, POPULARITY: 0} == {
        **rule(LEAST_USERS).numbers,
        "challenger": 0,
        POPULARITY: 0,
    }
    assert not rule(LEAST_USERS - 1, more=alone).passed
