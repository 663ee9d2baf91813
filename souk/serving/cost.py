"""What answering takes: so much for each batch, and so much for each request in it."""

from __future__ import annotations

import math

LEARNED = 0.1  # how much the last batch says


class Cost:
    """Learned from batches by least squares, the latest counting most.

    As long as all batches are alike nobody can tell what is a batch's and what its requests': then all is theirs.

    Args:
        most: requests of a batch at most.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._weight = self._requests = self._squares = self._seconds = self._products = 0.0

    def learn(self, requests: float, seconds: float) -> None:
        """Takes what a batch of at least one request took."""
        kept = 1 - LEARNED
        self._weight = kept * self._weight + LEARNED
        self._requests = kept * self._requests + LEARNED * requests
        self._squares = kept * self._squares + LEARNED * requests**2
        self._seconds = kept * self._seconds + LEARNED * seconds
        self._products = kept * self._products + LEARNED * requests * seconds

    def of(self, requests: int) -> float:
        """The seconds that so many requests take, in batches as large as may be; 0 before anything was learned."""
        if not self._weight:
            return 0.0
        size, took = self._requests / self._weight, self._seconds / self._weight
        spread = self._squares / self._weight - size**2
        each = took / size
        if spread > 1e-6 * size**2:
            each = min(max((self._products / self._weight - size * took) / spread, 0.0), each)
        return (took - each * size) * math.ceil(requests / self._most) + each * requests
