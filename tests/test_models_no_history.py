"""Users who take one thing: at each target nothing is known of what its user took before."""

import numpy as np

from souk.models.retrieve import query_vectors
from tests.models_fixtures import cycle_market
from tests.towers_fixtures import CONFIG, Market


def test_rows_without_a_history_build_fit_and_ask_the_towers(tmp_path):
    """The first row of the files, a whole batch of a fit and one of the queries have no tokens."""
    market = Market(tmp_path, *cycle_market(length=1))
    batch = next(iter(market.sequences.batches(8, 0, market.windows["end"])))
    assert (batch["visible"].numpy() == 0).all()
    model = market.towers()
    (epoch,) = market.fit(model, market.windows["validation_start"], 1, CONFIG)
    queries = query_vectors(model, market.sequences, market.windows["validation_start"], market.windows["end"])
    assert np.isfinite(epoch["loss"]) and len(queries) > 1
    assert np.linalg.norm(np.array(list(queries.values())), axis=1).min() > 0.99
