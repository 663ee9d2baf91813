"""Words of users that are the last parts of items' paths are told."""

import pyarrow as pa
import pytest

from souk.ingest.odd.paths import odd_paths
from souk.schema import Kind

PATHS = ["Concert/Jazz", "Concert/Rock", "Theatre/Drama", "Theatre", None]


@pytest.mark.parametrize(
    ("words", "kind", "told"),
    [
        ([["Jazz", "Rock"], ["Drama"], None], Kind.LIST, "users: 3 of the 3 words of likes are last parts of genre"),
        (["Jazz", "Rock", "Drama", "Opera"], Kind.CATEGORICAL, ""),  # three quarters
        (["Jazz", "Rock", "Drama", "Jazz", "Drama"], Kind.CATEGORICAL, "'Drama' and 'Theatre/Drama' have no word in"),
        (["Concert/Jazz", "Concert/Rock", "Theatre/Drama"], Kind.CATEGORICAL, ""),
        (["Jazz", "Rock"], Kind.CATEGORICAL, ""),
        (["Jazz", "Rock", "Drama"], Kind.TEXT, ""),
        ([None, None], Kind.CATEGORICAL, ""),
    ],
)
def test_words_of_users_that_end_paths(words: list, kind: Kind, told: str) -> None:
    kind_of = pa.list_(pa.string()) if kind is Kind.LIST else pa.string()
    users, items = pa.table({"likes": pa.array(words, kind_of)}), pa.table({"genre": pa.array(PATHS, pa.string())})
    found = list(odd_paths(users, {"likes": kind}, items, {"genre": Kind.PATH}))
    assert len(found) == bool(told) and all(told in line for line in found), found
    assert not list(odd_paths(users, {"likes": kind}, items, {"genre": Kind.CATEGORICAL}))


def test_what_another_column_of_items_says_too_is_a_match_already() -> None:
    users = pa.table({"likes": ["Jazz", "Rock", "Drama"]})
    items = pa.table({"genre": PATHS, "style": [["Jazz"], ["Rock"], ["Drama", "Old"], [], None]})
    kinds = {"genre": Kind.PATH, "style": Kind.LIST}
    assert not list(odd_paths(users, {"likes": Kind.CATEGORICAL}, items, kinds))


def test_a_word_that_begins_a_path_is_one_of_its_words() -> None:
    users, items = (
        pa.table({"likes": ["Concert", "Theatre", "Sport"]}),
        pa.table({"genre": ["Concert/Sport", "Sport/Concert", "Theatre/Theatre"]}),
    )
    assert not list(odd_paths(users, {"likes": Kind.CATEGORICAL}, items, {"genre": Kind.PATH}))
