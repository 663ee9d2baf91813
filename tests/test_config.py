"""The dataset config: its defaults, what is taken, and which step sees what."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from souk.config import STEP_KEYS, STEP_SECTIONS, TrainRanker, load_config, parse_config, parse_step_config
from souk.errors import SoukError
from tests.config_fixtures import HOMES, MINIMAL, SPLIT

CONFIGS = Path(__file__).parents[1] / "configs"


def test_matches_are_the_datas_or_given():
    assert parse_config(MINIMAL + HOMES).build_features.matches == "auto"
    given = parse_config(
        MINIMAL + HOMES + "build_features: {matches: [[user_home, item_city], [context_place, item_tags]]}"
    )
    read = parse_step_config("build_features", given.for_step("build_features")).build_features
    assert read.matches == [["user_home", "item_city"], ["context_place", "item_tags"]]
    none = parse_config(MINIMAL + "build_features: {matches: []}")
    assert parse_step_config("build_features", none.for_step("build_features")).build_features.matches == []


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


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_no_setting_of_a_model_is_chosen_by_hand_for_a_data_set(path):
    config = load_config(path)
    for name in ("build_features", "train_two_tower", "load_index", "train_ranker", "rerank", "evaluate"):
        section = getattr(config, name)
        assert section == type(section)(), f"{path.name} has {name}: defaults come from the data"
    assert config.retrievers == {} and config.ranker is None


def test_a_small_slate_needs_no_word_about_re_ranking():
    assert parse_config(MINIMAL + "deploy: {max_slate_size: 5, slate_size: 5}").rerank.slate == 20


def test_paths_are_relative_to_the_config(tmp_path):
    (tmp_path / "my.yaml").write_text(MINIMAL)
    assert load_config(tmp_path / "my.yaml").data.events.path == str(tmp_path / "events.csv")
    with pytest.raises(SoukError, match="souk init"):
        load_config(tmp_path / "absent.yaml")


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("events.csv}", "' '}", "data.events.path, a file or an address. Received: ' '. Write where the events are."),
        ("{events:", "{items: {path: ''}, events:", "data.items.path, a file or .* are, or take the table out."),
    ],
)
def test_a_table_without_a_place_is_not_the_folder_of_the_config(tmp_path, before, after, words):
    (tmp_path / "my.yaml").write_text(MINIMAL.replace(before, after, 1))
    with pytest.raises(SoukError, match=words):
        load_config(tmp_path / "my.yaml")


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
