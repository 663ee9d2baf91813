"""Users and items of events that the config exchanges are an error; ids that no file has are none."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from souk.errors import SoukError
from souk.ingest.odd.exchanged import check_exchanged
from tests.test_ingest_step import CONFIG, Shop

USERS, ITEMS = [f"u{n}" for n in range(40)], [f"i{n}" for n in range(40)]


def _check(users: Sequence[str], items: Sequence[str], files: Mapping[str, Sequence[str]]) -> None:
    """`users` and `items` are those of events."""
    known = {name: pa.array(ids, pa.string()) for name, ids in files.items()}
    check_exchanged(known, {"items": pa.array(items), "users": pa.array(users)}, {"user_id": "plat"})


@pytest.mark.parametrize(
    ("files", "what"),
    [
        ({"items": ITEMS, "users": USERS}, "the item_id of events to be in the file of items"),
        ({"items": ITEMS}, "none that is, and 40 of 40 user_id that are"),
        ({"users": USERS[:4]}, "none that is, and 4 of 40 item_id that are"),  # a shop knows few of its users
        ({"items": ["other"], "users": USERS}, "the user_id of events to be in the file of users"),
    ],
)
def test_exchanged_ids_are_refused(files: dict[str, list[str]], what: str) -> None:
    with pytest.raises(SoukError, match="look exchanged") as error:
        _check(ITEMS, USERS, files)
    assert "set data.events.columns to {user_id: item_id, item_id: plat}" in str(error.value)
    assert what in str(error.value)


@pytest.mark.parametrize(
    ("users", "items", "files"),
    [
        (USERS, ITEMS, {"items": ITEMS, "users": USERS}),
        (USERS, ITEMS, {}),
        (USERS, ITEMS, {"items": ["x"], "users": ["y"]}),  # written in another way
        (USERS, USERS, {"items": ["x"], "users": USERS}),  # both count from 1: the users are where they belong
        (ITEMS, USERS, {"users": USERS[:3]}),  # fewer than a shop knows
        (ITEMS, USERS, {"items": [*ITEMS, "u0"]}),  # one is where it belongs
    ],
)
def test_others_are_not(users: list[str], items: list[str], files: dict[str, list[str]]) -> None:
    _check(users, items, files)


@pytest.mark.slow  # imports TensorFlow Data Validation
def test_the_step_stops_at_exchanged_columns(tmp_path: Path) -> None:
    shop = Shop(tmp_path, CONFIG.replace("{item_id: product, price", "{item_id: user_id, user_id: product, price"))
    shop.write()
    with pytest.raises(SoukError, match="look exchanged") as error:
        shop.ingest()
    assert "set data.events.columns to {user_id: user_id, item_id: product}" in str(error.value)
