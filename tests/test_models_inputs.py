"""What models read of features: no value is farther out than training could teach."""

import numpy as np
import pytest
import tensorflow as tf

from souk.models.inputs import BOUND, KNOWN, VECTOR_BOUND, FeatureEncoder, TransformedFeature

FEATURES = (
    TransformedFeature("price", "user", "float", 0, 0),
    TransformedFeature("town", "user", "ids", KNOWN + 2, 0),
    TransformedFeature("style", "user", "float", 0, 2),
)


@pytest.mark.parametrize(
    ("price", "style", "read"),
    [
        (1.5, (-3.0, 700.0), (1.5, -3.0, 700.0)),
        (316.0, (0.0, 1e25), (BOUND, 0.0, VECTOR_BOUND)),  # an app's new version, in a column that was nearly constant
        (-np.inf, (-np.inf, 0.0), (-BOUND, -VECTOR_BOUND, 0.0)),
    ],
)
def test_numbers_are_read_within_bounds_and_embeddings_as_they_are(price, style, read):
    encoder = FeatureEncoder(FEATURES, 8, "encoder")
    given = {"price": tf.constant([price]), "town": tf.constant([KNOWN]), "style": tf.constant([style])}
    encoder(given)
    table = encoder.tables["town"].embeddings
    table.assign(tf.fill(table.shape, 99.0))
    (row,) = encoder(given).numpy()
    assert (row[0], *row[-2:]) == read and (row[1:-2] == 99.0).all() and len(row) > 3
