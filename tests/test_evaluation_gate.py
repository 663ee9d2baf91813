"""The gate on really different models: every one ranks the catalogue for a whole test window, and is better, equal or
worse by construction."""

import copy
import json
from typing import Any

import pytest

from souk.config import Evaluate, parse_config
from souk.errors import SoukError
from souk.evaluation.gate import Champion, judge, without_lost
from souk.evaluation.guardrails import RULES
from tests.gate_fixtures import ITEMS, NEW, Made, gate_setting, measured, town
from tests.marketplace import CONFIG

SETTINGS = Evaluate(bootstrap=200)
BAR = 0.3  # the champion's chance of a hit


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    return gate_setting(tmp_path_factory.mktemp("gate"))


@pytest.fixture(scope="module")
def judged(setting):
    """A verdict on a challenger and a champion, each measured once; of the chance `BAR` where nothing is said."""
    done = {}

    def against(ours, theirs=(), settings=SETTINGS):
        key = tuple(ours.items()), tuple(dict(theirs).items())
        if key not in done:
            made = [
                Made(setting.catalogue, name, **({"chance": lambda query: BAR, "seed": seed} | dict(values)))
                for name, seed, values in (("slate", 1, ours), ("champion", 2, theirs))
            ]
            done[key] = measured(setting, *made)
        return judge(*done[key], "old", settings)

    return against


def better(query):
    return 0.6


def failed(verdict):
    return [rule.name for rule in verdict.rules if not rule.passed]


def rule_of(verdict, name):
    return next(rule for rule in verdict.rules if rule.name == name)


def test_a_better_one_passes(judged):
    verdict = judged({"chance": better})
    assert (verdict.outcome, failed(verdict)) == ("promote", [])
    assert [rule.name for rule in verdict.rules] == ["beats_champion", *RULES]
    assert [rule.name for rule in verdict.rules if rule.skipped] == ["size"]  # these models lie in no folder


def test_an_equal_one_does_not_pass_unless_that_is_asked(judged):
    verdict = judged({})
    assert (verdict.outcome, failed(verdict)) == ("reject", ["beats_champion"])
    asked = judged({}, settings=SETTINGS.model_copy(update={"margin": -0.1}))
    assert (asked.outcome, failed(asked)) == ("promote", [])


def test_a_worse_one_fails(judged):
    verdict = judged({"chance": lambda query: 0.05})
    assert verdict.outcome == "reject"
    assert failed(verdict)[:2] == ["beats_champion", "worst_slice"]


def test_a_lead_below_the_margin_is_not_enough(judged):
    verdict = judged({"chance": better}, settings=SETTINGS.model_copy(update={"margin": 0.5}))
    assert failed(verdict) == ["beats_champion"]


def test_one_that_is_better_on_average_and_worse_for_a_town_fails(judged):
    verdict = judged({"chance": lambda query: 0.05 if town(query.user_id) == "south" else 0.9})
    numbers = rule_of(verdict, "beats_champion").numbers
    assert numbers["low"] > 0
    assert failed(verdict) == ["worst_slice"]
    assert verdict.outcome == "reject"
    assert rule_of(verdict, "worst_slice").numbers["slice"] == "user town: south"
    assert "; worst_slice: ndcg@10 of user town: south (100 users)" in verdict.reason


def new_item(query):
    return (query.targets >= ITEMS - NEW).any()


BROKEN: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "cold_items": ({"chance": lambda query: 0.02 if new_item(query) else 0.9}, {}),
    "coverage": ({"chance": lambda query: (query.targets % 2 == 0).all(), "fill": 30}, {}),
    "popularity_bias": ({"chance": better, "popular": 0.9}, {"popular": 0.1}),
    "calibration": ({"chance": better, "predicted": 0.3}, {"predicted": 0.1}),
    "latency": ({"chance": better, "seconds": 0.0021}, {}),
    "size": ({"chance": better, "folder": "large"}, {"folder": "small"}),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    for name, size in (("small", 1000), ("large", 2001)):
        (root / name / "part").mkdir(parents=True)
        (root / name / "part" / "weights").write_bytes(bytes(size))
    return root


@pytest.mark.parametrize("name", BROKEN)
def test_each_guardrail_alone_stops_a_better_one(judged, folders, name):
    ours, theirs = ({k: folders / v if k == "folder" else v for k, v in part.items()} for part in BROKEN[name])
    verdict = judged(ours, theirs)
    assert rule_of(verdict, "beats_champion").passed
    assert (verdict.outcome, failed(verdict)) == ("reject", [name])
    assert verdict.broken == (name,)
    lead = rule_of(verdict, "beats_champion").detail
    assert verdict.reason.startswith(f"better, but a guardrail broke: {name}. {lead}; {name}: ")
    assert f"(evaluate.{name} {getattr(SETTINGS, name)}" in verdict.reason


def test_a_head_that_errs_less_than_the_champions_stops_nobody(judged):
    verdict = judged({"chance": better, "predicted": 0.3}, {"predicted": 0.9})
    assert verdict.outcome == "promote"
    numbers = rule_of(verdict, "calibration").numbers
    assert numbers["limit"] < numbers["challenger"] < numbers["champion"]


def with_figures(metrics, calibration_error, share):
    """With two like models: an expected calibration error and a share of the places, each beside a third of it."""
    metrics = copy.deepcopy(metrics)
    rolling = metrics["protocols"]["rolling"]
    for model, part in (("slate", 1.0), ("champion", 1 / 3)):
        rolling["models"][model]["top1_share@10"]["mean"] = part * share
        for head in metrics["ranker"][model]["heads"].values():
            head |= {"examples": 100_000, "positives": 250, "calibration_error": part * calibration_error}
    rise = share * 2 / 3
    rolling["differences"]["champion"]["top1_share@10"] = {"mean": rise, "low": 0.99 * rise, "high": 1.01 * rise}
    return metrics


@pytest.mark.parametrize(
    ("error", "share", "changes", "expected"),
    [
        (0.0016, 0.031, {}, []),
        (0.0024, 0.031, {}, ["calibration"]),
        (0.0016, 0.061, {}, ["popularity_bias"]),
        (0.0024, 0.061, {}, ["popularity_bias", "calibration"]),
        (0.0016, 0.031, {"calibration_floor": 0.0, "popularity_bias_floor": 0.0}, ["popularity_bias", "calibration"]),
        (0.0024, 0.061, {"calibration_floor": 0.003, "popularity_bias_floor": 0.07}, []),
    ],
)
def test_what_lies_below_its_floor_does_no_harm(broken, error, share, changes, expected):
    metrics, per_user = with_figures(broken[0], error, share), broken[1]
    verdict = judge(metrics, per_user, "old", SETTINGS.model_copy(update={"size": None, **changes}))
    assert (failed(verdict), verdict.broken) == (expected, tuple(expected))
    if len(expected) == 2:
        assert verdict.reason.startswith("better, but guardrails broke: popularity_bias, calibration. ndcg@10 0.")
        floor = changes.get("calibration_floor", SETTINGS.calibration_floor)
        assert verdict.reason.endswith(f"(evaluate.calibration 0.4, evaluate.calibration_floor {floor})")


def test_one_that_is_no_better_is_not_called_better(broken):
    verdict = judge(*broken, "old", SETTINGS.model_copy(update={"margin": 0.9}))
    assert (failed(verdict), verdict.broken) == (["beats_champion", "calibration", "size"], ())
    assert verdict.reason.startswith("ndcg@10 0.")


@pytest.mark.parametrize(("error", "passes"), [(1.0, False), (0.5, False), (0.9, False), (0.1, True)])
def test_a_rare_head_is_held_to_its_share_of_positives(broken, error, passes):
    metrics, per_user = copy.deepcopy(broken[0]), broken[1]
    for model, times in (("slate", error), ("champion", 0.05)):  # to predict 0, half, and 1.9 times the truth
        for head in metrics["ranker"][model]["heads"].values():
            head |= {"examples": 100_000, "positives": 500, "calibration_error": times * 0.005}
    verdict = judge(metrics, per_user, "old", SETTINGS.model_copy(update={"size": None}))
    assert rule_of(verdict, "calibration").passed == passes


@pytest.fixture(scope="module")
def broken(setting, folders):
    """The metrics of a challenger that breaks two guardrails."""
    small, large = folders / "small", folders / "large"
    made = [
        Made(setting.catalogue, "slate", better, seed=1, predicted=0.3, folder=large),
        Made(setting.catalogue, "champion", lambda query: BAR, seed=2, folder=small),
    ]
    return measured(setting, *made)


def test_every_guardrail_can_be_turned_off(broken):
    assert failed(judge(*broken, "old", SETTINGS)) == ["calibration", "size"]
    half = judge(*broken, "old", SETTINGS.model_copy(update={"size": None}))
    assert failed(half) == ["calibration"]
    off = judge(*broken, "old", SETTINGS.model_copy(update=dict.fromkeys(RULES)))
    assert off.outcome == "promote"
    assert all(rule.skipped and "null" in rule.detail for rule in off.rules[1:])


def test_what_is_allowed_is_the_configs(broken):
    allowed = SETTINGS.model_copy(update={"size": 1.002, "calibration": None})
    assert judge(*broken, "old", allowed).outcome == "promote"  # 2,001 bytes beside 1,000


def test_the_verdict_is_json_with_every_number(broken):
    told = json.loads(judge(*broken, "old", SETTINGS).to_json())
    assert (told["verdict"], told["champion"]) == ("reject", "old")
    assert [rule["name"] for rule in told["rules"]] == ["beats_champion", *RULES]
    assert all(rule["numbers"] and rule["detail"] for rule in told["rules"])
    first, size = told["rules"][0]["numbers"], told["rules"][-1]["numbers"]
    assert first["challenger"] - first["champion"] == pytest.approx(first["difference"])
    assert first["users"] == 400
    assert size == {"challenger": 2001, "champion": 1000, "limit": 2000.0, "allowed": 1.0}


def much_better_in_the_north(query):
    return 0.2 if town(query.user_id) == "south" else 0.8


@pytest.mark.parametrize(("column", "passed"), [("town", False), ("age", True)])
def test_parity_is_asked_of_the_columns_of_the_config(judged, column, passed):
    asked = SETTINGS.model_copy(update={"segment_parity": {column: 0.3}, "worst_slice": None})
    verdict = judged({"chance": much_better_in_the_north}, settings=asked)
    rule = rule_of(verdict, f"segment_parity_{column}")
    assert (rule.passed, verdict.outcome) == (passed, "promote" if passed else "reject")
    if column == "town":
        assert (rule.numbers["highest"], rule.numbers["lowest"]) == ("user town: north", "user town: south")
        assert 0.3 < rule.numbers["low"] < rule.numbers["gap"] < 1.5
        assert rule.numbers["gap"] - rule.numbers["low"] == pytest.approx(rule.numbers["high"] - rule.numbers["gap"])


@pytest.mark.parametrize(("chance", "outcome"), [(0.4, "promote"), (0.0, "reject")])
def test_the_first_release_has_to_beat_popularity_and_nothing_else(setting, chance, outcome):
    metrics, per_user = measured(setting, Made(setting.catalogue, "slate", lambda query: chance, predicted=0.9))
    verdict = judge(metrics, per_user, "", SETTINGS)
    assert verdict.outcome == outcome
    assert [rule.name for rule in verdict.rules] == ["beats_popularity", *RULES]
    assert all(rule.skipped and rule.passed for rule in verdict.rules[1:])


@pytest.mark.parametrize(
    ("low", "high", "words"), [(-0.3, -0.1, "behind"), (0.1, 0.3, "ahead of"), (-0.1, 0.1, "not certainly ahead of")]
)
def test_the_first_release_is_told_beside_the_best_baseline_which_decides_nothing(setting, low, high, words):
    metrics, per_user = measured(setting, Made(setting.catalogue, "slate", better))
    rolling = metrics["protocols"]["rolling"]
    rolling["best_baseline"] = "popularity"
    alone = judge(metrics, per_user, "", SETTINGS)
    assert "best baseline" not in alone.reason, "it is what had to be beaten"
    rolling["best_baseline"] = "item_knn"
    rolling["models"]["item_knn"]["ndcg@10"]["mean"] = 0.25
    rolling["differences"]["item_knn"]["ndcg@10"] = {"mean": (low + high) / 2, "low": low, "high": high}
    told = judge(metrics, per_user, "", SETTINGS)
    rules = ([(r.name, r.passed, r.numbers) for r in verdict.rules if not r.warning] for verdict in (told, alone))
    assert (told.outcome, alone.outcome, next(rules)) == ("promote", "promote", next(rules))
    assert told.reason == (
        f"{alone.reason}. It is {words} the best baseline, item_knn 0.2500: difference {(low + high) / 2:+.4f} "
        f"(95% {low:+.4f} to {high:+.4f}), which is told and decides nothing"
    )
    assert "best baseline" not in judge(metrics, per_user, "popularity", SETTINGS).reason


def test_what_too_few_say_is_not_asked(broken):
    metrics, per_user = broken
    rolling = metrics["protocols"]["rolling"]
    few = {name: part | {"users": 49} for name, part in rolling["slices"].items()}
    heads = {"heads": {"engaged": metrics["ranker"]["slate"]["heads"]["engaged"] | {"examples": 999}}}
    told = metrics | {
        "protocols": {"rolling": rolling | {"slices": few, "against_champion": {}}},
        "ranker": metrics["ranker"] | {"slate": heads},
        "cost": {name: {"bytes": 0, "calls": 4, "milliseconds": 1.0} for name in ("slate", "champion")},
    }
    asked = SETTINGS.model_copy(update={"segment_parity": {"shoe": 0.1}})
    verdict = judge(told, per_user, "old", asked)
    skips = [rule.name for rule in verdict.rules if rule.skipped]
    assert skips == ["worst_slice", "cold_items", "calibration", "latency", "size", "segment_parity_shoe"]
    assert verdict.outcome == "promote"


@pytest.mark.parametrize(
    ("parity", "words"),
    [({"regon": 0.1}, "Did you mean 'region'"), ({"about": 0.1}, "of kind text"), ({"region": -0.1}, "greater")],
)
def test_parity_of_a_column_that_has_no_values_to_compare_is_an_error(parity, words):
    columns = {"users": {"region": "categorical", "about": "text"}}
    with pytest.raises(SoukError, match=words):
        parse_config(json.dumps({**CONFIG, "columns": columns, "evaluate": {"segment_parity": parity}}))


def test_a_verdict_without_the_damaged_champion_says_so(setting):
    metrics, per_user = measured(setting, Made(setting.catalogue, "slate", better))
    alone = judge(metrics, per_user, "", SETTINGS)
    assert without_lost(alone, Champion("old")) == alone
    told = without_lost(alone, Champion("old", whole=False))
    assert (told.outcome, told.champion) == ("promote", "old")
    assert told.reason.endswith("old is served, but it was not compared with: it is damaged")
    assert not any("nothing is served" in rule.detail for rule in told.rules)
