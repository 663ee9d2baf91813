"""A lead that only one user shows: its interval has no width, and proves nothing."""

import pandas as pd

from souk.config import Evaluate
from souk.evaluation.gate import beats
from souk.evaluation.verdict import CHALLENGER, POPULARITY


def rule(users):
    rows = [
        (f"u{user}", model, score) for user in range(users) for model, score in ((CHALLENGER, 0.9), (POPULARITY, 0.1))
    ]
    per_user = pd.DataFrame(rows, columns=["user_id", "model", "ndcg@10"])
    return beats(per_user, POPULARITY, Evaluate(), 0.0)


def test_one_user_alone_promotes_nothing():
    found = rule(1)
    assert not found.passed
    assert found.numbers["low"] > 0
    assert "one user alone" in found.detail


def test_two_users_may():
    assert rule(2).passed
    assert "alone" not in rule(2).detail
