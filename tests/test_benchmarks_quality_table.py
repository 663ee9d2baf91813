"""Tuning and the comparison: known answers by construction."""

import json
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest

from benchmarks.quality.compare import compare, markdown, not_run, verdicts
from benchmarks.quality.interactions import Decay
from benchmarks.quality.peers import PEERS, Peer
from benchmarks.quality.ranks import by_user, read_ranks, views_of, write_ranks
from benchmarks.quality.run_peers import run
from benchmarks.quality.tuning import Asked, half_life, tune
from souk.errors import SoukError
from souk.evaluation.protocol import Ranking
from souk.spec import read_spec
from tests.evaluation_fixtures import spec_of, write_artifacts
from tests.quality_fixtures import query_of

DAY = 86_400_000
START = 100 * DAY


def frame_of(ranks):
    """A query a user; `ranks` are lists."""
    rows = [(f"u{n:03d}", 7, np.array(own, float)) for n, own in enumerate(ranks)]
    return pd.DataFrame(rows, columns=["user_id", "timestamp", "ranks"])


def tuned_of(name, value, view="all", **more):
    trial = {"settings": {"rate": 2}, "epochs": 0, "values": {view: {"ndcg@10": value}}}
    return {"name": name, "seconds": 3.0, "trials": [trial], "best": {view: trial}, **more}


def test_what_is_known_already_is_another_view():
    queries = [query_of("a", [(1, 2)], [1, 2]), query_of("b", [(3, 2)], [3])]
    ranking = Ranking("m", [np.array([1.0, 2.0]), np.array([4.0])], [np.array([1.0]), np.zeros(0)], np.zeros((2, 10)))
    views = views_of(ranking, queries)
    assert views["all"]["user_id"].tolist() == ["a", "b"]
    assert views["new"]["user_id"].tolist() == ["a"]
    assert views["new"]["ranks"].iloc[0].tolist() == [1.0]
    assert list(views_of(Ranking("m", ranking.ranks, ranking.ranks, ranking.top), queries)) == ["all"]


def test_metrics_are_means_of_users_and_ranks_survive_the_file(tmp_path):
    frame = pd.DataFrame(
        [("a", 1, np.array([1.0])), ("a", 2, np.array([np.inf])), ("b", 1, np.array([2.0, 200.0]))],
        columns=["user_id", "timestamp", "ranks"],
    )
    write_ranks(tmp_path / "m.parquet", "m", {"all": frame, "new": frame[:1]})
    read = read_ranks(tmp_path)["m"]
    values = by_user(read["all"])
    assert values.loc["a"].to_dict() == pytest.approx({"ndcg@10": 0.5, "hr@10": 0.5, "recall@100": 0.5})
    assert values.loc["b", "recall@100"] == 0.5
    assert values.loc["b", "ndcg@10"] == pytest.approx(1 / np.log2(3) / (1 + 1 / np.log2(3)))
    assert len(read["new"]) == 1


def test_the_best_peer_is_the_one_best_on_validation_and_the_difference_is_paired():
    """On the test window "lucky" is ahead of "chosen", which is nevertheless the peer that counts."""
    ranks = {
        "chosen": {"all": frame_of([[2], [11], [2], [11]] * 25)},
        "lucky": {"all": frame_of([[1], [1], [1], [1]] * 25)},
        "slate": {"all": frame_of([[1], [11], [1], [11]] * 25)},
    }
    tuned = [tuned_of("chosen", 0.3), tuned_of("lucky", 0.2)]
    found = compare(ranks, tuned)["all"]
    assert found["best_peer"] == "chosen"
    assert (found["queries"], found["users"]) == (100, 100)
    ahead = found["ahead"]["slate"]["ndcg@10"]
    assert ahead["mean"] == pytest.approx((1 - 1 / np.log2(3)) / 2)
    assert 0 < ahead["low"] < ahead["mean"] < ahead["high"]
    hits = found["ahead"]["slate"]["hr@10"]
    assert (hits["mean"], hits["low"], hits["high"]) == (0, 0, 0)  # paired: the same users are served
    assert found["models"]["lucky"]["ndcg@10"] == {"mean": 1.0, "low": 1.0, "high": 1.0}
    text = markdown({"all": found}, tuned)
    assert "| lucky | 1.0000 [1.0000, 1.0000] |" in text
    behind = found["less"]["lucky"]["ndcg@10"]  # 0 or 1 by user
    assert (behind["mean"], found["less"].keys()) == (-0.5, {"chosen", "lucky"})
    assert f"| -0.5000 [{behind['low']:+.4f}, {behind['high']:+.4f}] | 0.2000 | 1 |" in text
    assert {line.count(" | ") for line in text.splitlines() if line.startswith("| ")} == {8}
    assert "chosen (best peer)" in text and "rate 2" in text
    assert verdicts(found)[0].startswith("slate - chosen (100 users): ndcg@10 +0.1845 [+0.1")


def test_what_was_not_run_is_named_under_each_table():
    ranks = {
        "slate": {"all": frame_of([[1]]), "new": frame_of([[1]])},
        "ease": {"all": frame_of([[2]])},
        "popularity": {"all": frame_of([[3]]), "new": frame_of([[3]])},
        "lambdamart": {"all": frame_of([[2]])},
    }
    tuned = [tuned_of("ease", 0.2), tuned_of("popularity", 0.1), tuned_of("lambdamart", 0.9, ranker=True)]
    tuned[1]["best"] |= tuned_of("popularity", 0.1, "new")["best"]
    every, new = markdown(compare(ranks, tuned), tuned).split("new to the user only")
    [said] = [line for line in every.splitlines() if line.startswith("- Not run: ")]
    assert set(said.removeprefix("- Not run: ").removesuffix(".").split(", ")) == {
        peer.name for peer in PEERS if peer.name not in ("ease", "popularity")
    }
    assert ", ease, ease_recency, " in new and ", lambdamart." in new
    whole = {"models": dict.fromkeys(peer.name for peer in PEERS), "ranker": {"models": {"lambdamart": {}}}}
    assert not_run(whole) == ""


def test_models_that_were_asked_other_queries_are_not_compared():
    ranks = {"slate": {"all": frame_of([[1], [2]])}, "peer": {"all": frame_of([[1]])}}
    with pytest.raises(SoukError, match="the same queries"):
        compare(ranks, [tuned_of("peer", 0.1)])


def test_without_a_peer_of_the_whole_catalogue_there_is_nothing_to_compare_with():
    ranks = {"slate": {"all": frame_of([[1]])}, "lambdamart": {"all": frame_of([[1]])}}
    with pytest.raises(SoukError, match=r"a peer that ranks the whole catalogue.*Received: lambdamart"):
        compare(ranks, [tuned_of("lambdamart", 0.1, ranker=True)])


def test_the_ranker_s_peer_is_compared_where_it_was_given_candidates():
    ranks = {
        "peer": {"all": frame_of([[9], [9], [9]])},
        "slate": {"all": frame_of([[1], [1], [5]])},
        "lambdamart": {"all": frame_of([[2], [2]])},
    }
    tuned = [tuned_of("peer", 0.1), tuned_of("lambdamart", 0.9, ranker=True)]
    found = compare(ranks, tuned)["all"]
    assert found["best_peer"] == "peer"
    assert found["ranker"]["users"] == 2
    assert found["ranker"]["ahead"]["slate"]["ndcg@10"]["mean"] == pytest.approx(1 - 1 / np.log2(3))
    assert len(verdicts(found)) == 2


def test_trials_are_distinct_start_with_the_first_values_and_repeat_with_the_seed():
    peer = Peer("p", "m:C", {"fixed": 1}, {"a": (1, 2, 3), "b": (True, False)})
    found = peer.trials(4, seed=5)
    assert found[0] == {"fixed": 1, "a": 1, "b": True}
    assert len({str(trial) for trial in found}) == 4
    assert found == peer.trials(4, seed=5) != peer.trials(4, seed=6)
    assert len(peer.trials(99, seed=5)) == 6
    assert Peer("p", "m:C").trials(8, seed=0) == [{}]
    assert all(len({str(trial) for trial in each.trials(8, 0)}) == len(each.trials(8, 0)) for each in PEERS)


def test_trials_for_times_that_are_counts_spend_nothing_on_age():
    aged = [peer for peer in PEERS if "age" in peer.space]
    assert len(aged) >= 4
    for peer in aged:
        trials = peer.undated.trials(8, 0)
        assert len(trials) == 8 and not any("age" in each for each in trials)
        assert trials[0] == {k: v for k, v in peer.trials(1, 0)[0].items() if k != "age"}


def test_no_trial_of_a_large_catalogue_has_a_full_softmax():
    [sasrec] = [peer for peer in PEERS if "negatives" in peer.space and 0 in peer.space["negatives"]]
    trials = sasrec.sampled.trials(32, 0)
    assert len({str(trial) for trial in trials}) == 32 and all(trial["negatives"] for trial in trials)
    assert trials[0] == {**sasrec.trials(1, 0)[0], "negatives": 256}


class Liked:
    """Ranks `item` first; with stages, only after two epochs."""

    name = "liked"
    made: ClassVar[list[tuple[int, int]]] = []

    def __init__(self, past, histories, item):
        self._size, self._item, self._epochs = past.size, item, 2
        Liked.made.append((past.end, item))

    def stages(self, epochs):
        for self._epochs in epochs:
            yield self._epochs, self

    def score(self, queries):
        scores = np.zeros((len(queries), self._size), np.float32)
        if self._epochs == 2:
            scores[:, self._item] = 1
        return scores


@pytest.fixture
def dataset(tmp_path):
    """In the validation window everyone takes item 1, in the test window item 2: who peeks would choose 2."""
    late = [(f"u{n}", "b", "click", START // 2 + n) for n in range(6)]
    later = [(f"u{n}", "c", "click", START + n) for n in range(6)]
    early = [(f"u{n}", "d", "click", 1 + n) for n in range(6)]
    write_artifacts(tmp_path, [*early, *late, *later], dict.fromkeys("abcd", True), START)
    spec = spec_of("always")
    (tmp_path / "features" / "spec.json").write_text(spec.to_json(), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("epochs", [(), (1, 2, 3)])
def test_settings_are_chosen_on_validation_and_the_test_window_is_read_once(dataset, monkeypatch, epochs):
    Liked.made.clear()
    monkeypatch.setattr(Peer, "load", lambda self: Liked)
    spec = read_spec(dataset / "features" / "spec.json")
    validation, test = (Asked.read(dataset, spec, window, 20) for window in ("validation", "test"))
    peer = Peer("liked", "", space={"item": (0, 1, 2, 3)}, epochs=epochs)
    tuned = tune(peer, validation, test, trials=4, seed=0, clock=iter(range(1000)).__next__)
    assert tuned.best["all"].settings == {"item": 1}
    assert tuned.best["all"].values["all"]["ndcg@10"] == 1.0
    assert tuned.best["all"].epochs == (2 if epochs else 0)
    assert sorted(Liked.made) == [*((START // 2, item) for item in range(4)), (START, 1)]
    assert tuned.ranks["all"]["ranks"].map(list).tolist() == [[3.0]] * 6  # item 2 comes after 1 and 0
    assert json.loads(json.dumps(tuned.to_json()))["best"]["all"]["settings"] == {"item": 1}


@pytest.mark.parametrize(("minutes", "epochs", "points"), [(0, (1, 2), 2), (1, (1, 2, 3, 4, 5), 4 + 3)])
def test_a_fit_ends_after_two_worse_points_and_tuning_after_its_minutes(dataset, monkeypatch, minutes, epochs, points):
    """The setting that is right is best after two epochs and not again; the other one never is."""
    monkeypatch.setattr(Peer, "load", lambda self: Liked)
    spec = read_spec(dataset / "features" / "spec.json")
    validation, test = (Asked.read(dataset, spec, window, 20) for window in ("validation", "test"))
    peer = Peer("liked", "", space={"item": (1, 0)}, epochs=epochs)
    tuned = tune(peer, validation, test, trials=2, seed=0, clock=iter(range(1000)).__next__, minutes=minutes)
    assert len(tuned.trials) == points
    assert tuned.best["all"].epochs == 2 and tuned.best["all"].settings == {"item": 1}


def test_a_peer_that_was_stopped_goes_on_after_its_finished_settings(dataset, tmp_path, monkeypatch):
    spec = read_spec(dataset / "features" / "spec.json")
    validation, test = (Asked.read(dataset, spec, window, 20) for window in ("validation", "test"))
    peer = Peer("liked", "", space={"item": (0, 1, 2, 3), "decay": (Decay(rate=1.0),)}, epochs=(1, 2))
    kept, stopped = tmp_path / "unfinished" / "liked.json", len(Liked.made) + 2

    class Stopped(Liked):
        def __init__(self, past, histories, item, decay):
            if len(Liked.made) == stopped:
                raise KeyboardInterrupt
            super().__init__(past, histories, item)

    monkeypatch.setattr(Peer, "load", lambda self: Stopped)
    with pytest.raises(KeyboardInterrupt):
        tune(peer, validation, test, trials=4, seed=0, kept=kept)
    done = [trial["settings"]["item"] for trial in json.loads(kept.read_text("utf-8"))]
    assert len(done) == 4 and len(set(done)) == 2, "two settings, each after one and after two epochs"
    stopped, begun = -1, len(Liked.made)
    tuned = tune(peer, validation, test, trials=4, seed=0, kept=kept)
    assert not {item for end, item in Liked.made[begun:] if end < START} & set(done)
    assert len(tuned.trials) == 8 and tuned.best["all"].settings["item"] == 1
    whole = tune(peer, validation, test, trials=4, seed=0)
    assert [trial.values for trial in whole.trials] == [trial.values for trial in tuned.trials]


@pytest.mark.parametrize(("personal", "rank"), [(True, 1.0), (False, 3.0)])
def test_who_has_no_history_gets_what_is_popular_lately_of_every_personal_peer(tmp_path, monkeypatch, personal, rank):
    """Item a was popular once, b of late; newcomers take b. The peer itself would show them a."""
    monkeypatch.setattr(Peer, "load", lambda self: Liked)
    day = START // 2 - DAY
    early = [(f"o{n}", "a", "click", 1 + n) for n in range(9)] + [(f"r{n}", "b", "click", day + n) for n in range(5)]
    late = [(f"{who}{n}", "b", "click", time + n) for who, time in (("v", START // 2), ("t", START)) for n in range(4)]
    late += [("o0", "d", "click", START + 9)]  # has a history: the peer's own answer
    write_artifacts(tmp_path, [*early, *late], dict.fromkeys("abcd", True), START)
    spec = spec_of("always")
    (tmp_path / "features" / "spec.json").write_text(spec.to_json(), encoding="utf-8")
    validation, test = (Asked.read(tmp_path, spec, window, 20) for window in ("validation", "test"))
    assert half_life(validation) > 0
    peer = Peer("liked", "", fixed={"item": 3}, personal=personal)
    found = tune(peer, validation, test, trials=1, seed=0).ranks["all"].set_index("user_id")["ranks"]
    assert {user: own.tolist() for user, own in found.items()} == {"o0": [1.0], **{f"t{n}": [rank] for n in range(4)}}


def test_peers_run_on_a_folder_and_are_not_run_twice(dataset, tmp_path, capsys):
    run(dataset, tmp_path / "out", "popularity,sequential_rules", trials=2, users=100, most=20, seed=0)
    assert set(read_ranks(tmp_path / "out" / "ranks")) == {"popularity", "sequential_rules"}
    record = json.loads((tmp_path / "out" / "tuning" / "sequential_rules.json").read_text("utf-8"))
    assert len(record["trials"]) == 2
    capsys.readouterr()
    run(dataset, tmp_path / "out", "popularity", trials=2, users=100, most=20, seed=0)
    assert "popularity: there already" in capsys.readouterr().out


def test_unknown_peers_and_folders_are_refused(dataset, tmp_path):
    with pytest.raises(SoukError, match="Did you mean 'ease'"):
        run(dataset, tmp_path / "out", "eas", 1, 10, 20, 0)
    with pytest.raises(SoukError, match="tables/ and features/"):
        run(tmp_path / "no", tmp_path / "out", "", 1, 10, 20, 0)


def test_the_validation_draw_keeps_whole_users(dataset):
    spec = read_spec(dataset / "features" / "spec.json")
    asked = Asked.read(dataset, spec, "validation", 20)
    drawn = asked.drawn(3, seed=1)
    assert len({query.user_id for query in drawn.queries}) == 3
    assert asked.drawn(100, seed=1) is asked
