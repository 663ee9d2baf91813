"""A call has no more time than its caller waits, where the protocol tells it (tests/test_serving_rest.py)."""

import asyncio
import math
import time

import pytest

from souk.serving.model import waits_until
from tests.test_serving_limits import instances, model  # noqa: F401


@pytest.mark.parametrize(
    ("until", "headers", "seconds"),
    [
        (math.inf, {}, 20.02),
        (3600.0, {}, 20.02),  # a long one asks for nothing
        (5.0, {}, 5.0),
        (5.0, {"x-souk-timeout-ms": "70"}, 0.07),
        (5.0, {"x-souk-timeout-ms": "9000"}, 5.0),
    ],
)
@pytest.mark.parametrize("length", ["100", "100000"])  # checked at once, and in a thread
def test_a_caller_that_waits_less_than_it_might_gets_its_answer_by_then(model, until, headers, seconds, length):  # noqa: F811
    made, _ = model

    async def scene():
        waits_until.set(time.monotonic() + until)
        return await made.preprocess({"instances": instances(2)}, {**headers, "content-length": length})

    begin = time.monotonic()
    checked = asyncio.run(scene())
    end = time.monotonic()
    assert all(begin + seconds - 1e-6 <= request.deadline <= end + seconds for request in checked.requests)
