"""SASRec of the package RecTools, with sampled or full softmax."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from pytorch_lightning import seed_everything
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel
from rectools.models.nn.transformers.ligr import LiGRLayers
from rectools.models.nn.transformers.sasrec import SASRecTransformerLayers

from benchmarks.quality.interactions import Histories, Interactions
from souk.evaluation.queries import Query
from souk.metrics import Floats

LAYERS = {"sasrec": SASRecTransformerLayers, "ligr": LiGRLayers}
LEAST = np.float32(-1e9)  # of an item without a vector
BATCH = 256  # histories encoded at once


class SasRec:
    """SASRec (Kang and McAuley 2018) with softmax losses; with `ligr` layers the eSASRec of RecSys 2025.

    An item that no training sequence has gets no vector and comes last.

    Args:
        past: what was known at the start of the window.
        histories: of the queries.
        epochs: of the fit.
        length: events of a sequence; a user's earlier ones are not trained on.
        covered: share of the users whose whole history a sequence need hold: RecTools pads all to the same length, and
            of many short ones the padding is what takes the time.
        factors: width of the vectors.
        blocks: transformer blocks.
        heads: of the attention.
        dropout: of embeddings and blocks.
        negatives: uniform ones to each position of the sampled softmax; 0 for the full softmax.
        learning_rate: of Adam.
        layers: "sasrec" or "ligr".
        batch: users in a step.
        seed: of the fit.
    """

    name = "sasrec"

    def __init__(
        self,
        past: Interactions,
        histories: Histories,
        epochs: int = 20,
        length: int = 50,
        covered: float = 1.0,
        factors: int = 64,
        blocks: int = 2,
        heads: int = 2,
        dropout: float = 0.2,
        negatives: int = 0,
        learning_rate: float = 1e-3,
        layers: str = "sasrec",
        batch: int = 128,
        seed: int = 0,
    ) -> None:
        _quiet()
        seed_everything(seed, verbose=False)
        length = min(length, int(np.quantile(np.unique(past.users, return_counts=True)[1], covered)))
        self._histories, self._length, self._size = histories, length, past.size
        self._data = _dataset(past)
        self._model = SASRecModel(
            n_blocks=blocks,
            n_heads=heads,
            n_factors=factors,
            dropout_rate=dropout,
            session_max_len=length,
            loss="sampled_softmax" if negatives else "softmax",
            n_negatives=negatives or 1,
            lr=learning_rate,
            batch_size=batch,
            epochs=epochs,
            transformer_layers_type=LAYERS[layers],
            recommend_torch_device="cpu",
        )
        self._epochs = epochs

    @property
    def trained(self) -> SasRec:
        """The model after all its epochs."""
        for _ in self.stages((self._epochs,)):
            pass
        return self

    def stages(self, epochs: Sequence[int]) -> Iterator[tuple[int, SasRec]]:
        """The model after each of these numbers of epochs, ascending."""
        done = 0
        for count in epochs:
            self._model.fit_partial(self._data, min_epochs=count - done, max_epochs=count - done)
            done = count
            self._ready()
            yield count, self

    def score(self, queries: Sequence[Query]) -> Floats:
        """See `souk.evaluation.baselines.Scorer`."""
        scores = np.full((len(queries), self._size), LEAST, np.float32)
        for start in range(0, len(queries), BATCH):
            batch = queries[start : start + BATCH]
            sessions = np.zeros((len(batch), self._length), np.int64)
            for row, query in enumerate(batch):
                known = self._number[self._histories(query).items]
                kept = known[known > 0][-self._length :]
                sessions[row, self._length - len(kept) :] = kept
            with torch.no_grad():
                encoded = self._net.encode_sessions({"x": torch.from_numpy(sessions)}, self._vectors)[:, -1]
                scores[start : start + len(batch), self._listed] = (encoded @ self._vectors[self._numbers].T).numpy()
        return scores

    def _ready(self) -> None:
        """Takes the vectors, and the numbers that RecTools gave the items."""
        self._net: Any = self._model.lightning_model.torch_model.eval()
        names = self._model.data_preparator.item_id_map.external_ids
        self._listed = np.array([name for name in names if not isinstance(name, str)], np.int64)
        self._numbers = torch.arange(len(names) - len(self._listed), len(names))
        self._number = np.zeros(self._size, np.int64)
        self._number[self._listed] = self._numbers.numpy()
        with torch.no_grad():
            self._vectors = self._net.item_model.get_all_embeddings().detach().clone()


def _dataset(past: Interactions) -> Dataset:
    """Engaging events for RecTools, which sorts them by time; each gets a second of its own to keep their order."""
    order = pd.to_datetime(np.arange(len(past.items)), unit="s")
    frame = pd.DataFrame({Columns.User: past.users, Columns.Item: past.items, Columns.Datetime: order})
    return Dataset.construct(frame.assign(**{Columns.Weight: 1.0}))


def _quiet() -> None:
    """Without the greetings of Lightning."""
    for name in ("pytorch_lightning", "lightning.pytorch", "pytorch_lightning.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
