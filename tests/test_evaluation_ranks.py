"""Rankings whose right answers are counted by hand."""

import numpy as np
import pytest

from souk.evaluation.baselines import ItemKnn, Popularity
from souk.evaluation.protocol import METRICS, _batches, _ranks, rank, rank_all
from souk.evaluation.queries import (
    rolling_queries,
)
from souk.evaluation.summary import summarise
from souk.metrics import target_ranks
from tests.evaluation_fixtures import Fixed, content_of, reader, spec_of


@pytest.fixture
def read(tmp_path):
    return reader(tmp_path)


def test_rank_by_hand(read):
    spec = spec_of("never")
    window, catalogue = read(spec)
    queries = rolling_queries(window, catalogue, spec, most=20)
    found = rank(Fixed(catalogue, {"gone": 9, "a": 8, "d": 7, "b": 6, "c": 5}), queries, catalogue)
    assert found.ranks[0].tolist() == [2, 1]  # a and b were engaged, gone is not available
    assert found.ranks[1].tolist() == [5]  # a, d, b, c come before new
    assert [catalogue.ids[i] for i in found.top[0] if i >= 0] == ["d", "c", "new"]
    assert found.top.shape == (2, 10)


def test_users_weigh_the_same(read):
    spec = spec_of("always")
    window, catalogue = read(spec)
    queries = rolling_queries(window, catalogue, spec, most=20)
    ranking = rank(Fixed(catalogue, {"new": 1.0}), queries, catalogue)
    models, table = summarise([ranking], queries, catalogue, content_of(catalogue), METRICS, samples=100)
    by_user = table.set_index("user_id")["mrr"]
    assert by_user.to_dict() == pytest.approx({"ann": (1 / 4 + 1 / 3) / 2, "eve": 1.0})
    assert models["fixed"]["mrr"]["mean"] == pytest.approx(by_user.mean())
    assert models["fixed"]["coverage@10"] == 1.0  # five available items, all within the first ten


def test_what_is_new_to_a_user_is_ranked_among_what_is_new_to_the_user(read):
    spec = spec_of("always")
    window, catalogue = read(spec)
    queries = rolling_queries(window, catalogue, spec, most=20)  # ann: c and d are new; then b again. eve: new
    ranking = rank(Fixed(catalogue, {"a": 9, "b": 8, "c": 7, "d": 6, "new": 5}), queries, catalogue)
    assert [found.tolist() for found in ranking.ranks] == [[3, 4], [2], [5]]
    assert [found.tolist() for found in ranking.new_ranks] == [[1, 2], [], [5]]  # a and b are old to ann


def test_ranks_among_what_is_new_are_those_without_what_is_known(read):
    """Of any scores, with many ties and items that are kept out."""
    random = np.random.default_rng(8)
    for _ in range(200):
        scores = random.integers(0, 6, 40).astype(np.float32)
        scores[random.integers(0, 40, 5)] = -np.inf
        targets, known = random.permutation(40)[: random.integers(1, 9)], np.unique(random.integers(0, 40, 12))
        ranks, new = _ranks(scores, targets, known)
        without = scores.copy()
        without[known] = -np.inf
        assert ranks.tolist() == target_ranks(scores, targets).tolist()
        assert new.tolist() == target_ranks(without, targets[~np.isin(targets, known)]).tolist()


def test_models_that_are_ranked_together_are_ranked_as_alone(read, monkeypatch):
    monkeypatch.setattr("souk.evaluation.protocol.CELLS", 12)  # two queries a batch
    spec = spec_of("always")
    window, catalogue = read(spec)
    queries = rolling_queries(window, catalogue, spec, most=20)
    scorers = [Fixed(catalogue, {"new": 1.0}), ItemKnn(catalogue), Popularity(catalogue)]
    monkeypatch.setattr("souk.progress.WORD_SECONDS", -1.0)
    told = []
    together = rank_all(scorers, queries, catalogue, told.append)
    assert told == [2, 3] and len(queries) == 3, "how many are answered, after each batch"
    beside = rank_all(scorers[:1], queries, catalogue, beside=scorers[1:])
    for scorer, *both in zip(scorers, together, beside, strict=True):
        alone = rank(scorer, queries, catalogue)
        for found in both:
            assert found.name == scorer.name
            assert [own.tolist() for own in found.ranks] == [own.tolist() for own in alone.ranks]
            assert [own.tolist() for own in found.new_ranks] == [own.tolist() for own in alone.new_ranks]
            assert found.top.tolist() == alone.top.tolist()


def test_models_whose_times_are_compared_take_turns_at_being_first(read, monkeypatch):
    """What the rules beside them take of the processor would fall on the first alone."""
    monkeypatch.setattr("souk.evaluation.protocol.TOGETHER", 1)
    spec, order = spec_of("always"), []
    window, catalogue = read(spec)

    class Told(Popularity):
        def score(self, queries):
            order.append((self.name, len(queries)))
            return super().score(queries)

    pair = [Told(catalogue), Told(catalogue)]
    pair[0].name, pair[1].name = "challenger", "champion"
    rank_all(pair, rolling_queries(window, catalogue, spec, most=20), catalogue)
    assert [name[:5] for name, _ in order] == ["chall", "champ", "champ", "chall", "chall", "champ"]
    assert {count for _, count in order} == {1}
    monkeypatch.setattr("souk.evaluation.protocol.TOGETHER", 512)
    assert [len(batch) for _, batch in _batches([None] * 500, 500)] == [256, 244]
    assert len([*_batches([None] * 1500, 500)]) == 4 and not [*_batches([], 500)]


def test_a_model_that_fails_beside_the_others_stops_the_evaluation(read):
    spec = spec_of("always")
    window, catalogue = read(spec)
    queries = rolling_queries(window, catalogue, spec, most=20)

    class Broken(Popularity):
        def score(self, queries):
            raise ValueError("no scores")

    with pytest.raises(ValueError, match="no scores"):
        rank_all([Popularity(catalogue)], queries, catalogue, beside=[Broken(catalogue)])
