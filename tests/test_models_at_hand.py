"""What was at hand when it was taken is no target of a fit, and still one that candidates are asked for."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest

from souk.config import Repeat
from souk.errors import SoukError
from souk.features.records import encode, write_records
from souk.features.rows import sequence_rows
from souk.models.fit_towers import TowerFit
from souk.models.sequences import AT_HAND, Sequences
from souk.state import Event
from tests.features_fixtures import bazaar, spec_of

FIRST, MINUTE = 1_700_000_000_000, 60_000
CLICKS = [("a", 0), ("a", 1), ("b", 5), ("a", 29), ("b", 36), ("a", 200), ("a", 201)]  # item, minute
LOOKED = {"ann": CLICKS, "bob": [("a", 500), ("c", 600)], "cem": [("c", 700), ("c", 701)]}


def sequences_of(folder, pause, looked=LOOKED, first="click"):
    spec = replace(spec_of(bazaar()), repeat=Repeat(pause_minutes=pause))
    records = []
    for user, clicks in looked.items():
        events = [
            Event(item, "click" if n else first, FIRST + minute * MINUTE, math.nan, f"{user}{n}")
            for n, (item, minute) in enumerate(clicks)
        ]
        records += [encode(row, spec) for row in sequence_rows(user, events, {}, spec, FIRST + 1000 * MINUTE)]
    write_records(str(folder / "rows.tfrecord"), records)
    same = {entity: lambda raw: raw for entity in ("user", "token", "query")}
    return Sequences((str(folder / "rows.tfrecord"),), spec, same, ("a", "b", "c"))


def counted(sequences, seed, end=FIRST + 1000 * MINUTE):
    batches = list(sequences.batches(4, FIRST, end, seed))
    assert all(batch["counts"].numpy().any(axis=1).all() for batch in batches)  # no row is there for nothing
    return sorted(event.decode() for batch in batches for event in batch["event_id"].numpy()[batch["counts"].numpy()])


@pytest.mark.parametrize(
    ("pause", "learned"),
    [
        (0, ["ann0", "ann1", "ann2", "ann3", "ann4", "ann5", "ann6", "bob0", "bob1", "cem0", "cem1"]),
        (30, ["ann0", "ann2", "ann4", "ann5", "bob0", "bob1", "cem0"]),
        (60, ["ann0", "ann2", "ann5", "bob0", "bob1", "cem0"]),
    ],
)
def test_a_fit_leaves_out_what_was_at_hand(tmp_path, pause, learned):
    sequences = sequences_of(tmp_path, pause)
    every = sorted(f"{user}{n}" for user, clicks in LOOKED.items() for n in range(len(clicks)))
    assert counted(sequences, None) == every
    assert counted(sequences, 3) == learned
    frequency = sequences.trained(FIRST + 1000 * MINUTE).frequency.tolist()
    items = [LOOKED[event[:3]][int(event[3:])][0] for event in learned]
    assert frequency == [items.count(item) for item in "abc"]
    assert (AT_HAND.encode() in (tmp_path / "rows.tfrecord").read_bytes()) == (pause > 0)


def test_a_row_of_nothing_but_what_was_at_hand_is_no_row_of_a_fit(tmp_path):
    sequences = sequences_of(tmp_path, 30)
    assert sequences.trained(FIRST + 1000 * MINUTE).users == {"ann", "bob", "cem"}
    late = list(sequences.batches(4, FIRST + 701 * MINUTE, FIRST + 1000 * MINUTE, 3))
    assert not late and list(sequences.batches(4, FIRST + 701 * MINUTE, FIRST + 1000 * MINUTE))


def test_a_fit_of_nothing_but_what_was_at_hand_says_so(tmp_path):
    sequences = sequences_of(tmp_path, 30, {"ann": [("a", 0), ("a", 1)]}, "cart")
    with pytest.raises(SoukError, match=r"targets to fit on before .*Received: none.* or `repeat\.pause_minutes`"):
        TowerFit.fit(SimpleNamespace(sequences=sequences), FIRST + 1000 * MINUTE, 1, print)
