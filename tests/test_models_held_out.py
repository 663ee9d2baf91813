"""What held-out users decide: how long the ranker's body is fitted, and whether it is worth anything."""

from dataclasses import replace

import numpy as np
import pytest

from souk.models import fit_ranker as fitting
from souk.models import held_out
from souk.models.held_out import FOLDS, ahead, fold_losses, spent
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
        ([2.0, 3.0, 4.0], [1.0, 2.0, 3.0], (1.0, 0.0)),
        ([2.0, 2.0], [1.0, 3.0], (0.0, 1.0)),
        ([1.0, 1.0], [2.0, 3.0], (-1.5, 0.5)),
        ([2.0], [1.0], (1.0, np.inf)),
        ([], [], (0.0, np.inf)),
    ],
)
def test_how_far_ahead_and_how_sure(simple, better, expected):
    assert ahead(np.array(simple), np.array(better)) == pytest.approx(expected)


def test_a_user_is_in_one_fold_and_folds_of_one_size_have_the_loss_of_all_in_the_mean():
    found, engaged, _ = examples(rows=4 * FOLDS)
    found = replace(
        found,
        users=np.repeat([f"u{n}" for n in range(2 * FOLDS)], 2),
        pair=np.zeros((*found.candidate.shape, len(PAIR_FEATURES)), np.float32),
    )
    flat = np.zeros((len(found), 1))
    data = RankLists(found, found.candidate, found.chosen.astype(np.float32), flat, flat)
    rows, logits = (
        np.arange(len(found)),
        {"placed": engaged.astype(np.float32), "satisfied": engaged.astype(np.float32)},
    )
    folds = fold_losses(logits, data, rows)
    assert len(folds) == FOLDS
    assert folds.mean() == pytest.approx(held_out_losses(logits, data, rows)[0], rel=1e-5)
    one = {head: values[:2] for head, values in logits.items()}
    assert fold_losses(one, data, rows[:2]).tolist() == pytest.approx([held_out_losses(one, data, rows[:2])[0]])


class Told:
    """A small fit with a body, in which the losses of held-out users are told by hand."""

    def __init__(self, folder, monkeypatch, losses):
        told = iter(losses)
        monkeypatch.setattr(fitting, "LEAST_STEPS", 1)
        monkeypatch.setattr("souk.models.fit_level.STEPS", 1)
        ranked = Ranked(folder, *cycle_market(users=12))
        examples = ranked.examples()
        model = ranked.ranker(examples)
        monkeypatch.setattr(fitting, "held_out_losses", lambda *_: (next(told), {}))
        monkeypatch.setattr(fitting._Fit, "_losses", lambda self: (0.0, dict.fromkeys(model.given, 0.0)))
        short = CONFIG.model_copy(update={"straight_epochs": 2, "epochs": 6, "body_examples": 0})
        lists, self.said = ranked.lists(model, examples), []
        self.fit = fitting.fit_ranker(model, lists, ranked.catalogue, short, self.said.append)


@pytest.mark.parametrize("patience", [1, 2])
def test_a_body_that_is_behind_the_straight_path_is_judged_by_itself(tmp_path, monkeypatch, patience):
    """1 of the straight path, and of the body 5, 4, 3, 6, 7, 2: it ends after 6, or 7."""
    monkeypatch.setattr(held_out, "PATIENCE", patience)
    fit = Told(tmp_path, monkeypatch, [1.0, 1.0, 1.0, 5.0, 4.0, 3.0, 6.0, 7.0, 2.0]).fit
    assert sum(record["stage"] == 2 for record in fit.history) == 3 + patience
    assert not fit.with_body


@pytest.mark.parametrize(("error", "kept"), [(0.2, False), (0.09, True)])
def test_a_body_that_is_ahead_by_less_than_a_standard_error_is_left_out(tmp_path, monkeypatch, error, kept):
    seen = []
    monkeypatch.setattr(fitting, "ahead", lambda simple, better: seen.append((simple, better)) or (0.1, error))
    told = Told(tmp_path, monkeypatch, [1.0, 0.9, 0.8, 0.7, 0.7, 0.7, 0.7])
    assert told.fit.with_body is kept
    assert told.fit.metrics["epoch"] == (3 if kept else 2)
    assert sum("the straight path alone is kept" in line for line in told.said) == (not kept)
    ((simple, better),) = seen
    assert len(simple) == len(better) > 0 and not np.allclose(simple, better), "each under its own weights"
