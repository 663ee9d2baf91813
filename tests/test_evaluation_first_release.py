"""The gate on a first release beside the best baseline: a warning, or what the config asks for."""

import copy
import json
import math
import sys
from types import SimpleNamespace

import pytest

from souk.cli.run import _tell_success
from souk.cli.view import RunView
from souk.config import Evaluate
from souk.evaluation.gate import judge
from souk.evaluation.report import page
from souk.workspace import Workspace
from tests.gate_fixtures import Made, gate_setting, measured

SETTINGS = Evaluate(bootstrap=200)
POPULAR, BEST = 0.2, 0.4  # chances of a hit of two baselines: what they rank is made up, too


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    return gate_setting(tmp_path_factory.mktemp("gate"))


@pytest.fixture(scope="module")
def made(setting):
    """The figures of a slate with a chance of a hit, measured once, beside two baselines with theirs."""
    done = {}

    def of(chance):
        if chance not in done:
            slate = Made(setting.catalogue, "slate", lambda query: chance)
            done[chance] = measured(setting, slate, others=baselines(setting))
        return done[chance]

    return of


def baselines(setting):
    """Popularity, and sequential rules that are better."""
    chances = (("popularity", 8, POPULAR), ("co_visitation", 9, BEST))
    return [Made(setting.catalogue, name, lambda query, own=own: own, seed) for name, seed, own in chances]


def asked(of_made, margin=None):
    return judge(*of_made, "", Evaluate(bootstrap=200, baseline_margin=margin))


@pytest.mark.parametrize(("chance", "warned"), [(0.3, True), (0.42, False), (0.6, False)])
def test_a_first_release_behind_the_best_baseline_is_promoted_with_a_warning(made, chance, warned):
    verdict = asked(made(chance))
    assert (verdict.outcome, verdict.broken) == ("promote", ())
    assert [rule.name for rule in verdict.rules if rule.warning] == ["beats_co_visitation"] * warned
    told = [rule for rule in json.loads(verdict.to_json())["rules"] if rule["warning"]]
    if warned:
        assert told[0]["detail"].startswith("behind the best baseline, co_visitation 0.") and told[0]["passed"]
        assert told[0]["numbers"]["high"] < 0
    assert not any(rule.warning for rule in judge(*made(chance), "popularity", Evaluate(bootstrap=200)).rules)


def test_what_a_challenger_may_lose_to_a_champion_a_first_release_may_not_lose_to_popularity(made):
    verdict = judge(*made(0.0), "", Evaluate(bootstrap=200, margin=-0.9))
    assert (verdict.outcome, verdict.rules[0].name, verdict.rules[0].numbers["margin"]) == (
        "reject",
        "beats_popularity",
        0.0,
    )


@pytest.mark.parametrize(
    ("low", "mean", "high", "where"),
    [(-0.03, -0.001, 0.02, "not certainly ahead of"), (-0.03, -0.02, -0.01, "behind"), (0.01, 0.02, 0.03, "ahead of")],
)
def test_what_chance_alone_puts_behind_is_not_told_to_be_behind(made, low, mean, high, where):
    metrics, per_user = copy.deepcopy(made(0.6))
    lead = metrics["protocols"]["rolling"]["differences"]["co_visitation"][SETTINGS.primary]
    lead |= {"low": low, "mean": mean, "high": high}
    first, *warned = judge(metrics, per_user, "", SETTINGS).rules
    assert f"It is {where} the best baseline" in first.detail
    assert [rule.name for rule in warned if rule.warning] == ["beats_co_visitation"] * (where == "behind")


@pytest.mark.parametrize(("chance", "share", "told"), [(0.1, 0.5, True), (0.1, 0.49, False), (0.6, 0.5, False)])
def test_a_rejection_says_where_what_was_shown_decides(made, chance, share, told):
    """Where half of the queries have a logged slate, and a first release or a champion's challenger is not ahead."""
    metrics, per_user = copy.deepcopy(made(chance))
    queries = metrics["protocols"]["rolling"]["queries"]
    slates = math.ceil(share * queries)
    metrics["ranker"]["slate"]["shown"] = {"slates": slates}
    for champion, figures in (("", per_user), ("old", per_user.replace("popularity", "champion"))):
        rule = judge(metrics, figures, champion, SETTINGS).rules[0]
        assert (f"{slates:,} of the {queries:,} queries have a logged slate: what" in rule.detail) == told


@pytest.mark.parametrize("queries", [0, 400])
def test_where_no_slate_was_logged_nothing_is_said_of_slates(made, queries):
    metrics, per_user = copy.deepcopy(made(0.1))
    metrics["protocols"]["rolling"]["queries"] = queries
    assert "logged slate" not in judge(metrics, per_user, "", SETTINGS).rules[0].detail


def test_of_a_release_that_is_rejected_nothing_is_warned(made):
    verdict = asked(made(0.1))
    assert verdict.outcome == "reject" and not any(rule.warning for rule in verdict.rules)


@pytest.mark.parametrize(
    ("chance", "margin", "outcome"),
    [
        (0.3, 0.0, "reject"),
        (0.42, 0.0, "reject"),
        (0.42, -0.2, "promote"),
        (0.3, -0.05, "reject"),
        (0.6, 0.0, "promote"),
    ],
)
def test_the_config_has_it_lead_the_best_baseline_or_be_not_worse(made, chance, margin, outcome):
    verdict = asked(made(chance), margin)
    rule = verdict.rules[0]
    assert (verdict.outcome, rule.name, rule.numbers["margin"]) == (outcome, "beats_co_visitation", margin)
    assert "decides nothing" not in verdict.reason and not any(each.warning for each in verdict.rules)


def test_the_warning_is_in_the_report_and_what_a_run_prints(made, tmp_path, capsys):
    metrics, per_user = made(0.3)
    verdict = asked((metrics, per_user))
    assert '<td>beats_co_visitation</td>\n<td class="worse">\nwarning</td>' in page(metrics, verdict)
    (tmp_path / "verdict.json").write_text(verdict.to_json(), "utf-8")
    view = RunView(sys.stdout, sys.stderr)
    view.outputs = {"evaluate": {"Output": "promote", "evaluation": SimpleNamespace(path=str(tmp_path))}}
    _tell_success(view, Workspace(tmp_path / "workspace"), None, tmp_path / "run.log")
    _, warning, *_ = capsys.readouterr().out.splitlines()
    assert warning.startswith("          WARNING: the slate is behind the best baseline, co_visitation 0.")
