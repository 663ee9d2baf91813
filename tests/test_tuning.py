"""The search for settings: what is drawn, what is chosen, and the processes of its trials."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from souk.cli.training import load_pipeline
from souk.cli.tune import at_once
from souk.config import parse_config
from souk.errors import SoukError
from souk.metrics import LEAST_USERS, Interval
from souk.steps import tune_trial as step
from souk.tuning.page import page
from souk.tuning.space import CHOICES, RANGES, _space, defaults, draw
from souk.tuning.trials import Trial, choose, read_trial, table

MINIMAL = """name: tiny  # a comment
data: {events: {path: events.csv}}
objectives: {engaged: {events: [click]}, satisfied: {events: [click]}}
train_two_tower:
  epochs: 3  # few
  dim: 16
"""
CONFIG = parse_config(MINIMAL).model_dump(mode="json")


def trial(number, gains, **more):
    settings = {name: (values[number % 3]) for name, values in CHOICES.items()}
    settings |= {name: low + (high - low) * number / 10 for name, (low, high) in RANGES.items()}
    return Trial(number, settings, gains={f"u{place}": gain for place, gain in enumerate(gains)}, **more)


def test_trial_0_is_the_config_and_the_rest_lie_in_the_space():
    (zero, usual), *others = draw(CONFIG, 12, 5, 1, [])
    assert (zero, usual) == (0, defaults(CONFIG))
    assert usual["train_two_tower.dim"] == 16
    later = draw(CONFIG, 12, 5, 2, [trial(n, [n / 10]) for n in range(1, 6)])
    assert [number for number, _ in (*others, *later)] == list(range(1, 12))
    for _, settings in (*others, *later):
        assert settings.keys() == usual.keys()
        assert all(settings[name] in (*choices, usual[name]) for name, choices in CHOICES.items())
        assert all(low <= settings[name] <= high for name, (low, high) in RANGES.items())
    assert len({json.dumps(settings) for _, settings in (*others, *later)}) == 11


@pytest.mark.parametrize(
    ("towers", "dims", "depths"),
    [
        ("dim: 48, heads: 3", {48}, {1, 2, 3}),
        ("dim: 64, heads: 64", {64, 128}, {1, 2, 3}),
        ("dim: 52, heads: 3, layers: 0", {32, 52, 64, 128}, {0}),
        ("dim: 16, heads: 16, layers: 0", {16, 32, 64, 128}, {0, 1, 2, 3}),
    ],
)
def test_no_trial_is_drawn_that_cannot_be(towers, dims, depths):
    text = f"{MINIMAL.partition('train_two_tower')[0]}train_two_tower: {{{towers}}}\n"
    config = parse_config(text).model_dump(mode="json")
    first = draw(config, 60, 5, 1, [])
    second = draw(config, 60, 5, 2, [Trial(n, settings, gains={"u": n / 10}) for n, settings in first])
    settings = [settings for _, settings in (*first, *second)]
    assert {each["train_two_tower.dim"] for each in settings} == dims
    assert {each["train_two_tower.layers"] for each in settings} == depths
    heads = config["train_two_tower"]["heads"]
    assert all(not s["train_two_tower.layers"] or s["train_two_tower.dim"] % heads == 0 for s in settings)


def test_the_table_of_the_docs_is_the_space():
    text = (Path(__file__).parents[1] / "docs" / "models.md").read_text("utf-8")
    rows = re.findall(r"^\| (`train_.*?) \| (.*) \|$", text.partition("## Tuning")[2].partition("\n## ")[0], re.M)
    told, drawn_by_logarithm, section = {}, {}, ""
    for names, values in rows:
        parts = values.split(";")
        for name, part in zip(re.findall(r"`([\w.]+)`", names), parts, strict=True):
            section = name.partition(".")[0] or section
            key = f"{section}.{name.partition('.')[2]}"
            lists = [json.loads(each) for each in re.findall(r"\[.*?\]", part)]
            told[key] = tuple(lists or map(float, re.findall(r"[.\d]*\d", part)))
            drawn_by_logarithm[key] = "logarithm" in values
    assert told == CHOICES | RANGES
    assert drawn_by_logarithm == {n: getattr(d, "log", False) for n, d in _space(defaults(CONFIG), 2).items()}


def test_the_page_says_that_slates_are_judged_as_they_are_served():
    trials = [trial(0, [0.1, 0.2]), trial(1, [0.2, 0.3])]
    said = page(trials, choose(trials), table(trials, choose(trials)))
    assert "of Souk's own models as they would be served, re-ranked" in said


def test_the_same_seed_draws_the_same_and_another_one_others():
    before = [trial(n, [n / 10]) for n in range(6)]
    for number in (1, 2):
        assert draw(CONFIG, 12, 5, number, before) == draw(CONFIG, 12, 5, number, before)
        assert draw(CONFIG, 12, 5, number, before)[1:] != draw(CONFIG, 12, 6, number, before)[1:]


def test_each_seed_that_libraries_take_draws_both_rounds():
    for number in (1, 2):
        assert len(draw(CONFIG, 4, 2**32 - 1, number, [])) == 2


def test_the_second_round_goes_where_the_first_did_well():
    """The score is the temperature's nearness to 0.7: the second round is nearer to it than chance."""
    name = "train_two_tower.temperature"
    first = draw(CONFIG, 40, 3, 1, [])
    told = [Trial(n, s, gains={"u": -abs(float(np.log(s[name] / 0.7)))}) for n, s in first]
    second = [settings for _, settings in draw(CONFIG, 40, 3, 2, told)]
    away = [np.mean([abs(np.log(s[name] / 0.7)) for s in some]) for some in ([s for _, s in first[1:]], second)]
    assert away[1] < 0.7 * away[0]


def test_a_drawn_number_is_not_rounded_out_of_the_bounds_that_a_config_sets(monkeypatch):
    """Bounds of more digits than a drawn number has: the second round would refuse what the first one drew."""
    name, (low, high) = "train_two_tower.temperature", (0.700041, 0.700049)
    monkeypatch.setitem(RANGES, name, (low, high))
    config = CONFIG | {"train_two_tower": CONFIG["train_two_tower"] | {"temperature": low}}
    first = draw(config, 6, 5, 1, [])
    second = draw(config, 6, 5, 2, [Trial(n, settings, gains={"u": n / 10}) for n, settings in first])
    assert all(low <= settings[name] <= high for _, settings in (*first, *second))


def test_one_trial_alone_is_no_search():
    with pytest.raises(SoukError, match="at least 2"):
        draw(CONFIG, 1, 5, 1, [])


def test_the_best_on_validation_is_chosen_and_ties_go_to_the_config():
    low, high = [0.1, 0.2, 0.3] * 10, [0.4, 0.6, 0.5] * 10
    choice = choose([trial(0, low), trial(1, high), trial(2, low)])
    assert (choice.best.number, choice.certain) == (1, True)
    assert choice.gain.mean == pytest.approx(0.3)
    assert choose([trial(0, low), trial(1, low)]).best.number == 0
    assert "Nothing was better" in choose([trial(0, low), trial(1, low)]).verdict


def test_a_gain_that_may_be_chance_is_warned_of_and_many_trials_make_it_harder():
    usual, better = [0.5] * 40, [0.9] * 6 + [0.45] * 34
    choice = choose([trial(0, usual), trial(1, better)])
    assert choice.best.number == 1
    assert choice.gain.low < 0 < choice.gain.mean
    assert choice.verdict.startswith("Warning")
    steady = [0.5 + 0.1 * (place % 5 == 0) - 0.005 for place in range(40)]
    alone = choose([trial(0, usual), trial(1, steady)])
    many = choose([trial(0, usual), trial(1, steady), *(trial(n, usual) for n in range(2, 200))])
    assert alone.gain.low > many.gain.low


def test_a_gain_is_each_users_own():
    """Users differ by much, and each gains the same."""
    usual = [place / 40 for place in range(40)]
    choice = choose([trial(0, usual), trial(1, [score + 0.01 for score in usual])])
    assert (choice.gain.low, choice.gain.mean) == pytest.approx((0.01, 0.01)) and choice.certain


def test_a_gain_that_may_be_none_is_not_certain():
    """One user of forty gains, whom two resamplings in five do not draw."""
    choice = choose([trial(0, [0.5] * 40), trial(1, [0.9] + [0.5] * 39)])
    assert (choice.best.number, choice.gain.low, choice.certain) == (1, 0.0, False)
    assert choice.verdict.startswith("Warning")


@pytest.mark.parametrize(("users", "certain"), [(3, False), (LEAST_USERS - 1, False), (LEAST_USERS, True)])
def test_a_gain_of_few_users_is_not_certain(users, certain):
    """The interval of so few is too narrow, wherever it lies (docs/evaluation.md)."""
    usual, better = [0.5] * users, [0.5 + 0.1 * (1 + place % 2) for place in range(users)]
    choice = choose([trial(0, usual), trial(1, better)])
    assert (choice.gain.low > 0, choice.certain, choice.users) == (True, certain, users)
    few = f"of {users} users, and fewer than 20 tell nothing for certain"
    assert (few in choice.verdict) is choice.verdict.startswith("Warning") is not certain


def test_bounds_that_lie_further_out_rest_on_more_resamplings(monkeypatch):
    asked = []

    def bootstrap(values, samples, seed, level):
        asked.append((samples * (1 - level), level))
        return Interval(0.1, 0.0, 0.2)

    monkeypatch.setattr("souk.tuning.trials.bootstrap", bootstrap)
    for others in (1, 11):
        choose([trial(number, [number / 20] * 30) for number in range(others + 1)])
    (one, _), (many, level) = asked
    assert one == pytest.approx(many) and level == pytest.approx(1 - 0.05 / 11)


def test_trials_without_a_figure_are_told_and_not_chosen():
    trials = [trial(0, [0.5]), trial(1, [], error="killed by signal 9"), trial(2, [0.4])]
    choice = choose(trials)
    assert choice.best.number == 0
    lines = table(trials, choice).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:5]] == ["0 (config) **chosen**", "2", "1"]
    assert "killed by signal 9" in lines[4]
    with pytest.raises(SoukError, match="killed by signal 9"):
        choose(trials[1:2])


def test_without_a_figure_of_the_config_there_is_no_gain():
    choice = choose([trial(0, [], error="crashed"), trial(1, [0.4])])
    assert choice.best.number == 1
    assert "no figure to compare" in choice.verdict


def tried(tmp_path, monkeypatch, code, number=1, **environment):
    """A trial whose process runs `code` instead."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    run = step._run
    monkeypatch.setattr(step, "_run", lambda command, seconds: run([command[0], "-c", code, *command[3:]], seconds))
    text = json.dumps({"number": number, "settings": {"train_two_tower.dim": 8}})
    metrics = step.tune_trial("{}", "{}", "{}", text, 0, str(tmp_path / "ws"), "", str(tmp_path / "result"))
    return metrics, read_trial(tmp_path / "result")


@pytest.mark.parametrize(
    ("code", "error"),
    [("import os; os.kill(os.getpid(), 9)", "signal 9"), ("import sys; sys.exit(3)", "exit code 3")],
)
def test_a_process_that_dies_is_a_trial_without_a_figure(tmp_path, monkeypatch, code, error):
    metrics, found = tried(tmp_path, monkeypatch, code)
    assert metrics is None
    assert error in found.error
    assert found.settings == {"train_two_tower.dim": 8}


def test_a_trial_works_in_a_folder_of_the_workspace_that_nobody_finds_again(tmp_path, monkeypatch):
    """Its process is killed; and before that, another run of the same trial was, with the step around it."""
    leave = "import os, sys; os.makedirs(sys.argv[-1]); open('where', 'w').write(sys.argv[-1]); os.kill(os.getpid(), 9)"
    monkeypatch.chdir(tmp_path)
    for _ in range(2):  # makedirs fails where the folder is there
        _, found = tried(tmp_path, monkeypatch, leave)
        assert "signal 9" in found.error
        scratch = Path((tmp_path / "where").read_text())
        assert scratch.parent == tmp_path / "ws" / "checkpoints"
        assert not scratch.exists()
        scratch.mkdir()


def test_when_the_time_is_up_only_the_config_as_it_is_runs(tmp_path, monkeypatch):
    metrics, found = tried(tmp_path, monkeypatch, "raise SystemExit(5)", SOUK_TUNE_UNTIL="1")
    assert (metrics, found.error) == (None, "not started: no time")
    _, found = tried(tmp_path, monkeypatch, "raise SystemExit(5)", number=0, SOUK_TUNE_UNTIL="1")
    assert "exit code 5" in found.error


def test_parallel_is_written_into_both_rounds():
    spec = at_once(load_pipeline("tuning"), 1)
    limits = [t["iteratorPolicy"] for t in spec["root"]["dag"]["tasks"].values() if "iteratorPolicy" in t]
    assert limits == [{"parallelismLimit": 1}] * 2
