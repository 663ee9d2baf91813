"""Features and candidates that the ranker is fitted to."""

import json

import keras
import numpy as np

from souk.config import TrainRanker
from souk.items import ItemTable
from souk.models.draw import draw_examples
from souk.models.inputs import read_transformed
from souk.models.rank_examples import read_rank_examples
from souk.models.rank_lists import rank_lists
from souk.models.rank_scoring import new_ranker, spread_of
from souk.models.ranker import Ranker
from souk.models.retrieve import write_candidates
from souk.models.sequences import Sequences, read_catalogue
from souk.models.towers import TowerShape
from tests.models_fixtures import cycle_spec, write_features

CONFIG = TrainRanker(
    negatives=8, epochs=4, batch_rows=32, learning_rate=1e-2, hidden=(16,), experts=2, cross_layers=1, dropout=0.0
)


class Ranked:
    """Features and candidates of random vectors: the ranker has all to learn."""

    def __init__(self, folder, events, items, users, **changes):
        self.folder, self.spec, self.events, self.users = folder, cycle_spec(**changes), events, users
        self.transforms = write_features(folder, self.spec, events, items, users)
        windows = json.loads((folder / "windows.json").read_text())
        self.window = windows["validation_start"], windows["test_start"]
        self.catalogue = read_catalogue(folder, self.spec, self.transforms["item"])
        self.sequences = Sequences.open(folder, self.spec, self.transforms, self.catalogue.ids)
        random = np.random.default_rng(4)
        self.vectors = random.normal(size=(len(self.catalogue.ids), 8)).astype(np.float32)
        self.vectors /= np.linalg.norm(self.vectors, axis=1, keepdims=True)
        self.queries = {event: random.normal(size=8).astype(np.float32) for event in events["event_id"]}
        self.retrieve()

    def retrieve(self):
        drawn, path = draw_examples(self.folder, *self.window, 0), self.folder / "candidates.parquet"
        given = self.vectors, self.catalogue, self.sequences
        write_candidates(path, self.folder, "validation_start", drawn, self.queries, *given)

    def examples(self, count=12):
        items = ItemTable.load(self.folder, "validation_start", self.vectors)
        path = self.folder / "candidates.parquet"
        return read_rank_examples(path, self.sequences, items, self.window, count)

    def ranker(self, examples):
        keras.utils.set_random_seed(3)
        model = Ranker(
            TowerShape(read_transformed(self.folder), self.spec.history_length), CONFIG, self.spec.objectives.given
        )
        return new_ranker(model, examples, self.catalogue)

    def lists(self, model, examples):
        weights = np.ones(examples.positions.shape, np.float32)
        return rank_lists(examples, spread_of(model, examples), weights, debias=True)
