"""What is counted beside the path: what an index finds, and slates by a release that is not there for ever."""

import math

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from souk.index.exact import ExactIndex
from souk.index.interface import IndexUnavailable
from souk.serving.dependency import Dependency
from souk.serving.metrics import RELEASES, ServingMetrics
from souk.serving.recall_probe import K, RecallProbe
from souk.serving.retrieval import ASKED, Retrieval
from souk.serving.slate import Slate

ITEMS, DIM = 400, 8


class Half(ExactIndex):
    """Finds what is best among the items at even places: on average half of all."""

    def search(self, queries, k, *given, **named):
        even = np.arange(len(self)) % 2 == 0
        return super().search(queries, k, allowed=[even] * len(queries))


class Gone(ExactIndex):
    def search(self, *given, **named):
        raise IndexUnavailable("an answer", "none")


def retrieval(index_of):
    vectors = np.random.default_rng(5).normal(size=(ITEMS, DIM)).astype(np.float32)
    found = Retrieval(index_of and index_of(vectors), ExactIndex(vectors), Dependency("index", 60))
    queries = np.random.default_rng(6).normal(size=(2 * ASKED, DIM)).astype(np.float32)
    for query in queries:
        found.search(query[None], 5, [()])
    return found


@pytest.mark.parametrize(("index_of", "low", "high"), [(ExactIndex, 1.0, 1.0), (Half, 0.4, 0.6)])
def test_the_recall_of_an_index_is_what_it_finds_of_what_is_there(index_of, low, high):
    asked = retrieval(index_of)
    assert len(asked.asked) == ASKED and K < ITEMS
    probe = RecallProbe(lambda: asked)
    probe.look()
    assert low <= probe.recall <= high and probe.looks == 1


def test_what_had_ended_when_an_index_was_built_is_not_missed_in_it():
    asked = retrieval(lambda vectors: ExactIndex(vectors, np.arange(len(vectors)) % 2 == 0))
    probe = RecallProbe(lambda: asked)
    probe.look()
    assert probe.recall == 1.0 and asked.exact.available.all()


@pytest.mark.parametrize("index_of", [None, Gone])
def test_without_an_answer_of_an_index_there_is_no_recall(index_of):
    asked = retrieval(index_of)
    probe = RecallProbe(lambda: asked)
    probe.look()
    assert math.isnan(probe.recall) and probe.looks == 0


def test_slates_are_counted_by_release_of_the_last_releases_only():
    registry = CollectorRegistry()
    metrics = ServingMetrics(registry)
    for number in range(RELEASES + 3):
        for arm in ("", "price=dear"):
            metrics.count([Slate("r", "u", 1, f"shop-{number}", arm, (), ("unknown_user",))] * 2)
    lines = [line for line in generate_latest(registry).decode().splitlines() if line.startswith("souk_slates_total")]
    kept = [f"shop-{number}" for number in range(3, RELEASES + 3)]
    assert lines == [f'souk_slates_total{{release="{name}"}} 4.0' for name in kept], (
        "the label of arms would have as many values as experiments have combinations"
    )
    degraded = generate_latest(registry).decode()
    assert 'souk_degraded_slates_total{reason="unknown_user",release="shop-6"} 4.0' in degraded
    assert "shop-2" not in degraded
