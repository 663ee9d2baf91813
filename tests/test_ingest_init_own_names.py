"""`souk init` writes no config that is refused for its names: each feature has one of its own."""

import random
from pathlib import Path
from typing import Any

import pytest

from souk.config import DatasetConfig
from souk.spec import Entity
from tests.features_fixtures import spec_of
from tests.test_ingest_first_config import init, read, write

USER_CLICKS = [{"user_id": f"u{n % 9}", "item_id": f"i{n % 30}", "timestamp": 1_700_000_000 + n} for n in range(300)]
NUMBERS = ["Weight", "weight", "price", "price_missing", "weight_2", "height"]
WORDS = ["id", "ID", "Id_", "weight.missing", "weight-missing", "Weight_Bucket", "price bucket", "own id", "own_id"]
WORDS += ["weight_2_missing", "own_weight_missing", "größe", "geo.home", "capital-gain", "brand", "BRAND"]


def cells(names: list[str], place: int) -> dict[str, Any]:
    """A row: numbers with a fraction, and words that come again."""
    return {name: 1.5 * place + 0.25 if name in NUMBERS else "abc"[place % 3] for name in names}


def files(folder: Path, items: list[str], users: list[str]) -> tuple[str, str, str]:
    return (
        write(USER_CLICKS, folder / "e.csv"),
        write([{"item_id": f"i{n}"} | cells(items, n) for n in range(30)], folder / "i.csv"),
        write([{"user_id": f"u{n}"} | cells(users, n) for n in range(9)], folder / "u.csv"),
    )


def mapped(config: DatasetConfig) -> dict[str, str]:
    """The columns of items, each with that of the file."""
    assert config.data.items is not None
    return {name: config.data.items.columns.get(name, name) for name in config.columns.items}


def test_a_column_that_would_be_called_as_the_ids_gets_a_name_of_its_own(tmp_path: Path) -> None:
    text, config = init(tmp_path, *files(tmp_path, ["id", "colour"], ["ID"]))
    assert mapped(config) == {"own_id": "id", "colour": "colour"}
    assert config.data.users is not None and config.data.users.columns["own_id"] == "ID"
    assert text.count("own_id: categorical  # ITS NAME IS THAT OF the ids: renamed; ") == 2
    assert read(config, "items").table["own_id"].to_pylist()[:3] == ["a", "b", "c"]


def test_a_column_that_would_be_called_as_what_a_number_says_gets_a_name_of_its_own(tmp_path: Path) -> None:
    names = ["price_bucket", "weight_missing", "Weight", "price", "colour_missing", "colour"]
    text, config = init(tmp_path, *files(tmp_path, names, []))
    assert mapped(config) == {
        "own_price_bucket": "price_bucket",
        "own_weight_missing": "weight_missing",
        "weight": "Weight",
        "price": "price",
        "colour_missing": "colour_missing",
        "colour": "colour",
    }
    assert "ITS NAME IS THAT OF a feature of Weight: renamed; " in text


@pytest.mark.parametrize("seed", range(12))
def test_whatever_a_file_calls_its_columns_the_config_is_taken(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    items, users = (chance.sample([*NUMBERS, *WORDS], 12) for _ in range(2))
    _, config = init(tmp_path, *files(tmp_path, items, users))
    assert len(config.columns.items) == len(config.columns.users) == 12
    for entity in (Entity.ITEM, Entity.USER):
        names = [feature.name.lower() for feature in spec_of(config).of(entity)]
        assert len({*names}) == 13
    assert {*mapped(config).values()} == {*items}
