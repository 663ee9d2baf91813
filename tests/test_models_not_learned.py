"""A head whose labels cannot teach it is one chance for everything, and the record says why.

What is read is liked by nobody, and everybody is satisfied: one head has much to learn, the other nothing.
"""

import json
import re
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest

from souk.models.calibration import base_rate
from souk.models.fit_given import not_learned
from souk.models.inputs import missing_rows
from souk.models.sequences import column_tensor
from souk.pairs import names_of
from souk.serving.signatures import Ranker
from souk.spec import Entity
from souk.steps.train_ranker import WINDOWS, train_ranker
from tests.models_fixtures import cycle_market
from tests.ranker_fixtures import CONFIG, Ranked
from tests.test_models_heads import OBJECTIVES

FITTED, JUDGED = np.arange(16), np.arange(16, 24)
BOTH = [1, 0] * 12
HELP = "more events, another rule or, where it has within_days, a smaller one help"


def unknown(*rows):
    return [-1 if row in rows else label for row, label in enumerate(BOTH)]


def of_one_kind(kind, rows):
    return [kind if row in rows else label for row, label in enumerate(BOTH)]


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        (BOTH, ""),
        (unknown(0, 1, 22, 23), ""),
        (unknown(0, 1, 2, 22, 23), "19 of its labels are known, fewer than 20"),
        ([-1] * 24, "0 of its labels are known, fewer than 20"),
        ([1] * 24, "of its 24 known labels the 16 of the users that it is fitted to are all 1"),
        (of_one_kind(0, FITTED), "of its 24 known labels the 16 of the users that it is fitted to are all 0"),
        (of_one_kind(1, JUDGED), "of its 24 known labels the 8 of the held-out users that judge it are all 1"),
        (of_one_kind(0, JUDGED[:-1]), "of its 24 known labels the 8 of the held-out users that judge it are all 0"),
        (of_one_kind(0, JUDGED[1:]), ""),
    ],
)
def test_too_few_labels_or_labels_of_one_kind_teach_nothing(labels, why):
    assert not_learned(np.array(labels), FITTED, JUDGED) == why


def test_users_without_a_known_label_cannot_fit_or_judge():
    labels = np.array(BOTH * 2)
    few, many = np.arange(8), np.arange(8, 48)
    labels[few] = -1
    assert not_learned(labels, few, many) == "of its 40 known labels none is of the users that it is fitted to"
    assert not_learned(labels, many, few) == "of its 40 known labels none is of the held-out users that judge it"


def test_the_labels_of_one_user_who_is_fitted_and_judges_count_once():
    assert not_learned(np.array(BOTH[:19]), np.arange(19), np.arange(19)).startswith("19 of its labels")
    assert not not_learned(np.array(BOTH[:20]), np.arange(20), np.arange(20))


@pytest.mark.parametrize(
    ("labels", "rate"), [([], 0.5), ([-1, -1], 0.5), ([1, 1, 1, 1, -1], 54 / 104), ([0] * 300 + [1] * 100, 0.3)]
)
def test_the_known_labels_outweigh_a_hundred_rows_of_which_half_are_positive(labels, rate):
    assert base_rate(np.array(labels)) == pytest.approx(rate)


class Step:
    """The step on a small market, with the labels of satisfaction that are asked for."""

    def __init__(self, folder, patch):
        events, items, users = cycle_market(users=12)
        events["dwell_seconds"] = np.where(events["value"] >= 4, 1.0, 10.0)
        self.folder = folder
        self.ranked = Ranked(folder / "features", events, items, users, objectives=OBJECTIVES)
        transforms = self.ranked.transforms
        patch.setattr("souk.steps.train_ranker.load_transform", lambda _, entity: transforms[str(entity)])
        self.table = pq.read_table(folder / "features" / "candidates.parquet")

    def run(self, name, satisfied=None, previous="", window="twin", **changes):
        """The record of a fit, and the folder of the ranker."""
        towers, table = self.folder / f"{name}-towers", self.table
        towers.mkdir()
        if satisfied is not None:
            column = np.full(len(table), satisfied, np.int64)
            table = table.set_column(table.column_names.index("satisfied"), "satisfied", [column])
        pq.write_table(table, towers / "candidates.parquet")
        np.save(towers / "candidate_vectors.npy", self.ranked.vectors)
        short = {"candidates": 12, "straight_epochs": 1, "epochs": 0} | changes
        config = json.dumps({"train_ranker": CONFIG.model_copy(update=short).model_dump(mode="json")})
        places = self.folder / "workspace", self.folder / "features", towers, self.folder / name
        train_ranker(config, window, *map(str, places), str(previous))
        return json.loads((self.folder / name / "training.json").read_text())

    def served(self, name):
        """What the exported ranker makes of every item, for users and pair features of any kind."""
        spec, items = self.ranked.spec, pq.read_table(self.folder / "features" / "items.parquet")
        goods = {f.name: column_tensor(items[f.name].to_pylist(), f).numpy() for f in spec.of(Entity.ITEM)}
        asked = {n: v.numpy() for e in (Entity.USER, Entity.QUERY) for n, v in missing_rows(spec.of(e), 2).items()}
        width = len(names_of(spec))
        pair = np.random.default_rng(0).normal(scale=9, size=(2 * len(items), width)).astype(np.float32)
        rows = np.repeat([0, 1], len(items)), np.tile(np.arange(len(items)), 2)
        ranker = Ranker(self.folder / name / "ranker", goods).load()
        return ranker.probabilities(asked, rows[1], pair, rows[0])


@pytest.fixture(scope="module")
def step(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setattr("souk.models.fit_ranker.LEAST_STEPS", 1)
    patch.setattr("souk.models.fit_level.STEPS", 1)
    yield Step(tmp_path_factory.mktemp("step"), patch)
    patch.undo()


def chance(step, kind):
    count = len(step.ranked.examples())
    return SimpleNamespace(known=count, rate=(count * kind + 50) / (count + 100))


@pytest.mark.parametrize("body", [False, True])
def test_labels_of_one_kind_are_served_as_one_chance_and_told(step, capsys, body):
    """Also with a body, whose decay of weights and whose loss have nothing to move there."""
    name, expected = f"body-{body}", chance(step, 1)
    record = step.run(name, satisfied=1, **({"epochs": 6, "body_examples": 0, "weight_decay": 0.5} if body else {}))
    assert record["with_body"] == body
    found = step.served(name)
    np.testing.assert_allclose(found["satisfied"], expected.rate, rtol=1e-6)
    assert np.ptp(found["satisfied"]) == 0 < min(np.ptp(found["read"]), np.ptp(found["engaged"]))
    assert [*record["not_learned"]] == ["satisfied"], "a head that is learned says nothing"
    reason = record["not_learned"]["satisfied"]
    assert reason.startswith(f"of its {expected.known} known labels the ") and "are all 1, so it is " in reason
    assert reason.endswith(f"{expected.rate:.3f} for every item; {HELP}")
    assert record["objectives"] == {"engaged": 1.0, "satisfied": 0.0} and record["pareto"] == []
    assert record["satisfied_weight"] == {"served": 0.0, "from": "this fit", "this_fit_would_choose": 0.0}
    lines = capsys.readouterr().out
    assert f"satisfied: not learned: {reason}" in lines and "read: not learned" not in lines


def test_what_was_learned_of_another_window_goes(step):
    record = step.run("learned")
    assert record["not_learned"] == {} and record["pareto"]
    assert np.ptp(step.served("learned")["satisfied"]) > 0.1
    record = step.run("continued", satisfied=-1, previous=step.folder / "learned")
    assert (
        record["not_learned"]["satisfied"]
        == f"0 of its labels are known, fewer than 20, so it is 0.500 for every item; {HELP}"
    )
    assert (step.served("continued")["satisfied"] == 0.5).all()
    again = step.run("again", previous=step.folder / "continued")
    assert again["not_learned"] == {} and np.ptp(step.served("again")["satisfied"]) > 0.1


def test_a_release_orders_by_the_weight_that_was_judged(step, monkeypatch, capsys):
    """And all of its record is of that order, with what its own fit would have chosen beside it."""
    monkeypatch.setitem(WINDOWS, "release", WINDOWS["twin"])
    twin, judged = step.run("twin"), step.folder / "twin" / "training.json"
    own = twin["objectives"]["satisfied"]
    assert twin["satisfied_weight"] == {"served": own, "from": "this fit", "this_fit_would_choose": own}
    other = 6.0 if own < 6 else 0.0
    judged.write_text(json.dumps(twin | {"objectives": {"engaged": 1.0, "satisfied": other}}))
    record = step.run("release", previous=judged.parent, window="release")
    assert record["objectives"] == {"engaged": 1.0, "satisfied": other}
    weight = record["satisfied_weight"]
    assert (weight["served"], weight["from"]) == (other, "the twin")
    assert f"weight of satisfied: {other:g}, of the twin; this fit would choose" in capsys.readouterr().out
    [chosen] = [point for point in record["pareto"] if point["chosen"]]
    assert chosen["weight"] == other


def test_of_few_items_no_more_candidates_are_told_than_there_are(step, capsys):
    step.run("few", candidates=400)
    told = re.search(r"with their item among (\d+) candidates", capsys.readouterr().out)
    assert 1 < int(told[1]) <= len(step.ranked.vectors)
