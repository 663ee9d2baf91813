"""What the ranker learned from is what it is served with: the same candidates and the same inputs, value by value."""

import json
from dataclasses import replace

import keras
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from souk.config import BuildFeatures, Columns, Objectives, Repeat, TrainRanker, TrainTwoTower
from souk.counters import counters_at
from souk.items import FORM, ItemTable
from souk.models.calibration import Calibration
from souk.models.draw import draw_examples, newcomers_of
from souk.models.export import ServedQueryTower, ServedRanker
from souk.models.fit_towers import TowerFit, new_towers
from souk.models.inputs import read_transformed
from souk.models.newcomers import newcomer_vectors, with_newcomers
from souk.models.rank_examples import read_rank_examples
from souk.models.rank_scoring import new_ranker
from souk.models.ranker import Ranker
from souk.models.retrieve import item_vectors, query_vectors, write_candidates
from souk.models.sequences import Sequences, column_tensor, read_catalogue
from souk.models.towers import TowerShape
from souk.pairs import PAIR_FEATURES, names_of
from souk.release.bundle import Bundle, BundleSettings
from souk.schema import DAY_MS
from souk.serving import signatures
from souk.serving.recommender import Recommender
from souk.serving.request import Request
from souk.spec import Entity
from souk.state import Event, state_of
from tests.models_fixtures import cycle_market, cycle_spec, write_features

COUNT = 8  # candidates, fewer than there are
TOWERS = TrainTwoTower(dim=8, layers=1, epochs=2, batch_rows=16, negatives=8, learning_rate=1e-2)
RANKER = TrainRanker(hidden=(8,), cross_layers=1)
BOUNDARY = "validation_start"
ACTS = ("click", "rating")
MATCHING = {
    "columns": Columns.model_validate(
        {
            "events": {"comes_from": "categorical"},
            "items": {"category": "path", "price": "numeric", "look": "vector[3]", "made_in": "categorical"},
            "users": {"country": "categorical", "taste": "vector[2]"},
        }
    ),
    "build": BuildFeatures(
        history_length=8, matches=[["user_country", "item_made_in"], ["context_comes_from", "item_made_in"]]
    ),
}


class Trained:
    """Towers fitted up to the boundary, the ranker's examples of the window after it, and a bundle of both models.

    Users click and rate, have two events at a time or in a visit now and then, some items are of unknown age, and the
    repeat rule forbids what some users do. Items are made in a country, users live in one, which some do not state,
    and a visit comes from one.
    """

    def __init__(self, folder, newcomers=False):
        self.newcomers = newcomers
        self.events, items, self.users = cycle_market(users=24, items=16)
        again = self.events["event_id"].str[-1].isin(["1", "9"])
        self.events.loc[again, "item_id"] = self.events["item_id"].shift(1)[again]
        self.events.loc[self.events["event_id"].str[-1].isin(["0", "3", "9"]), "event_type"] = "click"
        day = self.events["timestamp"] // DAY_MS
        self.events["timestamp"] -= (day % 5 == 4) * DAY_MS + (day % 5 == 1) * (DAY_MS - 600_000)
        items.loc[items.index % 4 == 0, "category"] = "stall"
        items["created_at"] = [None if i % 3 == 0 else self._created(i) for i in range(len(items))]
        items["made_in"] = ["", *"abcab"] * 2 + [*"abca"]
        self.users.loc[self.users.index % 3 == 2, "country"] = ""
        self.events["comes_from"] = (self.events["timestamp"] // DAY_MS % 4).map(dict(enumerate(["b", "c", "a", ""])))
        satisfied = {"events": [*ACTS], "min_value": 4}
        rules = Objectives.model_validate({"engaged": {"events": [*ACTS]}, "satisfied": satisfied})
        spec = cycle_spec(repeat=Repeat(rule="after_days", days=5), objectives=rules, **MATCHING)
        self.folder, self.spec = folder, replace(spec, acts=ACTS)
        self.transforms = write_features(folder, self.spec, self.events, items, self.users)
        counters = pd.read_parquet(folder / "counters.parquet").assign(fresh_share=0.8, fresh_days=4.0)
        counters.to_parquet(folder / "counters.parquet", index=False)  # what is fresh has a large share
        windows = json.loads((folder / "windows.json").read_text())
        self.window = windows[BOUNDARY], windows["test_start"]
        self.catalogue = read_catalogue(folder, self.spec, self.transforms["item"])
        self.sequences = Sequences.open(folder, self.spec, self.transforms, self.catalogue.ids)
        self.shape = TowerShape(read_transformed(folder), self.spec.history_length)
        self._fit_towers()
        self._make_ranker()

    def _created(self, number):
        """Some are fresh in the window, some are not."""
        return int(self.events["timestamp"].max()) - (5 + 4 * number % 43) * DAY_MS - 7_000_000 * number

    def _fit_towers(self):
        towers = new_towers(TOWERS, self.sequences, self.catalogue, self.shape)
        fit = TowerFit(towers, self.sequences, self.catalogue, TOWERS)
        fit.fit(self.window[0], TOWERS.epochs, lambda _: None)
        self.vectors = item_vectors(towers, self.catalogue)
        queries = query_vectors(towers, self.sequences, *self.window)
        path = self.folder / "candidates.parquet"
        drawn = draw_examples(self.folder, *self.window, 0)
        if self.newcomers:
            drawn = with_newcomers(self.folder, drawn, 0)
            queries |= newcomer_vectors(towers, self.sequences, *self.window, drawn)
        self.told = newcomers_of(drawn)
        write_candidates(path, self.folder, BOUNDARY, drawn, queries, self.vectors, self.catalogue, self.sequences)
        items = ItemTable.load(self.folder, BOUNDARY, self.vectors)
        self.examples = read_rank_examples(path, self.sequences, items, self.window, COUNT)
        ServedQueryTower(towers, self.transforms, self.spec).save(self.folder / "query_tower")

    def _make_ranker(self):
        """Random weights: an untrained one would not show what it is given."""
        keras.utils.set_random_seed(5)
        self.ranker = new_ranker(Ranker(self.shape, RANKER, self.spec.objectives.given), self.examples, self.catalogue)
        level, heads = self.ranker.level, self.ranker.body.heads
        for layer in (*self.ranker.straight.values(), level.of_gauge, level.of_state, *heads.values()):
            layer.kernel.assign(keras.random.normal(layer.kernel.shape) / 4)
        plain = dict.fromkeys(self.spec.objectives.names, Calibration(0.0, (), (1.0,)))
        served = ServedRanker(self.ranker, self.transforms, self.spec, plain, with_body=True)
        served.save(self.folder / "ranker")

    def bundle(self):
        settings = BundleSettings(
            self.spec.hash,
            BOUNDARY,
            self.window[0],
            "none",
            dict.fromkeys(self.spec.objectives.names, 1.0),
            COUNT,
            COUNT,
            COUNT,
            form=FORM,
        )
        table, counters = pq.read_table(self.folder / "items.parquet"), counters_at(self.folder, BOUNDARY)
        items = ItemTable.load(self.folder, BOUNDARY, self.vectors)
        arrays = (self.vectors, table, counters, items.rules, items.segments, items.ease)
        return Bundle(self.folder, "", self.spec, settings, *arrays)

    def requests(self):
        """A request for each example, at its time, by the user as they were before it; of a newcomer the last events
        are known, and what the repeat rule forbids."""
        inside = self.events["timestamp"].between(*self.window, inclusive="left")
        rows = self.events[inside].sort_values(["timestamp", "event_id"])
        people = self.users.set_index("user_id")
        found = []
        columns = (rows[name] for name in ("event_id", "user_id", "timestamp", "comes_from"))
        for event, user, time, place in zip(*columns, strict=True):
            past = self.events[(self.events["user_id"] == user) & (self.events["timestamp"] < time)]
            events = [Event(r.item_id, r.event_type, r.timestamp, r.value, r.event_id) for r in past.itertuples()]
            state = state_of(user, events, self.spec, people.loc[user].to_dict())
            if event in self.told:
                last, profile = self.told[event]
                known = state_of("", events[len(events) - last :], self.spec, state.profile if profile else {})
                state = replace(known, engaged=state.engaged)
            found.append(Request(state.user_id, COUNT, time, context={"comes_from": place}, state=state))
        return found


@pytest.fixture(scope="module", params=[False, True], ids=["as they are", "newcomers"])
def trained(tmp_path_factory, request):
    """With `newcomers` half of the moments are told as one's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("souk.models.newcomers.FEW", 5)  # a query sees the last 4 events at least
        patch.setattr("souk.models.newcomers.SHARE", 0.5)
        return Trained(tmp_path_factory.mktemp("parity"), request.param)


@pytest.fixture
def served(trained, monkeypatch):
    """The rankings of all requests, with what the loaded ranker was called with."""
    calls, answer = [], signatures.Ranker.probabilities

    def recorded(self, query, positions, pair, request):
        calls.append((query, positions, pair, request))
        return answer(self, query, positions, pair, request)

    recommender = Recommender.load(trained.bundle(), None, None)
    recommender = recommender.with_counts(recommender.items.followed(trained.folder).counts)  # as the evaluation does
    monkeypatch.setattr(signatures.Ranker, "probabilities", recorded)
    rankings = recommender.rank(trained.requests())
    (call,) = calls
    return rankings, call


@pytest.mark.slow
def test_the_ranker_is_served_with_what_it_learned_from(trained, served):
    rankings, (query, positions, pair, request) = served
    examples = trained.examples
    known = ~examples.newcomer
    assert np.array([ranking.state.user_id for ranking in rankings])[known].tolist() == examples.users[known].tolist()
    assert known.all() if not trained.newcomers else 0.3 < known.mean() < 0.7
    assert not any(ranking.degraded for ranking in rankings)
    assert 0 < examples.retrieved.mean() < 1 and not examples.first.all()
    long = [bool(ranking.state.habits) for ranking in rankings]
    assert np.array(long)[known].all(), "nobody's past is longer than what a state keeps"
    own = examples.pair[np.arange(len(examples)), examples.own, PAIR_FEATURES.index("log_rank")]
    assert (own[~examples.retrieved] < np.log1p(COUNT)).any(), "no forbidden item would have had a place"
    row, column = np.nonzero(examples.candidate)
    np.testing.assert_array_equal(request, row)
    np.testing.assert_array_equal(positions, examples.positions[row, column])
    names = names_of(trained.spec)
    assert pair.shape[1] == examples.pair.shape[2] == len(names)
    for index, name in enumerate(names):
        learned = examples.pair[row, column, index]
        assert np.ptp(learned) > 0, name
        np.testing.assert_allclose(pair[:, index], learned, atol=1e-5, err_msg=name)
    matched = [place for place, name in enumerate(names) if name.startswith("match:")]
    both = {tuple(row) for row in pair[:, matched].tolist()}
    assert both >= {(0, 0), (0, 1), (1, 0), (1, 1)}, "what is neither's, one's and both's"
    assert any(0 < users < 1 for users, _ in both), "nothing that was looked at is a user's own in part"
    for entity, learned in ((Entity.USER, examples.user), (Entity.QUERY, examples.query)):
        features = trained.spec.of(entity)
        transformed = trained.transforms[entity]({f.name: column_tensor(query[f.name].tolist(), f) for f in features})
        assert transformed.keys() == learned.keys() and learned
        for name, values in transformed.items():
            np.testing.assert_allclose(values.numpy(), learned[name], atol=1e-5, err_msg=name)


@pytest.mark.slow
def test_a_server_that_is_told_of_events_knows_the_counts_that_the_ranker_learned_from(trained):
    """Each request at its time, with a server that was sent by then what was engaged with before it."""
    examples, loaded = trained.examples, Recommender.load(trained.bundle(), None, None)
    rows = pq.read_table(trained.folder / "examples.parquet").sort_by("timestamp").to_pylist()
    counts, sent = loaded.items.counts, 0
    names = [PAIR_FEATURES.index(name) for name in ("log_events", "log_lately")]
    for row in np.argsort(examples.times, kind="stable"):
        while sent < len(rows) and rows[sent]["timestamp"] < examples.times[row]:
            event = rows[sent]
            counts.add(np.array([loaded.items.position[event["item_id"]]]), np.array([event["timestamp"]]))
            sent += 1
        listed = examples.candidate[row]
        found = counts.at(examples.positions[row, listed], np.full(listed.sum(), examples.times[row]))
        np.testing.assert_allclose(np.log1p(found), examples.pair[row, listed][:, names].T, atol=1e-6)
    assert sent > np.sum([e["timestamp"] < trained.window[0] for e in rows]), "nothing came after the boundary"


@pytest.mark.slow
def test_the_served_probabilities_are_those_of_the_inputs_of_training(trained, served):
    rankings, examples = served[0], trained.examples
    row, column = np.nonzero(examples.candidate)
    item = {
        name: values.numpy()[examples.positions[row, column]] for name, values in trained.catalogue.features.items()
    }
    logits = trained.ranker(examples.user, examples.query, item, examples.pair[row, column], row)
    for head in trained.spec.objectives.names:
        found = np.concatenate([ranking.heads[head] for ranking in rankings])
        assert np.ptp(found) > 0.05
        np.testing.assert_allclose(found, 1 / (1 + np.exp(-logits[head].numpy())), atol=1e-4, err_msg=head)
