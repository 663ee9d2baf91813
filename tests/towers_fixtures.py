"""The market of known best next items, opened for the towers."""

import json

import numpy as np
import tensorflow as tf

from souk.config import TrainTwoTower
from souk.models.fit_towers import TowerFit, new_towers
from souk.models.inputs import read_transformed
from souk.models.sequences import Sequences, column_tensor, read_catalogue
from souk.models.towers import TowerShape
from souk.models.weights import named_weights
from souk.spec import Entity
from tests.models_fixtures import cycle_spec, pad, write_features

CONFIG = TrainTwoTower(
    dim=16,
    layers=1,
    epochs=12,
    batch_rows=16,
    negatives=8,
    learning_rate=1e-2,
    dropout=0.0,
    id_dropout=0.1,
    consistency=0,
)


class Market:
    """A features folder with everything that is opened from it."""

    def __init__(self, folder, events, items, users, spec=None):
        self.folder, self.spec, self.events, self.users = folder, spec or cycle_spec(), events, users
        self.transforms = write_features(folder, self.spec, events, items, users)
        self.open()

    def open(self):
        self.windows = json.loads((self.folder / "windows.json").read_text())
        self.catalogue = read_catalogue(self.folder, self.spec, self.transforms["item"])
        self.sequences = Sequences.open(self.folder, self.spec, self.transforms, self.catalogue.ids)
        self.shape = TowerShape(read_transformed(self.folder), self.spec.history_length)

    def towers(self, config=CONFIG):
        return new_towers(config, self.sequences, self.catalogue, self.shape)

    def fit(self, model, end, epochs, config=CONFIG):
        return TowerFit(model, self.sequences, self.catalogue, config).fit(end, epochs, lambda _: None)


def arrays(model):
    return {name: variable.numpy() for name, variable in named_weights(model).items()}


def served_inputs(market, events, features):
    """One request's features as the signature takes them."""
    spec = market.spec
    raw = {f.name: column_tensor([features.user[f.name]], f) for f in spec.of(Entity.USER)}
    raw |= {f.name: column_tensor([features.query[f.name]], f) for f in spec.of(Entity.QUERY)}
    fill = {"string": "", "float32": np.nan}
    for f in spec.of(Entity.TOKEN):
        raw[f.name] = tf.constant(pad([features.tokens[f.name]], spec.history_length, fill[f.dtype]), f.dtype)
    return raw | {"token_count": tf.constant([len(features.window)], tf.int64)}
