"""`souk init`: what is counted of opinions, lists of other rows and what is nested are not learned from."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from souk.ingest.guess.kind import guess_kind
from souk.ingest.guess.later import becomes, counted, names_others
from souk.ingest.profile import Column
from souk.schema import Kind
from tests.test_ingest_first_config import Table, init, write


def column(name: str, values: list[Any]) -> Column:
    return Column(name, pa.array(values * 9))


@pytest.mark.parametrize(
    ("name", "values", "tells"),
    [
        ("rating_number", [51, 7, 19], True),
        ("text_reviews_count", ["3", "17"], True),
        ("vote_average", [7.1, 8.3], True),
        ("averageRating", [4.1, 3.8], True),
        ("stars", [3.5, 4.0], True),
        ("stars", [3, 4, 5], False),  # of a hotel
        ("score", [3.5, 81.5], False),  # no stars
        ("compliment_hot", [0, 3, 17], True),
        ("useful", [0, 3, 17], True),
        ("useful_area", [80, 93, 71], False),
        ("rank", ['[">#79,832 in Toys"]', "[]"], True),
        ("rank_name", ["officer", "clerk"], False),
        ("rating", ["Very Positive", "Mixed", "Mostly Negative"], True),
        ("rating", ["PG", "PG-13"], False),
        ("number_of_pages", [120, 300], False),
    ],
)
def test_which_columns_count_what_users_say(name: str, values: list[Any], tells: bool) -> None:
    assert bool(counted(column(name, values))) == tells == bool(becomes(column(name, values), None))


def test_what_is_open_is_so_now() -> None:
    assert "give `available_until`" in becomes(column("is_open", ["1", "0"]), None)


@pytest.mark.parametrize(
    ("name", "values", "told"),
    [
        ("also_buy", ['["x1", "x2"]', "[]", '["x3", "x1", "x9"]'], True),
        ("friends", ["x1, x2", "x3, x4", "None"], True),
        ("similar_books", ['["71", "35"]', '["12", "9"]'], True),  # ids that the sample lacks
        ("sizes", ['["71", "35"]', '["12", "9"]'], False),
        ("tags", ["red, old", "new, old"], False),
        ("parent", ["x1", "x2"], False),  # one is a group
    ],
)
def test_lists_of_other_rows_are_told(name: str, values: list[str], told: bool) -> None:
    ids = Column("asin", pa.array([f"x{n}" for n in range(5)]))
    assert names_others(column(name, values), ids, "items").startswith("IT NAMES OTHER ITEMS") == told


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["[{'id': 1, 'name': 'red'}]", "[]"], None),
        (['{"WiFi": "free"}', '{"WiFi": "no"}'], None),
        (['["red", "old and used"]', '["red"]', "[]"], Kind.LIST),
        ([f'["the lamp of house {n}"]' for n in range(40)], Kind.TEXT),
        ([f'["the lamp of house {n % 4}"]' for n in range(40)], Kind.LIST),
        (["July 12, 2013", "May 3, 2011"], None),
        (["01-Jan-1995", "12-Mai-1996"], None),
        (["05 12, 2013", "11 2, 2012"], None),
        (["March 5, Opus 3", "May 1, Opus 9"], Kind.CATEGORICAL),
    ],
)
def test_what_is_learned_of_lists_and_of_what_seems_one(values: list[str], kind: Kind | None) -> None:
    assert guess_kind(Column("tags", pa.array(values if len(values) > 9 else values * 9))).kind == kind


@pytest.mark.parametrize(("name", "kind"), [("department_no", Kind.CATEGORICAL), ("casino", Kind.NUMERIC)])
def test_numbers_that_are_called_numbers_are_names(name: str, kind: Kind) -> None:
    assert guess_kind(Column(name, pa.array([1000 + n % 40 for n in range(200)]))).kind is kind


def test_a_category_in_lists_is_a_list_and_no_path(tmp_path: Path) -> None:
    rows: Table = [{"user_id": n % 9, "asin": f"a{n % 30}", "ts": 1_700_000_000 + n} for n in range(300)]
    goods: Table = [{"asin": f"a{n}", "category": ["toys", "ab"[n % 2]]} for n in range(30)]
    _, config = init(tmp_path, write(rows, tmp_path / "e.csv"), write(goods, tmp_path / "i.jsonl"))
    assert config.data.items is not None and config.data.items.columns["category_column"] == "category"
    assert config.columns.items == {"category_column": Kind.LIST}


@pytest.mark.parametrize(("other", "item"), [({}, "venueId"), ({"track": "a"}, "track")])
def test_a_place_is_the_item_where_no_column_has_a_likelier_name(
    tmp_path: Path, other: dict[str, str], item: str
) -> None:
    rows = [{"userId": n % 9, "venueId": f"v{n % 40}", **other, "time": 1_700_000_000 + n} for n in range(300)]
    _, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert config.data.events.columns["item_id"] == item
