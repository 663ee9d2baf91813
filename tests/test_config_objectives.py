"""Objectives beyond two: their names, their weights, and that configs of two stay what they were."""

import json

import pytest

from souk.config import TrainRanker, parse_config, parse_step_config
from souk.config.objectives import OBJECTIVE_NAME, TAKEN_NAMES, Objectives
from souk.errors import SoukError
from souk.features.columns import example_schema
from souk.models.ranker import Ranker
from souk.models.towers import TowerShape
from souk.serving.impressions.records import OBJECTIVES, SCHEMA
from souk.spec import FeatureSpec
from souk.steps.train_ranker import fixed_weights
from tests.features_fixtures import spec_of

TWO = """
name: shop
data: {events: {path: events.csv}}
objectives:
  engaged: {events: [click, purchase]}
  satisfied: {events: [click], min_value: 4, weight: 0.5}
"""
KEPT = "  kept: {events: [purchase], unless: [return], within_days: 30, weight: 0.3}\n"
AGAIN = "  again: {events: [click], followed_by: [click], any_item: true, from_days: .02, within_days: 7, weight: 0}\n"


def test_any_name_beside_the_two_is_an_objective_given_engagement():
    config = parse_config(TWO + KEPT + AGAIN)
    assert [*config.objectives.given] == ["satisfied", "again", "kept"], "in one order, however they are written"
    assert config.objectives.names == ("engaged", "satisfied", "again", "kept")
    assert config.objectives.given["kept"].within_days == 30
    spec = spec_of(config)
    assert FeatureSpec.from_json(spec.to_json()) == spec and spec.hash != spec_of(parse_config(TWO + KEPT)).hash
    assert spec.weights({"satisfied": 3.0}) == {"engaged": 1.0, "satisfied": 0.5, "again": 0.0, "kept": 0.3}
    read = parse_step_config("build_features", config.for_step("build_features"))
    assert read.objectives == config.objectives
    assert json.loads(config.for_step("ingest"))["objectives"].keys() == {"engaged"}, "rows are accepted as before"


def test_the_spec_of_two_objectives_has_the_hash_of_before_there_were_more():
    assert spec_of(parse_config(TWO)).hash == "236c2dfff47f"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("kept: {events: [click]}", ["a number as objectives.kept.weight", "only that of satisfied is tuned"]),
        ("kept: {events: [rating], weight: 1}", ["objectives.kept.events", "objectives.engaged.events", "rating"]),
        ("kept: {evnts: [click], weight: 1}", ["objectives.kept.evnts", "Did you mean 'events'"]),
        ("slate_kept: {events: [click], weight: 1}", ["context_, slate_, gate_, cross_, expert_)"]),
        ("kept: {events: [click], weight: 1000001}", ["kept.weight: less than or equal to 1000000, or auto"]),
        ("kept: {events: [click], min_dwell_seconds: -5, weight: 1}", ["kept.min_dwell_seconds: greater than or"]),
        ("kept: {events: [purchase], unless: [return], followed_by: [return], within_days: 3, weight: 1}",
         ["objectives.kept.unless and followed_by of different events. Received: return in both."]),
        ("kept: 3", ["objectives.kept: a section with keys events, ", "and weight"]),
        *[(f"{name}: {{events: [click], weight: 1}}", ["name", f"objectives.{name}."]) for name in
          ("score", "user_id", "timestamp", "items", "Kept", "kept-long", "item_price", "context_device", "query_hour",
           "satisfied_at", "order", "level", "gate_engaged", "slate_satisfied")],
    ],
)  # fmt: skip
def test_what_cannot_be_an_objective_is_refused_before_anything_runs(line, words):
    with pytest.raises(SoukError) as error:
        parse_config(f"{TWO}  {line}\n", "my.yaml")
    assert all(word in str(error.value) for word in ["my.yaml", *words]), error.value


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("{events: [rating], min_value: 4}",
         ["satisfied: {events: [click, purchase], followed_by: [rating], within_days: 7}",
          "add rating to objectives.engaged.events, which min_value needs."]),
        ("{events: [rating, cart], unless: [return], within_days: 30}",
         ["followed_by: [rating, cart], within_days: 30}", "add rating, cart to objectives.engaged.events."]),
    ],
)  # fmt: skip
def test_satisfaction_of_no_engagement_is_refused_with_what_to_write(rule, words):
    text = TWO.replace("{events: [click], min_value: 4, weight: 0.5}", rule)
    with pytest.raises(SoukError) as error:
        parse_config(text, "my.yaml")
    assert all(word in str(error.value) for word in ["my.yaml", "objectives.satisfied.events", *words]), error.value


@pytest.mark.parametrize(
    ("engaged", "rule", "told"),
    [
        ("purchase", "{events: [click], followed_by: [purchase], unless: [return], within_days: 13}",
         "Write what is to come of it as satisfied: {events: [purchase], unless: [return], within_days: 13}, or let "
         "objectives.engaged.events be click alone, the first step."),
        ("purchase", "{events: [click], followed_by: [purchase], within_days: 13}",
         "label. Let objectives.engaged.events be click alone, the first step."),
        ("click", "{events: [cart], followed_by: [purchase], unless: [return], within_days: 3}",
         "satisfied: {events: [click], unless: [return], followed_by: [purchase], within_days: 3}, or add cart to obj"),
        ("purchase", "{events: [click], followed_by: [click], any_item: true, from_days: .5, within_days: 3}",
         "{events: [purchase], followed_by: [click], any_item: true, from_days: 0.5, within_days: 3}, or let"),
        ("cart", "{events: [click, purchase], within_days: 3}",
         "{events: [cart], followed_by: [purchase], within_days: 3}, or add click, purchase to"),
    ],
)  # fmt: skip
def test_what_comes_before_an_engagement_is_not_asked_for_after_it(engaged, rule, told):
    """The advice keeps what undoes satisfaction, and what was to follow."""
    text = TWO.replace("[click, purchase]", f"[{engaged}]").replace(
        "{events: [click], min_value: 4, weight: 0.5}", rule
    )
    with pytest.raises(SoukError) as error:
        parse_config(text, "my.yaml")
    assert told in str(error.value)
    if ": {events" in told:  # what it proposes is taken
        proposed = told.partition("satisfied: ")[2].partition("}")[0] + "}"
        parse_config(text.replace(rule, proposed))


@pytest.mark.parametrize(
    ("rule", "waits"),
    [
        ("{events: [purchase], min_value: 4, unless: [return]}", "unless may"),
        ("{events: [click], followed_by: [purchase]}", "followed_by may"),
        ("{events: [click], followed_by: [click], any_item: true, unless: [hide]}", "unless and followed_by may"),
    ],
)
def test_what_is_to_come_has_days_to_come_in(rule, waits):
    """In none it never comes: all labels would be 1, or all 0."""
    text = TWO.replace("{events: [click], min_value: 4, weight: 0.5}", rule)
    with pytest.raises(SoukError) as error:
        parse_config(text, "my.yaml")
    told = f"my.yaml: objectives.satisfied.within_days above 0, the days in which {waits} come"
    assert told in str(error.value) and "Add within_days: 7" in str(error.value)
    parse_config(text.replace(rule, rule.replace("}", ", within_days: 7}")))
    with pytest.raises(SoukError, match=r"objectives\.kept\.within_days above 0"):
        parse_config(TWO + KEPT.replace("within_days: 30, ", ""))


def test_a_release_of_such_an_objective_is_still_read():
    objectives = {"engaged": {"events": ["click"]}, "satisfied": {"events": ["rating"], "unless": ["return"]}}
    assert [*Objectives.model_validate(objectives).given] == ["satisfied"]


def test_the_tuned_weight_is_beside_that_of_engaged_whatever_it_is():
    """Two shops that differ by the square of every score have the same slates."""
    text = TWO.replace("events: [click, purchase]}", "events: [click, purchase], weight: 2}").replace(
        ", weight: 0.5", ""
    )
    spec = spec_of(parse_config(text + KEPT))
    half = spec_of(parse_config(TWO.replace(", weight: 0.5", "") + KEPT.replace("0.3", "0.15")))
    assert fixed_weights(spec) == fixed_weights(half) == ({"kept": 0.15}, "this fit")
    assert spec.weights({"satisfied": 3.0}) == {"engaged": 2.0, "satisfied": 6.0, "kept": 0.3}
    assert half.weights({"satisfied": 3.0}) == {"engaged": 1.0, "satisfied": 3.0, "kept": 0.15}
    with pytest.raises(SoukError, match=r"a number as objectives\.satisfied\.weight where objectives\.engaged"):
        parse_config(text.replace("weight: 2", "weight: 0"))
    alone = text.replace("weight: 2", "weight: 0").replace("min_value: 4", "min_value: 4, weight: 0.5")
    assert fixed_weights(spec_of(parse_config(alone))) == ({"engaged": 0.0, "satisfied": 0.5}, "the config")


@pytest.mark.parametrize(
    ("given", "window", "reasons", "expected"),
    [
        (", weight: auto", "release", {"kept": "too few"}, ({"kept": 0.15, "satisfied": 3.0}, "the twin")),
        (", weight: auto", "release", {"satisfied": "too few"}, ({"kept": 0.15}, "this fit")),
        (", weight: auto", "twin", {}, ({"kept": 0.15}, "this fit")),  # which is still to be judged
        (", weight: 0.5", "release", {}, ({"kept": 0.15, "satisfied": 0.25}, "the config")),
    ],
)
def test_a_weight_is_of_the_config_or_of_a_twin_that_could_learn_it(tmp_path, given, window, reasons, expected):
    text = TWO.replace(", weight: 0.5", given).replace(
        "events: [click, purchase]}", "events: [click, purchase], weight: 2}"
    )
    twin = {"objectives": {"engaged": 1.0, "satisfied": 3.0}, "not_learned": reasons}
    (tmp_path / "training.json").write_text(json.dumps(twin), encoding="utf-8")
    assert fixed_weights(spec_of(parse_config(text + KEPT)), window, str(tmp_path)) == expected


def test_no_name_of_an_objective_can_be_that_of_a_column_or_of_a_part_of_the_ranker():
    config = parse_config(TWO)
    spec = spec_of(config)
    own = {column for name in spec.objectives.given for column in (name, f"{name}_at")}
    columns = {*example_schema(spec).names, *SCHEMA.names} - own - {*OBJECTIVES}
    ranker = Ranker(TowerShape({}, 8), TrainRanker(), spec.objectives.given)
    parts = {layer.name for of in (ranker, ranker.body) for layer in of._layers} - {*spec.objectives.names}
    free = {name for name in columns | parts if OBJECTIVE_NAME.match(name)} - TAKEN_NAMES
    assert len(columns) > 20 and len(parts) > 10 and not free


def test_some_objective_orders_the_items():
    text = TWO.replace("events: [click, purchase]}", "events: [click, purchase], weight: 0}").replace("0.5", "0")
    with pytest.raises(SoukError, match=r"a weight above 0, to order items by\. Received: 0 as that of engaged, satis"):
        parse_config(text + AGAIN)
    assert parse_config(text + KEPT).objectives.engaged.weight == 0
