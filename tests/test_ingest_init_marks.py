"""What `souk init` makes of words for no number, of acts in the plural, and of how often something was done."""

from pathlib import Path

import pytest

from souk.ingest.guess.phrases import act_of
from tests.test_ingest_first_config import Table, init, read, write


@pytest.mark.parametrize(
    ("text", "act"),
    [
        ("clicks", "click"),
        ("carts", "cart"),
        ("orders", "purchase"),
        ("item_views", "click"),
        ("clickout item", "cart"),
        ("order cancelled", "return"),
        ("sorts", None),
        ("pas", None),
    ],
)
def test_acts_are_known_in_the_plural(text: str, act: str | None) -> None:
    assert act_of(text) == act


def looks() -> Table:
    return [{"session": n % 9, "aid": n % 60, "ts": 1_700_000_000_000 + n, "type": "clicks"} for n in range(180)]


@pytest.mark.parametrize("word", ["NULL", "NA", "\\N"])
def test_a_word_for_no_number_makes_no_words_of_numbers(tmp_path: Path, word: str) -> None:
    """A third of the rows has no width and no date: both are numbers and dates all the same."""
    goods = [
        {"id": n, "width": word if n % 3 else 10.5 + n, "created_at": word if n % 3 else 1_690_000_000 + n}
        for n in range(60)
    ]
    text, config = init(tmp_path, write(looks(), tmp_path / "e.csv"), write(goods, tmp_path / "i.csv"))
    items = read(config, "items")
    assert config.columns.items == {"width": "numeric"} and "quarantine" not in text
    assert items.faults == [] and items.table["width"].null_count == items.table["created_at"].null_count == 40


@pytest.mark.parametrize(
    ("name", "learned"),
    [("play_cnt", False), ("like_user_num", False), ("counts", False), ("page_count", True), ("book_count", True)],
)
def test_how_often_something_was_done_is_not_learned_from(tmp_path: Path, name: str, learned: bool) -> None:
    goods = [{"id": n, name: 7 * n % 61 + 0.5} for n in range(60)]
    text, config = init(tmp_path, write(looks(), tmp_path / "e.csv"), write(goods, tmp_path / "i.csv"))
    assert (name in config.columns.items) == learned != ("IT TELLS EVENTS OF LATER" in text)


@pytest.mark.parametrize(("name", "rated"), [("Book-Rating", True), ("review_score", True), ("credit_score", False)])
def test_stars_are_known_beside_what_is_rated(tmp_path: Path, name: str, rated: bool) -> None:
    rows = [{"user_id": n % 11, "isbn": n % 7, "ts": 1_700_000_000 + n, name: n % 10 + 1} for n in range(180)]
    _, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert config.data.events.constants == {"event_type": "rating" if rated else "click"}
    assert (config.data.events.columns.get("value") == name) == rated


def test_a_number_of_a_maker_is_a_name(tmp_path: Path) -> None:
    goods = [{"id": n, "brand": ["National", "Private"][n % 2], "manufacturer": 7 * n % 40} for n in range(120)]
    _, config = init(tmp_path, write(looks(), tmp_path / "e.csv"), write(goods, tmp_path / "i.csv"))
    assert config.columns.items["manufacturer"] == "categorical"
