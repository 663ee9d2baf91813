"""The dataset config: what is refused, with which words, and which step sees what."""

from __future__ import annotations

import json

import pytest

from souk.config import STEP_KEYS, STEP_SECTIONS, TrainRanker, load_config, parse_config, parse_step_config
from souk.errors import SoukError

MINIMAL = """
name: tiny
data: {events: {path: events.csv}}
objectives: {engaged: {events: [click, purchase]}, satisfied: {events: [purchase], unless: [return], within_days: 14}}
"""
SHOP = "columns: {items: {price: numeric, seller_id: categorical, category: path, title: text}}\n"
HOMES = """columns:
  users: {home: categorical, age: numeric}
  events: {place: categorical, stock: numeric}
  items: {city: categorical, tags: list, price: numeric, title: text}
"""


def test_matches_are_the_datas_or_given():
    assert parse_config(MINIMAL + HOMES).build_features.matches == "auto"
    given = parse_config(
        MINIMAL + HOMES + "build_features: {matches: [[user_home, item_city], [context_place, item_tags]]}"
    )
    read = parse_step_config("build_features", given.for_step("build_features")).build_features
    assert read.matches == [["user_home", "item_city"], ["context_place", "item_tags"]]
    none = parse_config(MINIMAL + "build_features: {matches: []}")
    assert parse_step_config("build_features", none.for_step("build_features")).build_features.matches == []


SPLIT = """
name: shop
data: {{events: {{path: e.csv{events}}}, items: {{path: i.csv{items}}}, users: {{path: u.csv{users}}}}}
columns: {{items: {{brand: categorical, colour: categorical, about: text, tags: list, home: path, look: "vector[2]"}}}}
objectives: {{engaged: {{events: [click]}}, satisfied: {{events: [click]}}}}
"""


@pytest.mark.parametrize(
    ("table", "name", "kind"),
    [
        ("items", "colour", "categorical"),
        ("items", "about", "text"),
        ("items", "brand", "categorical"),
        ("items", "created_at", ""),
        ("items", "title", "text"),
        ("events", "user_id", ""),
        ("users", "created_at", ""),
    ],
)
def test_a_separator_of_a_column_that_is_not_split_is_refused(table, name, kind):
    given = dict.fromkeys(("events", "items", "users"), "") | {table: f', separators: {{{name}: "|"}}'}
    with pytest.raises(SoukError) as error:
        parse_config(SPLIT.format(**given), "my.yaml")
    told = f"{name}, of kind {kind}" if kind else name
    said = f"my.yaml: a column of the kind list, path or vector in data.{table}.separators. Received: {told}. "
    assert said in str(error.value)
    declared = f"Declare it in columns.items as {name}: list" in str(error.value)
    assert declared == (name in ("colour", "about")) and "ake it out" in str(error.value)


def test_a_separator_of_a_column_that_is_split_is_taken():
    split = ', separators: {category: ">", tags: "|", home: ">", look: ";"}'
    given = {"events": "", "users": "", "items": split}
    config = parse_config(SPLIT.format(**given))
    assert config.data.items and len(config.data.items.separators) == 4


def test_the_minimal_config_has_working_defaults():
    config = parse_config(MINIMAL)
    assert config.repeat.rule == "always"
    assert config.ingest.quarantine_threshold == 0.05
    assert config.load_index.recall_bar == 0.95


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("train_two_tower: {dimm: 32}", ["train_two_tower.dimm", "Did you mean 'dim'"]),
        ("trainranker: {}", ["trainranker", "Did you mean 'train_ranker'"]),
        ("train_two_tower: {dim: 33}", ["train_two_tower.dim", "multiple of 4", "33"]),
        ("columns: {items: {price: text}}", ["columns.items.price must be numeric, not text"]),
        ("columns: {events: {timestamp: numeric}}", ["timestamp", "no feature"]),
        ("split: {test: 0.9}", ["split.test", "less than 0.5"]),
        ("repeat: sometimes", ["repeat.rule", "never"]),
        ("evaluate: {primary: ndgc@10}", ["my.yaml: evaluate.primary", "Did you mean 'ndcg@10'", "'ndgc@10'"]),
        ("rerank: {popularity: .inf}", ["my.yaml: rerank.popularity", "finite", "docs/serving.md"]),
        ("rerank: {popularity: 1.0e+308}", ["rerank.popularity", "less than or equal to 100"]),
        ("rerank: {slate: 201}", ["my.yaml: rerank.slate", "deploy.max_slate_size, 200", "201"]),
        ("rerank: {slate: 6}\ndeploy: {max_slate_size: 5}", ["rerank.slate", "deploy.max_slate_size, 5"]),
        ("rerank: {new_items: 14}", ["rerank.new_items: a section with keys days and share. Received: 14"]),
        (SHOP + "rerank: {caps: {categry: 3}}", ["my.yaml: a categ", "one of category, seller_id.", "'category'?"]),
        (
            SHOP + "rerank: {caps: {price: 3}}",
            ["my.yaml: a col", "price, of kind numeric", "path: category, seller_id."],
        ),
        ("rerank: {diversity: 3, slat: 3}", ["rerank.slat to be", "'slate'? Also rerank.diversity: ", "received 3."]),
        (
            "train_two_tower: {epochs: x, dim: 33}",
            ["dim: ", "Also train_two_tower.epochs: a whole number, or auto, received 'x'."],
        ),
        ("build_features: {habits: true}", ["my.yaml: build_features.habits: ", "a number, and", "Received: True."]),
        ("build_features: {matches: yes}", ["build_features.matches: ", "a list, or auto. Received: True."]),
        (
            "build_features: {matches: [[user_home]]}",
            ["build_features.matches: ", "2 or more entries", "Received: ['user_home']."],
        ),
        (
            SHOP + "build_features: {matches: [[user_home, item_category]]}",
            ["my.yaml: a categorical, path or list feature of the user or the visit in build_features.matches", "none"],
        ),
        (
            HOMES + "build_features: {matches: [[home, item_city]]}",
            ["of the user or the visit", "one of context_place, user_home", "Received: 'home'", "'user_home'?"],
        ),
        (
            HOMES + "build_features: {matches: [[user_home, item_price]]}",
            ["of the item in build_features.matches", "one of item_city, item_tags", "Received: 'item_price'"],
        ),
        (
            HOMES + "build_features: {matches: [[user_home, item_city], [user_home, item_city]]}",
            ["each pair in build_features.matches once", "['user_home', 'item_city'] more often"],
        ),
        ("build_features: {history_length: yes}", ["history_length: ", "a number or auto, and", "Received: True."]),
        ("evaluate: {latency: off}", ["evaluate.latency: ", "a number or null, and", "Received: False."]),
        ("train_ranker: {minority: {brand: true}}", ["train_ranker.minority: ", "Received: {'brand': True}."]),
        ("train_ranker: {hidden: [32, true]}", ["train_ranker.hidden: ", "Received: [32, True]."]),
        (
            "train_ranker: {candidates: lots}",
            ["my.yaml: train_ranker.candidates: a whole number, or auto. Received: 'lots'. See docs/data.md."],
        ),
        ("train_ranker: {candidates: 1.5}", ["candidates: a whole number, or auto. Received: 1.5."]),
        ("train_two_tower: {dropout: much}", ["train_two_tower.dropout: a number. Received: 'much'. See"]),
        ("repeat: {rule: often}", ["repeat.rule: one of never, after_days or always. Received: 'often'."]),
        ("train_ranker: {hidden: []}", ["my.yaml: train_ranker.hidden: 1 or more entries. Received: []."]),
        ("rollout: {runtime: ''}", ["my.yaml: rollout.runtime: 1 or more characters. Received: ''."]),
        (f"rollout: {{name: {'x' * 39}}}", ["my.yaml: rollout.name: 38 or fewer characters. Received: 'xxx"]),
        (
            "rollout: {name: X_y}",
            ["name: small letters, digits and -, no - at either end, the first a letter. Received: "],
        ),
        ("rollout: {storage: /releases}", ["rollout.storage: SCHEME://PLACE without a / at its end. Received: '/rel"]),
        (
            "online_store: {uri: localhost}",
            ["online_store.uri: redis://HOST[:PORT][/DATABASE], or rediss:// with TLS."],
        ),
        ("retrievers: {My-own: 'a:B'}", ["retrievers.My-own: small letters, digits and _, the first a letter"]),
        ("rollout: {target: inference_service}", ["my.yaml: the address of a Milvus server"]),
    ],
)
def test_a_wrong_line_is_refused_in_words_that_help(line, words):
    with pytest.raises(SoukError) as error:
        parse_config(MINIMAL + line, "my.yaml")
    assert all(word in str(error.value) for word in words), error.value


def test_truth_values_stand_where_they_may():
    config = parse_config(MINIMAL.replace("events.csv", "events.csv, constants: {price: 3, device: true}"))
    assert config.data.events.constants == {"price": 3, "device": True}
    assert not parse_config(MINIMAL + "train_ranker: {debias: no}").train_ranker.debias


def test_what_follows_from_another_problem_is_not_told():
    with pytest.raises(SoukError) as error:
        parse_config(MINIMAL.replace("[purchase]", "[purchace]"))
    assert "objectives.satisfied.events.0" in str(error.value)
    assert "Also" not in str(error.value)


@pytest.mark.parametrize(
    ("types", "told"),
    [
        (
            "event_types: {gekauft: purchase, besehen: click}",
            " data.events.event_types maps gekauft to purchase: write",
        ),
        ("event_types: {kauf: purchase, ansicht: click}", " data.events.event_types maps to click, purchase."),
        ("event_types: {}", " docs/data.md."),
    ],
)
def test_an_event_by_its_name_in_the_file_is_told_with_what_it_is_mapped_to(types, told):
    text = MINIMAL.replace("events.csv}", f"events.csv, {types}}}").replace(
        "[purchase]", "[click], followed_by: [gekauft]"
    )
    with pytest.raises(SoukError) as error:
        parse_config(text, "my.yaml")
    assert "objectives.satisfied.followed_by.0: one of impression, click, cart, " in str(error.value)
    assert "Received: 'gekauft'. See docs/data.md." in str(error.value) and told in str(error.value)


@pytest.mark.parametrize(
    ("types", "told"),
    [
        ("", "Events are impression, click, cart, "),
        (", event_types: {kauf: purchase}", "event_types maps to purchase."),
    ],
)
def test_an_objective_without_events_is_told_which_there_are(types, told):
    text = MINIMAL.replace("events.csv}", f"events.csv{types}}}").replace("[purchase]", "[]")
    with pytest.raises(SoukError, match=r"satisfied\.events: 1 or more entries\. Received: \[\]\.") as error:
        parse_config(text)
    assert told in str(error.value)


@pytest.mark.parametrize("name", ["My shop", "2nd", '"shop\\n"'])
def test_a_wrong_name_is_told_how_names_are_spelled(name):
    with pytest.raises(SoukError, match=r"config: name: small letters, digits and _, the first a letter, as my_shop"):
        parse_config(MINIMAL.replace("name: tiny", f"name: {name}"))


@pytest.mark.parametrize("key", ["", "nmae: x\n"])
def test_each_event_by_its_name_in_the_file_is_told_once(key):
    text = MINIMAL.replace("events.csv}", "events.csv, event_types: {gekauft: purchase, besehen: click}}")
    with pytest.raises(SoukError) as error:
        parse_config(key + text.replace("[purchase]", "[gekauft, besehen, gekauft]"), "my.yaml")
    assert str(error.value).count("maps gekauft to purchase: write that.") == 1
    assert str(error.value).count("maps besehen to click: write that.") == 1


@pytest.mark.parametrize("kind", ["quatsch", "[purchase]"])
def test_what_an_event_is_wrongly_mapped_to_is_not_to_be_written(kind):
    text = MINIMAL.replace("events.csv}", f"events.csv, event_types: {{gekauft: {kind}, besehen: click}}}}")
    with pytest.raises(SoukError) as error:
        parse_config(text.replace("[purchase]", "[gekauft]"), "my.yaml")
    assert "data.events.event_types.gekauft: one of" in str(error.value) and "write that" not in str(error.value)


def test_a_small_slate_needs_no_word_about_re_ranking():
    assert parse_config(MINIMAL + "deploy: {max_slate_size: 5, slate_size: 5}").rerank.slate == 20


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("a: [\n", "found '<stream end>' on line 2. Mend"),
        ("- 1", "mapping"),
        ("", "config: name: a value, which is required. Received: none"),
        (MINIMAL + "repeat: never\nrepeat: always\n", "'repeat' stands twice, first on line"),
        (MINIMAL + "rerank: {diversity: 0.1, diversity: 0.2}\n", "'diversity' stands twice"),
    ],
)
def test_what_is_no_mapping_is_refused(text, word):
    with pytest.raises(SoukError, match=word):
        parse_config(text)


def test_paths_are_relative_to_the_config(tmp_path):
    (tmp_path / "my.yaml").write_text(MINIMAL)
    assert load_config(tmp_path / "my.yaml").data.events.path == str(tmp_path / "events.csv")
    with pytest.raises(SoukError, match="souk init"):
        load_config(tmp_path / "absent.yaml")


def test_a_step_gets_its_sections_and_only_them():
    config = parse_config(MINIMAL)
    for step, sections in STEP_SECTIONS.items():
        text = config.for_step(step)
        assert set(json.loads(text)) == set(sections)
        parsed = parse_step_config(step, text)
        for name in sections:
            own, keys = getattr(config, name), STEP_KEYS.get((step, name))
            pairs = [(own, getattr(parsed, name))] if keys is None else _values(own, getattr(parsed, name), keys)
            assert all(left == right for left, right in pairs)


def _values(left, right, keys):
    return [(getattr(left, key), getattr(right, key)) for key in keys]


def test_a_changed_value_changes_only_the_steps_that_read_it():
    before, after = parse_config(MINIMAL), parse_config(MINIMAL + "train_ranker: {epochs: 9}")
    changed = [step for step in STEP_SECTIONS if before.for_step(step) != after.for_step(step)]
    assert changed == ["train_ranker"]
    with pytest.raises(SoukError, match="train_ranker"):
        before.for_step("train_rankr")


def test_tables_of_before_a_key_are_those_of_its_default():
    for value, there in (("available", False), ("unavailable", True)):
        config = parse_config(MINIMAL + f"ingest: {{items_without_rows: {value}}}")
        text = config.for_step("ingest")
        assert ("items_without_rows" in text) is there
        assert parse_step_config("ingest", text).ingest == config.ingest


def test_a_vector_says_its_width_and_describes_no_event():
    config = parse_config(MINIMAL + "columns: {items: {image: 'vector[512]'}}")
    assert config.columns.items == {"image": "vector"}
    assert config.columns.widths_of("items") == {"image": 512}
    assert parse_step_config("ingest", config.for_step("ingest")).columns == config.columns
    for columns, word in (("{items: {image: vector}}", "vector\\[512\\]"), ("{events: {v: 'vector[3]'}}", "event")):
        with pytest.raises(SoukError, match=word):
            parse_config(MINIMAL + f"columns: {columns}")


@pytest.mark.parametrize(
    ("items", "candidates"), [(1, 200), (1682, 200), (2010, 201), (4000, 400), (5000, 500), (10**6, 500)]
)
def test_a_request_gets_a_tenth_of_the_catalogue_as_candidates_within_bounds(items, candidates):
    assert TrainRanker().candidates_among(items) == candidates
    assert TrainRanker(candidates=40).candidates_among(items) == 40
