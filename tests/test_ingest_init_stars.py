"""`souk init`: ratings of which some say that there is none, and what stands beside stars."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from souk.ingest.guess.stars import unrated
from souk.ingest.profile import Column
from tests.test_ingest_first_config import Table, init, read, write


@pytest.mark.parametrize(
    ("values", "none"),
    [
        ([0] * 30 + [1, 2, 3, 4, 5] * 6, ["0"]),
        (["0.0"] * 30 + ["0.5", "3.5", "5.0"] * 9, ["0.0"]),
        ([-1] * 20 + [1, 6, 8, 10, 6, 8, 10] * 5, ["-1"]),  # of anime that was watched
        ([-1] * 20 + [0] * 20 + [1, 6, 8, 10] * 3, ["-1", "0"]),
        ([0, 1, 2, 3, 4, 5] * 9, []),  # the worst of six
        ([0] + [1, 3, 5] * 30, []),  # a slip
        ([0] * 60 + [1] * 9, []),  # no stars
        ([-10, 0] * 20 + [3, 7, 9] * 3, []),  # jokes that are hated
        ([0] * 30 + [0.01, 3.2, 5.7] * 9, []),  # hours
    ],
)
def test_which_numbers_stand_for_no_rating(values: list[Any], none: list[str]) -> None:
    assert unrated(Column("rating", pa.array(values)))[0] == none


def ratings(more: dict[str, list[str]]) -> Table:
    """Half of 600 rows have a 0, and the others 1 to 5; `more` by whether there are stars."""
    return [
        {"user_id": n % 20, "book_id": n % 31, "rating": n // 2 % 5 + 1 if n % 2 else 0, "ts": 1_700_000_000 + n * 600}
        | {name: values[n % 2] for name, values in more.items()}
        for n in range(600)
    ]


@pytest.mark.parametrize("more", [{}, {"is_read": ["false", "true"]}, {"verified_purchase": ["false", "true"]}])
def test_what_was_taken_and_not_rated_is_a_click_and_no_bad_rating(tmp_path: Path, more: dict[str, list[str]]) -> None:
    text, config = init(tmp_path, write(ratings(more), tmp_path / "e.csv"))
    assert config.data.events.columns["event_type"] == config.data.events.columns["value"] == "rating"
    types = read(config, "events").table["event_type"].to_pylist()
    assert (types.count("click"), types.count("rating")) == (300, 300)
    assert config.objectives.engaged.events == ("click", "rating")
    assert "60%" not in text and "min_value: 4}  # 40% of the ratings, which are 1 to 5" in text
    assert "UNLESS" not in text and "OR IS IT" not in text.replace("OR IS IT event_id", "")


@pytest.mark.parametrize(("later", "rule"), [(True, "purchase"), (False, "click")])
def test_what_is_used_after_it_was_bought_satisfies(tmp_path: Path, later: bool, rule: str) -> None:
    day, rows = 86_400, []
    for n in range(400):
        pair = {"user_id": n % 20, "item_id": n // 20 + n % 7}
        at = 1_700_000_000 + n * day // 4
        rows += [
            {**pair, "action": "purchase", "ts": at},
            {**pair, "action": "play", "ts": at + (5 - 10 * (not later)) * 3600},
        ]
    _, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    satisfied = config.objectives.satisfied
    assert satisfied.events == (rule,)
    assert satisfied.followed_by == (("click",) if later else ("purchase",))


def reviews(view: str, zeros: int = 3) -> Table:
    """Views with a rating of `view`, and as many reviews, of which `zeros` in ten have a 0 and the others 1 to 5."""
    rows: Table = []
    for n in range(300):
        pair = {"user_id": n % 20, "recipe_id": n % 31}
        stars = 0 if n % 10 < zeros else n % 5 + 1
        rows.append({**pair, "event": "view", "rating": view, "ts": 1_700_000_000 + n * 600})
        rows.append({**pair, "event": "review", "rating": stars, "ts": 1_700_000_060 + n * 600})
    return rows


def test_reviews_without_stars_are_no_bad_ratings_beside_other_acts(tmp_path: Path) -> None:
    text, config = init(tmp_path, write(reviews(""), tmp_path / "e.csv"))
    assert config.data.events.skip == {"rating": ("0",)}
    assert "ratings without stars, 0 of rating (90 of 600 rows): 90 of 300 are 0" in text
    assert "of the ratings, which are 1 to 5" in text


@pytest.mark.parametrize(("view", "zeros", "told"), [("0", 3, True), ("", 0, False)])
def test_a_zero_of_other_acts_leaves_no_row_out(tmp_path: Path, view: str, zeros: int, told: bool) -> None:
    text, config = init(tmp_path, write(reviews(view, zeros), tmp_path / "e.csv"))
    assert config.data.events.skip == {}
    assert ("OF THE RATINGS 90 of 300 are 0" in text) == told


@pytest.mark.parametrize(
    ("column", "value", "every"),
    [
        ("note", "3", "rating"),  # stars in French
        ("note", "nice", "click"),  # a text in English: no sign of a purchase either
        ("Sterne", "4", "rating"),
        ("home_score", "2", "click"),  # goals
    ],
)
def test_stars_of_other_languages_are_numbers(tmp_path: Path, column: str, value: str, every: str) -> None:
    rows = [{"user_id": n % 20, "item_id": n % 31, column: value, "ts": 1_700_000_000 + n * 600} for n in range(90)]
    _, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert config.data.events.constants == {"event_type": every}
