"""The dataset config: what is refused, and with which words."""

from __future__ import annotations

import re

import pytest

from souk.config import parse_config
from souk.errors import SoukError
from tests.config_fixtures import HOMES, MINIMAL, SHOP, SPLIT


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


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("train_two_tower: {dimm: 32}", ["train_two_tower.dimm", "Did you mean 'dim'"]),
        (
            "train_two_tower: {dim: 12, heads: 5}",
            ["heads that divides its dim, 12. Received: 5", "one of 1, 2, 3, 4, 6, 12, or"],
        ),
        ("train_two_tower: {heads: 128}", ["heads that divides its dim, 64. Received: 128"]),
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
        ("deploy: {max_slate_size: 5}", ["my.yaml: deploy.slate_size", "deploy.max_slate_size, 5. Received: 20."]),
        ("deploy: {slate_size: 300}", ["my.yaml: deploy.slate_size", "deploy.max_slate_size, 200. Received: 300."]),
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
        ("build_features: {matches: yes}", ["build_features.matches: ", "a list, or auto. Received: 'yes'."]),
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
        ("build_features: {history_length: true}", ["history_length: ", "a number or auto, and", "Received: True."]),
        ("evaluate: {latency: false}", ["evaluate.latency: ", "a number or null, and", "Received: False."]),
        ("split: {validation: 0.45, test: 0.4}", ["my.yaml: split.validation and split.test of at most 0.8 together"]),
        ("build_features: {history_length: 1000000000}", ["history_length: less than or equal to 4096, or auto"]),
        ("train_two_tower: {dim: 1000000000}", ["my.yaml: train_two_tower.dim: less than or equal to 4096"]),
        ("train_two_tower: {epochs: 1000000}", ["train_two_tower.epochs: less than or equal to 10000, or auto"]),
        ("train_ranker: {hidden: [1000000]}", ["train_ranker.hidden.0: less than or equal to 8192"]),
        (
            SHOP + "train_ranker: {minority: {item_category: -1}}",
            ["minority.item_category: greater than or equal to 0"],
        ),
        ("evaluate: {primary: ndcg@1000000000000}", ["evaluate.primary: a metric of at most the first 10,000 places"]),
        ("evaluate: {primary: hr@10001}", ["the first 10,000 places. Take hr@10. Received: 'hr@10001'."]),
        ("columns: {items: {image: 'vector[0]'}}", ["columns.items.image: vector[0] is none of vector[1] to vector["]),
        ("columns: {users: {home: 'vector[16385]'}}", ["columns.users.home: vector[16385] is none of vector[1] to"]),
        ("columns: {users: {home: 'vector[x]'}}", ["columns.users.home: vector[x] is none of vector[1] to"]),
        (
            "evaluate: {~: 3}",
            ["my.yaml to be YAML. Received: the key ~, which is no name unless it st"],
        ),
        ("evaluate: {null: 3}", ["the key null, which is no name unless it stands in quotes, on line "]),
        ("evaluate: {margin: 5}", ["my.yaml: evaluate.margin: less than or equal to 1", "Received: 5."]),
        ("evaluate: {baseline_margin: -2}", ["my.yaml: evaluate.baseline_margin: ", "or equal to -1", "Received: -2."]),
        ("train_ranker: {minority: {brand: true}}", ["train_ranker.minority: ", "Received: {'brand': True}."]),
        (
            SHOP + "train_ranker: {minority: {category: 0.5}}",
            [
                "my.yaml: a feature of users or items in train_ranker.minority to be one of item_category, item_id, "
                "item_price_bucket, item_seller_id, item_title, user_id. Received: 'category'",
                "'item_category'?",
            ],
        ),
        ("train_ranker: {hidden: [32, true]}", ["train_ranker.hidden: ", "Received: [32, True]."]),
        (
            "train_ranker: {candidates: lots}",
            ["my.yaml: train_ranker.candidates: a whole number, or auto. Received: 'lots'. See docs/data.md."],
        ),
        ("train_ranker: {candidates: 1.5}", ["candidates: a whole number, or auto. Received: 1.5."]),
        ("train_two_tower: {dropout: much}", ["train_two_tower.dropout: a number. Received: 'much'. See"]),
        ("repeat: {rule: often}", ["repeat.rule: one of never, after_days or always. Received: 'often'."]),
        ("train_ranker: {hidden: []}", ["my.yaml: train_ranker.hidden: 1 or more entries. Received: []."]),
        (
            "train_ranker: {hidden: [16, 0]}",
            ["my.yaml: train_ranker.hidden.1: greater than or equal to 1. Received: 0."],
        ),
        ("train_ranker: {seed: -1}", ["my.yaml: train_ranker.seed: greater than or equal to 0. Received: -1."]),
        ("train_two_tower: {seed: 4294967296}", ["my.yaml: train_two_tower.seed: less than 4294967296. Received: 42"]),
        ("rollout: {runtime: ''}", ["my.yaml: rollout.runtime: 1 or more characters. Received: ''."]),
        (f"rollout: {{name: {'x' * 39}}}", ["my.yaml: rollout.name: 38 or fewer characters. Received: 'xxx"]),
        (
            "rollout: {name: X_y}",
            ["name: small letters, digits and -, no - at either end, the first a letter. Received: "],
        ),
        ("rollout: {storage: /releases}", ["rollout.storage: SCHEME://PLACE without a / at its end. Received: '/rel"]),
        (
            "online_store: {uri: localhost}",
            ["online_store.uri: redis://HOST[:PORT][/DATABASE], or rediss:// with TLS, and the password in SOUK_"],
        ),
        (
            "online_store: {uri: 'redis://:geheim@h'}",
            ["the password in SOUK_REDIS_PASSWORD alone. Received: 'redis://…@h'"],
        ),
        *[
            (
                f"load_index: {{uri: '{uri}'}}",
                ["load_index.uri: the address of a Milvus", "http://localhost:19530. Rec"],
            )
            for uri in ("localhost:19530", "milvus.internal", "shop.db", "./milvus/shop.db", "htp://x:19530", "http://")
        ],
        ("retrievers: {My-own: 'a:B'}", ["retrievers.My-own: small letters, digits and _, the first a letter"]),
        ("rollout: {target: inference_service}", ["my.yaml: the address of a Milvus server"]),
    ],
)
def test_a_wrong_line_is_refused_in_words_that_help(line, words):
    with pytest.raises(SoukError) as error:
        parse_config(MINIMAL + line, "my.yaml")
    assert all(word in str(error.value) for word in words), error.value


def test_a_word_that_is_none_of_a_choice_is_told_with_the_nearest():
    given = MINIMAL.replace("events.csv}", "events.csv, event_types: {like: carts, skip: xyz}}")
    with pytest.raises(SoukError) as error:
        parse_config(given + "columns: {events: {device: categorial}}", "my.yaml")
    told = [part.partition("eceived")[2] for part in re.split(r"Expected|Also", str(error.value))[1:]]
    assert told == [
        ": 'carts'. Did you mean 'cart'? See docs/data.md. ",
        " 'xyz'. ",
        " 'categorial'. Did you mean 'categorical'?",
    ]


def test_what_is_rare_may_be_told_by_each_feature_that_has_values_of_its_own():
    minority = {"user_home": 0.5, "user_id": 0.1, "item_price_bucket": 0.2, "item_tags": 0.3, "item_title": 0.4}
    assert parse_config(f"{MINIMAL}{HOMES}train_ranker: {{minority: {minority}}}").train_ranker.minority == minority


def test_numbers_are_decimal_however_they_are_written():
    config = parse_config(MINIMAL + "train_ranker: {seed: 010, negatives: 1_000, dropout: .5, weight_decay: 1.5e-3}\n")
    settings = config.train_ranker
    assert (settings.seed, settings.negatives, settings.dropout, settings.weight_decay) == (10, 1000, 0.5, 0.0015)
    with pytest.raises(SoukError, match=r"train_ranker\.seed: a whole number\. Received: '12:30'"):
        parse_config(MINIMAL + "train_ranker: {seed: 12:30}")
    with pytest.raises(SoukError, match=r"my\.yaml to be YAML"):
        parse_config(MINIMAL + f"train_ranker: {{seed: {'9' * 5000}}}", "my.yaml")


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


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("a: [\n", "found '<stream end>' on line 2. Mend"),
        ("- 1", "mapping"),
        ("", "config: name: a value, which is required. Received: none"),
        (MINIMAL + "repeat: never\nrepeat: always\n", "'repeat' stands twice, first on line"),
        (MINIMAL + "rerank: {diversity: 0.1, diversity: 0.2}\n", "'diversity' stands twice"),
        (MINIMAL + "rerank: &same {caps: *same}\n", "recursive node on line 5"),
        (MINIMAL + "train_ranker: {hidden: &same [*same]}\n", "recursive node on line 5"),
    ],
)
def test_what_is_no_mapping_is_refused(text, word):
    with pytest.raises(SoukError, match=word):
        parse_config(text)
