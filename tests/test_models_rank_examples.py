"""What of a moment's candidates was taken, and what of it pleased, beside the plain definition; and what is kept."""

import weakref
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow as pa

from souk.models import rank_examples
from souk.models.rank_examples import _lists
from souk.models.targets import read_targets
from tests.models_fixtures import cycle_market
from tests.ranker_fixtures import Ranked

UNTIL = 1_000


class Watched(dict):
    """A dictionary that can be looked after."""


def test_candidates_are_chosen_and_pleased_as_their_moment_says():
    """Moments that took one item, and one that took more than there are candidates."""
    rng = np.random.default_rng(4)
    names = [f"i{n:02}" for n in range(40)]
    sizes = [1, 1, 3, 30, 2]
    moment = np.repeat(np.arange(len(sizes)), sizes)
    count = len(moment)
    table = pa.table(
        {
            "user_id": [f"u{n % 2}" for n in moment],
            "timestamp": 10 * moment,
            "item_id": [name for size in sizes for name in rng.permutation(names)[:size].tolist()],
            "satisfied": rng.integers(-1, 2, count),
            "satisfied_at": rng.integers(UNTIL - 3, UNTIL + 1, count),
            "own_score": np.zeros(count, np.float32),
            "items": [rng.permutation(names)[:12].tolist() for _ in range(count)],
            "scores": rng.normal(size=(count, 12)).tolist(),
        }
    )
    found = _lists(
        table, SimpleNamespace(position={name: n for n, name in enumerate(names)}), 10, UNTIL, ("satisfied",)
    )
    rows, pleased = table.to_pylist(), found["pleased"]["satisfied"]
    for row, own in enumerate(rows):
        beside = [other for other, place in zip(rows, moment, strict=True) if place == moment[row]]
        took = {other["item_id"] for other in beside}
        liked = {o["item_id"] for o in beside if o["satisfied"] == 1 and o["satisfied_at"] < UNTIL}
        assert found["chosen"][row, :10].tolist() == [name in took for name in own["items"][:10]]
        assert pleased[row, :10].tolist() == [name in liked for name in own["items"][:10]]
        assert (found["taken"][row], found["liked"]["satisfied"][row]) == (len(took), len(liked))
    assert found["chosen"].any() and pleased.any() and (found["chosen"] & ~pleased).any()


def test_the_pasts_of_all_examples_are_never_in_memory_together(tmp_path, monkeypatch):
    made, most = [], []

    def watched(*asked):
        for target in read_targets(*asked):
            made.append(weakref.ref(own := Watched(target.habits)))
            most.append(sum(each() is not None for each in made))
            yield replace(target, habits=own)

    ranked = Ranked(tmp_path, *cycle_market(users=8))
    monkeypatch.setattr(rank_examples, "CHUNK", 1)
    monkeypatch.setattr(rank_examples, "read_targets", watched)
    assert len(ranked.examples()) == len(made) > 10 > max(most)
