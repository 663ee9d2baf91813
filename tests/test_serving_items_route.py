"""What the route of items takes for a batch."""

import json

import pytest

from souk.errors import SoukError
from souk.serving.items.route import MAX_ROWS, rows_of


@pytest.mark.parametrize(
    ("body", "part"),
    [
        (b"{", "a JSON body"),
        (b"[]", "an object with items"),
        (json.dumps({"items": []}).encode(), f"1 to {MAX_ROWS} items"),
        (json.dumps({"items": [{}] * (MAX_ROWS + 1)}).encode(), f"1 to {MAX_ROWS} items"),
        (json.dumps({"items": [{}], "item": 1}).encode(), "Did you mean 'items'"),
    ],
)
def test_a_body_that_is_no_batch(body, part):
    with pytest.raises(SoukError, match=part):
        rows_of(body)
