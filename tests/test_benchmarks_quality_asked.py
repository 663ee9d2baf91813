"""What a peer is asked and told of a log written by hand: its views, the times of a history, and the newcomers."""

import numpy as np
import pytest

from benchmarks.quality.peers import Peer
from benchmarks.quality.tuning import Asked, half_life, tune
from tests.evaluation_fixtures import spec_of, write_artifacts

DAY = 86_400_000
START = 100 * DAY
VALIDATION = START // 2


@pytest.fixture
def read(tmp_path):
    """A function that gives a window of events, where items come back."""

    def asked(events, window="validation"):
        folder, spec = tmp_path / window, spec_of("always")
        write_artifacts(folder, events, dict.fromkeys("abcd", True), START)
        return Asked.read(folder, spec, window, 20)

    return asked


class Liked:
    """Ranks one item first, and the others as they are."""

    name = "liked"

    def __init__(self, past, histories, item):
        self._scores = np.zeros(past.size, np.float32)
        self._scores[item] = 1

    def score(self, queries):
        return np.tile(self._scores, (len(queries), 1))


def test_each_view_has_the_setting_that_is_best_in_it(read, monkeypatch):
    """Whoever had d takes it twice more and then c, which is new to them."""
    monkeypatch.setattr(Peer, "load", lambda self: Liked)
    wanted = [("d", 1), *((item, start + n) for start in (VALIDATION, START) for n, item in enumerate("ddc"))]
    events = [(f"u{n}", item, "click", time + n) for n in range(6) for item, time in wanted]
    peer = Peer("liked", "", space={"item": (1, 2, 3)})
    tuned = tune(peer, read(events), read(events, "test"), trials=3, seed=0)
    assert {view: trial.settings["item"] for view, trial in tuned.best.items()} == {"all": 3, "new": 2}
    assert tuned.best["new"].values["new"]["ndcg@10"] == 1.0


def test_a_history_has_the_times_of_what_was_before_the_query(read):
    events = [("ann", "a", "click", 7), ("ann", "b", "click", VALIDATION + 10), ("ann", "c", "cart", VALIDATION + 15)]
    events += [("ann", "d", "click", VALIDATION + 20), ("ann", "a", "click", START)]
    asked = read(events)
    found = [asked.histories(query) for query in asked.queries]
    assert [history.items.tolist() for history in found] == [[0], [0, 1]]
    assert [history.times.tolist() for history in found] == [[7], [7, VALIDATION + 10]]
    assert [history.now for history in found] == [VALIDATION + 10, VALIDATION + 20]


def test_the_half_life_is_the_one_that_serves_newcomers(read):
    """Item a was popular once and b is of late: two newcomers take b, and nine others a again."""
    early = [(f"o{n}", "a", "click", 1 + n) for n in range(9)]
    late = [(f"r{n}", "b", "click", VALIDATION - DAY + n) for n in range(5)]
    newcomers = [(f"v{n}", "b", "click", VALIDATION + n) for n in range(2)]
    again = [(f"o{n}", "a", "click", VALIDATION + n) for n in range(9)]
    asked = read([*early, *late, *newcomers, *again, ("o0", "a", "click", START)])
    assert half_life(asked) > 0


def test_the_draw_has_as_many_users_as_are_asked_for(read):
    events = [("base", "a", "click", 1), *((f"u{n:02d}", "b", "click", VALIDATION + n) for n in range(30))]
    asked = read([*events, ("base", "a", "click", START)])
    assert len({query.user_id for query in asked.drawn(20, seed=1).queries}) == 20
