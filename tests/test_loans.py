"""What is lent is given back nearly always; whoever buys again and again and returns some keeps the others."""

import pandas as pd
import pytest

from souk.loans import are_loans, given_back


def acts(*kinds, users=20):
    """Of each user, these acts with one item, a second each: p for a purchase, r for a return."""
    full = {"p": "purchase", "r": "return"}
    return pd.DataFrame(
        [(f"u{user}", "i", full[kind], at) for user in range(users) for at, kind in enumerate("".join(kinds))],
        columns=["user_id", "item_id", "kind", "time"],
    )


@pytest.mark.parametrize(
    ("kinds", "of_a_user"),
    [
        ("prprprpr", (2, 2)),  # lent one after the other
        ("ppprrrpp", (3, 3)),  # three copies at once
        ("ppppppppr", (0, 4)),  # the last of eight
        ("pprpprpprppr", (2, 4)),  # each second one
        ("rpp", (0, 1)),  # what was bought before the data begin
    ],
)
def test_a_return_gives_back_one_purchase_the_last_that_is_out(kinds, of_a_user):
    given, purchases = given_back(acts(kinds))
    assert (given, purchases) == tuple(20 * each for each in of_a_user)
    assert are_loans(given, purchases) == (given == purchases)
