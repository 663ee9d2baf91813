"""What held-out users decide: how long the ranker's body is fitted, and whether it is worth anything."""

from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from souk.models import fit_ranker as fitting
from souk.models import held_out
from souk.models.averaged import MOMENTUM, averaged
from souk.models.held_out import FOLDS, ahead, jackknife_losses, spent, split_users
from souk.models.rank_lists import RankLists
from souk.models.rank_scoring import held_out_losses
from souk.pairs import PAIR_FEATURES
from tests.models_fixtures import cycle_market
from tests.ranker_fixtures import CONFIG, Ranked
from tests.test_models_rank_quality import examples


@pytest.mark.parametrize(
    ("losses", "over"),
    [
        ([], False),
        ([4.284], False),
        ([4.284, 4.294, 4.290], False),
        ([4.284, 4.294, 4.290, 4.285], True),
        ([4.284, 4.294, 4.290, 4.156], False),
        ([4.284, 4.156, 4.160, 4.170, 4.180], True),
    ],
)
def test_the_body_goes_on_until_three_times_without_a_better_one(losses, over):
    assert spent(losses) is over


@pytest.mark.parametrize(
    ("simple", "better", "expected"),
    [
        ([3.0, 2.0, 3.0, 4.0], [2.0, 1.0, 2.0, 3.0], (1.0, 0.0)),
        ([2.0, 2.0, 2.0], [2.0, 1.0, 3.0], (0.0, 1.0)),
        ([1.0, 1.0, 1.0], [2.5, 2.0, 3.0], (-1.5, 0.5)),
    ],
)
def test_how_far_ahead_and_how_sure(simple, better, expected):
    assert ahead(np.array(simple), np.array(better)) == pytest.approx(expected)


def test_the_error_of_a_mean_of_lists_is_what_statistics_have():
    """With a list a user and as many users as folds, the jackknife of a mean is deviation / sqrt(n)."""
    gains = np.random.default_rng(3).normal(0.1, 1, FOLDS)
    left = np.array([gains.mean(), *((gains.sum() - gain) / (FOLDS - 1) for gain in gains)])
    assert ahead(left, np.zeros(1 + FOLDS)) == pytest.approx((gains.mean(), gains.std(ddof=1) / FOLDS**0.5))


def test_a_user_is_in_one_fold_and_a_loss_without_it_knows_nothing_of_the_user():
    found, engaged, _ = examples(rows=4 * FOLDS)
    users = np.random.default_rng(1).permutation(np.repeat([f"u{n}" for n in range(2 * FOLDS)], 2))
    pair = np.zeros((*found.candidate.shape, len(PAIR_FEATURES)), np.float32)
    found, flat = replace(found, users=users, pair=pair), np.zeros((len(found), 1))
    data = RankLists(found, found.candidate, found.chosen.astype(np.float32), flat, flat)
    rows, logits = np.arange(len(found)), {"placed": engaged.astype(np.float32), "satisfied": engaged.astype("f")}
    losses = jackknife_losses(logits, data, rows)
    assert len(losses) == 1 + FOLDS and losses[0] == held_out_losses(logits, data, rows)[0]
    other = {**logits, "placed": logits["placed"].copy()}
    other["placed"][users == "u7", 0] += 5
    assert (jackknife_losses(other, data, rows) == losses).sum() == 1, "of the one fold that is left out"


class Told:
    """A small fit with a body, in which the losses of held-out users are told by hand."""

    def __init__(
        self, folder, monkeypatch, losses, checkpoints=None, heads=(0.0,) * 99, users=12, before=False, orders=()
    ):
        told = ((loss, {"satisfied": head}) for loss, head in zip(losses, heads, strict=False))
        if orders:  # the first is that of retrieval
            places = iter((0.0, *orders))
            monkeypatch.setattr(fitting, "ndcg", lambda *_: next(places))
        monkeypatch.setattr(fitting, "LEAST_STEPS", 1)
        monkeypatch.setattr("souk.models.fit_level.STEPS", 1)
        ranked = Ranked(folder, *cycle_market(users=users))
        examples = ranked.examples()
        self.model = model = ranked.ranker(examples)
        monkeypatch.setattr(fitting, "held_out_losses", lambda *_: next(told))
        monkeypatch.setattr(fitting._Fit, "_losses", lambda self: (0.0, dict.fromkeys(model.given, 0.0)))
        short = CONFIG.model_copy(update={"straight_epochs": 2, "epochs": 6, "body_examples": 0})
        lists, self.said = ranked.lists(model, examples), []
        self.fit = fitting.fit_ranker(model, lists, ranked.catalogue, short, self.said.append, before, checkpoints)


@pytest.mark.parametrize("patience", [1, 2])
def test_a_body_that_is_behind_the_straight_path_is_judged_by_itself(tmp_path, monkeypatch, patience):
    """1 of the straight path, and of the body 5, 4, 3, 6, 7, 2: it ends after 6, or 7."""
    monkeypatch.setattr(held_out, "PATIENCE", patience)
    fit = Told(tmp_path, monkeypatch, [1.0, 1.0, 1.0, 5.0, 4.0, 3.0, 6.0, 7.0, 2.0]).fit
    assert sum(record["stage"] == 2 for record in fit.history) == 3 + patience
    assert not fit.with_body


def test_a_body_is_judged_and_kept_as_a_mean_of_its_steps(tmp_path, monkeypatch):
    seen = []

    @contextmanager
    def watched(optimizer, variables):
        with averaged(optimizer, variables):
            means = optimizer.use_ema and optimizer.ema_momentum == MOMENTUM
            seen.append((means, {variable.path: variable.numpy() for variable in variables}))
            yield

    monkeypatch.setattr(fitting, "averaged", watched)
    monkeypatch.setattr(fitting, "ahead", lambda *_: (0.1, 0.01))
    told = Told(tmp_path, monkeypatch, [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2])
    assert [means for means, _ in seen] == [False] * 2 + [True] * 6
    kept = {v.path: v.numpy() for v in told.model.trainable_variables if "/level/" not in v.path}
    assert any("/body/" in path for path in kept)
    for path, values in kept.items():
        np.testing.assert_array_equal(values, seen[-1][1][path], err_msg=path)


@pytest.mark.parametrize(("error", "kept"), [(0.2, False), (0.09, True)])
def test_a_body_that_is_ahead_by_less_than_a_standard_error_is_left_out(tmp_path, monkeypatch, error, kept):
    seen = []
    monkeypatch.setattr(fitting, "jackknife_losses", lambda logits, *_: logits["order"])
    monkeypatch.setattr(fitting, "ahead", lambda simple, better: seen.append((simple, better)) or (0.1, error))
    told = Told(tmp_path, monkeypatch, [1.0, 0.9, 0.8, 0.7, 0.7, 0.7, 0.7])
    assert told.fit.with_body is kept
    assert told.fit.metrics["judgement"] == (3 if kept else 2)
    assert sum("that alone is kept" in line for line in told.said) == (not kept)
    ((simple, better),) = seen
    assert len(simple) == len(better) > 0 and not np.allclose(simple, better), "each under its own weights"


@pytest.mark.parametrize(("order", "logged", "kept"), [(0.6, False, True), (0.4, False, False), (0.4, True, True)])
def test_a_body_with_less_loss_and_a_worse_order_is_left_out_where_places_do_not_decide_it(
    tmp_path, monkeypatch, order, logged, kept
):
    monkeypatch.setattr(fitting, "ahead", lambda *_: (0.1, 0.01))
    if logged:
        monkeypatch.setattr(Ranked, "examples", placed(Ranked.examples))
    told = Told(tmp_path, monkeypatch, [1.0, 0.9, 0.8, *[0.7] * 6], orders=(0.1, 0.3, 0.5, *[order] * 6))
    assert told.fit.with_body is kept
    assert told.fit.metrics["judgement"] == (3 if kept else 2)
    assert sum("0.4000, 0.5000 without; that alone is kept" in line for line in told.said) == (not kept)


def placed(examples):
    """Examples as those of slates are, logged with their places."""

    def given(self, *args, **named):
        found = examples(self, *args, **named)
        return replace(found, place=np.ones_like(found.place))

    return given


def test_a_fit_that_was_killed_with_the_body_compares_it_with_the_same_straight_path(tmp_path, monkeypatch):
    losses, seen = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2], []
    monkeypatch.setattr(fitting, "jackknife_losses", lambda logits, *_: logits["order"])
    monkeypatch.setattr(fitting, "ahead", lambda *compared: seen.append(compared) or (0.1, 0.0))
    Told(tmp_path / "whole", monkeypatch, losses)
    save, kept = fitting.Checkpoints.save, tmp_path / "checkpoints"

    def killed(self, stage, variables, best, progress):
        save(self, stage, variables, best, progress)
        if progress["epoch"] == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(fitting.Checkpoints, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        Told(tmp_path / "killed", monkeypatch, losses, kept)
    monkeypatch.setattr(fitting.Checkpoints, "save", save)
    Told(tmp_path / "again", monkeypatch, [1.0, *losses[6:]], kept)
    whole, again = seen
    for expected, found in zip(whole, again, strict=True):
        np.testing.assert_allclose(found, expected)


def test_a_release_has_no_body_where_its_twin_was_judged_without(tmp_path, monkeypatch):
    told = Told(tmp_path, monkeypatch, [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2], before=True)
    assert {record["stage"] for record in told.fit.history} == {0, 1} and not told.fit.with_body
    assert sum(line == "no body: the ranker of before was judged without" for line in told.said) == 1


def test_the_order_alone_decides_on_the_body(tmp_path, monkeypatch):
    """A head that got worse is mended by itself: `settle`."""
    monkeypatch.setattr(fitting, "ahead", lambda *_: (0.1, 0.0))
    monkeypatch.setattr(fitting, "jackknife_losses", lambda *_: None)
    losses, heads = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2], [0.0] * 3 + [9.0] * 6
    told = Told(tmp_path, monkeypatch, losses, heads=heads)
    fit, numbered = told.fit, [line.partition(":")[0] for line in told.said if ", judgement " in line]
    ours = ["straight path", "straight path", *["with the body"] * 6]
    assert numbered == [f"{stage}, judgement {number}" for number, stage in enumerate(ours, start=1)]
    assert fit.with_body and fit.metrics["judgement"] == 8


def test_one_held_out_user_tells_nothing_of_a_body(tmp_path, monkeypatch):
    told = Told(tmp_path, monkeypatch, [1.0] * 9, users=2)
    assert not told.fit.with_body and {record["stage"] for record in told.fit.history} == {0, 1}
    assert sum("fewer than two held-out users" in line for line in told.said) == 1


def test_curves_and_weights_are_of_users_that_the_fit_never_saw(tmp_path, monkeypatch):
    measured, quality = [], fitting.quality

    def watched(logits, examples, rows, *bounds):
        measured.append((rows, examples.users))
        return quality(logits, examples, rows, *bounds)

    monkeypatch.setattr(fitting, "quality", watched)
    Told(tmp_path, monkeypatch, [1.0] * 9)
    ((rows, users),) = measured
    fitted, others = split_users(users, CONFIG.seed)
    assert rows.tolist() == others.tolist() and set(users[rows]).isdisjoint(users[fitted])


@pytest.mark.parametrize(
    ("body", "before", "left"), [(True, False, [("worse", "alone")]), (True, True, []), (False, False, [])]
)
def test_the_body_leaves_the_heads_that_are_told_better_without(monkeypatch, body, before, left):
    """A release keeps what its twin was judged with."""
    found, heads = [], ("better", "same", "worse")
    monkeypatch.setattr(fitting, "leave_body_out", lambda model, head, weights: found.append((head, weights)))
    alone = dict.fromkeys(heads, "alone"), dict.fromkeys(heads, 0.5)
    fit = SimpleNamespace(model=None, _alone=alone, _with_body=body, _began_with_body=before)
    fit._losses = lambda: (0.0, dict(zip(heads, (0.4, 0.5, 0.6), strict=True)))
    fitting._Fit.settle(fit)
    assert found == left
