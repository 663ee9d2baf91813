"""Which ids a fit of the towers sees: all others are unknown to them."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from souk.models.inputs import missing_rows
from souk.models.sequences import Catalogue, Sequences, Trained
from souk.models.towers import TwoTower
from souk.spec import Entity

USERS = 4096  # that are transformed at a time


def mark_seen(model: TwoTower, catalogue: Catalogue, sequences: Sequences, trained: Trained) -> None:
    """Sets the `seen` weights of both id tables to what a fit sees; all other ids are unknown to the towers."""
    known = np.array([item in trained.items for item in catalogue.ids])
    ids = catalogue.features["item_id"].numpy()[known]
    model.items.seen.assign(_marks(model.items.size, ids))
    users = sorted(trained.users)
    ids = [_user_ids(users[start : start + USERS], sequences) for start in range(0, len(users), USERS)]
    model.query_tower.users.seen.assign(_marks(model.query_tower.users.size, np.concatenate(ids)))


def _user_ids(users: list[str], sequences: Sequences) -> np.ndarray:
    """What a transform makes of some users' ids; it asks for their other features too, however long."""
    raw = missing_rows(sequences.spec.of(Entity.USER), len(users)) | {"user_id": tf.constant(users)}
    return np.asarray(sequences.transforms["user"](raw)["user_id"].numpy())


def _marks(size: int, ids: np.ndarray) -> np.ndarray:
    marks = np.zeros(size, np.float32)
    marks[ids] = 1
    return marks
