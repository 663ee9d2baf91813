"""What `souk init` makes of a look, a cart and a purchase that follow each other."""

from pathlib import Path

import pytest

from souk.cli import main
from souk.schema import EventType
from tests.test_ingest_first_config import init, write

CLICK, CART, PURCHASE = EventType.CLICK, EventType.CART, EventType.PURCHASE
MINUTE, DAY = 60, 86_400


def visits(*steps, count=100, returned=False):
    """Events of so many users, each of a visit of their own: at steps[n] seconds after the look a cart, a purchase."""
    return [
        {"user_id": f"u{n}", "item_id": f"i{n % 9}", "timestamp": 1_700_000_000 + n * DAY // 2 + later, "event": kind}
        for n in range(count)
        for kind, later in [("view", 0), *zip(("cart", "purchase"), steps, strict=False)]
    ] + [{"user_id": "u1", "item_id": "i1", "timestamp": 1_700_000_000 + 9 * DAY, "event": "return"}] * returned


def test_the_first_step_of_a_visit_engages_and_the_last_one_satisfies(tmp_path: Path, capsys) -> None:
    events = write(visits(MINUTE, 2 * MINUTE), tmp_path / "e.csv")
    assert main(["init", "--events", events, "--output", str(tmp_path / "o.yaml")]) == 0
    why = "100 of 100 carts and 100 of 100 purchases come within half an hour after another act with the same item"
    assert f"CARTS AND PURCHASES DO NOT ENGAGE: {why}. " in capsys.readouterr().out.splitlines()[-1]
    text, config = init(tmp_path, events)
    assert f"# Carts and purchases do not engage: {why}." in text and "see satisfied." in text
    assert config.objectives.engaged.events == (CLICK,)
    satisfied = config.objectives.satisfied
    assert (satisfied.events, satisfied.followed_by) == ((CLICK,), (PURCHASE,))
    assert config.repeat.rule == "never", "nobody clicks an item twice"


@pytest.mark.parametrize(
    ("steps", "engaged", "followed_by"),
    [
        ((MINUTE, 31 * MINUTE + MINUTE), (CLICK, PURCHASE), (PURCHASE,)),  # too late after the cart: of its own
        ((29 * MINUTE, 58 * MINUTE), (CLICK,), (PURCHASE,)),  # each near the step before it
        ((DAY, DAY + MINUTE), (CLICK, CART), (PURCHASE,)),  # a visit of its own begins with the cart
        ((0, 0), (CLICK, CART, PURCHASE), (PURCHASE,)),  # dates only: one moment is one step
        ((MINUTE,), (CLICK,), (CART,)),  # nothing is bought here
    ],
)
def test_what_comes_at_another_visit_engages(tmp_path: Path, steps, engaged, followed_by) -> None:
    text, config = init(tmp_path, write(visits(*steps), tmp_path / "e.csv"))
    assert config.objectives.engaged.events == engaged
    assert config.objectives.satisfied.followed_by == followed_by
    assert ("do not engage" in text) == (len(engaged) <= len(steps))


def test_a_purchase_that_engages_beside_the_look_is_not_said_to_be_out(tmp_path: Path) -> None:
    """The config said that the first step alone engaged, above three types of events that do."""
    rows = [*visits(MINUTE, DAY), {"user_id": "u1", "item_id": "i1", "timestamp": 1_701_000_000, "event": "return"}]
    text, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert config.objectives.engaged.events == (CLICK, PURCHASE)
    assert "# Carts do not engage: 100 of 100 carts come" in text
    assert "nothing be recommended.\n" in text, "what satisfies is of purchases and says nothing of carts"


@pytest.mark.parametrize(("alone", "steps"), [(25, True), (26, False)])
def test_four_fifths_of_a_type_are_nearly_all(tmp_path: Path, alone: int, steps: bool) -> None:
    bought = [{**row, "user_id": f"v{n}"} for n, row in enumerate(visits(count=alone))]
    rows = visits(MINUTE, 2 * MINUTE) + [{**row, "event": "purchase"} for row in bought]
    _, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert config.objectives.engaged.events == ((CLICK,) if steps else (CLICK, PURCHASE))


def test_what_is_bought_at_once_and_kept_satisfies(tmp_path: Path) -> None:
    _, config = init(tmp_path, write(visits(MINUTE, 2 * MINUTE, returned=True), tmp_path / "e.csv"))
    satisfied = config.objectives.satisfied
    assert (satisfied.events, satisfied.followed_by, satisfied.unless) == ((CLICK,), (PURCHASE,), (EventType.RETURN,))


def test_what_is_bought_at_once_satisfies_before_stars_do(tmp_path: Path) -> None:
    """It engages no more, and would count nowhere."""
    later = {"timestamp": 1_700_000_000 + 90 * DAY, "event": "rating"}
    stars = [{**row, **later, "value": 1 + n % 5} for n, row in enumerate(visits())]
    for steps, followed_by in (((MINUTE, 2 * MINUTE), (PURCHASE,)), ((MINUTE, DAY), ())):
        rows = [{**row, "value": ""} for row in visits(*steps)] + stars
        _, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
        assert config.objectives.satisfied.followed_by == followed_by
        assert (config.objectives.satisfied.min_value == 4) != bool(followed_by)
        (tmp_path / "my.yaml").unlink()


@pytest.mark.parametrize("typed", [5, 9])
def test_a_mistyped_star_moves_no_bar(tmp_path: Path, typed: int) -> None:
    rows = [{**row, "event": "rating", "stars": 1 + n % 5} for n, row in enumerate(visits(count=200))]
    _, config = init(tmp_path, write([*rows, {**rows[0], "stars": typed}], tmp_path / "e.csv"))
    assert config.objectives.satisfied.min_value == 4


@pytest.mark.parametrize(("rated", "asked"), [(16, False), (15, True)])
def test_stars_of_what_is_gone_ask_for_nothing(tmp_path: Path, rated: int, asked: bool) -> None:
    """What is sold once is rated after its sale, when no slate has it: four fifths of the ratings are nearly all."""
    sold = 1_700_000_000 + 60 * DAY
    looks = [
        {"user_id": f"u{n % 7}", "item_id": f"i{n}", "timestamp": sold - DAY - n, "event": "view"} for n in range(60)
    ]
    stars = [
        {**looks[n], "event": "rating", "value": 1 + n % 5, "timestamp": sold + (DAY if n < rated else -DAY)}
        for n in range(20)
    ]
    goods = [{"item_id": f"i{n}", "sold_at": sold, "withdrawn_at": sold + 9 * DAY} for n in range(60)]
    rows = [{**row, "value": ""} for row in looks] + stars
    text, config = init(tmp_path, write(rows, tmp_path / "e.csv"), write(goods, tmp_path / "i.csv"))
    assert (EventType.RATING in config.objectives.engaged.events) == asked
    assert (config.objectives.satisfied.min_value == 4) == asked
    assert (f"{rated} of 20 ratings come after the end of their item" in text) != asked


@pytest.mark.parametrize("sold", [60, 20])
def test_stars_after_the_sale_of_what_is_sold_once_ask_for_nothing_whatever_the_items_say(
    tmp_path: Path, sold: int
) -> None:
    """Of 60 purchases 22 would by chance be of an item that another bought before, of 20 three."""
    start = 1_700_000_000
    looks = [{"user_id": f"u{n % 7}", "item_id": f"i{n}", "timestamp": start + n, "event": "view"} for n in range(60)]
    buys = [{**row, "event": "purchase", "timestamp": start + DAY} for row in looks[:sold]]
    stars = [{**row, "event": "rating", "value": 1 + n % 5, "timestamp": start + 2 * DAY} for n, row in enumerate(buys)]
    rows = [{**row, "value": ""} for row in looks + buys] + stars
    text, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    once = sold == 60
    assert config.repeat.sold_once == once
    assert (EventType.RATING not in config.objectives.engaged.events) == once
    assert (f"{sold} of {sold} ratings come after the end of their item" in text) == once


@pytest.mark.parametrize(("own", "asked"), [(80, False), (79, True)])
def test_stars_of_what_was_bought_ask_for_nothing_where_purchases_are_steps(
    tmp_path: Path, own: int, asked: bool
) -> None:
    """A dish is rated after its delivery, by who ordered it: whoever repeats the last order would be right."""
    later = {"event": "rating"}
    stars = [
        {**row, **later, "user_id": row["user_id"] if n < own else "w", "timestamp": row["timestamp"] + 3600}
        for n, row in enumerate(visits())
    ]
    text, config = init(tmp_path, write(visits(MINUTE, 2 * MINUTE) + stars, tmp_path / "e.csv"))
    assert (EventType.RATING in config.objectives.engaged.events) == asked
    assert (
        f"Carts and purchases and ratings do not engage: 100 of 100 carts and 100 of 100 purchases come within "
        f"half an hour after another act with the same item, and {own} of 100 ratings are of what the user had bought"
        in text
    ) != asked
    assert config.objectives.satisfied.followed_by == (PURCHASE,)
    (tmp_path / "my.yaml").unlink()
    before = [{**row, "timestamp": row["timestamp"] - 7200} for row in stars[:own]] + stars[own:]
    _, config = init(tmp_path, write(visits(MINUTE, 2 * MINUTE) + before, tmp_path / "e.csv"))
    assert EventType.RATING in config.objectives.engaged.events, "nothing was bought yet"


def test_stars_engage_where_purchases_are_visits_of_their_own(tmp_path: Path) -> None:
    """They are what satisfies, and a label is of an engagement."""
    rows = [{**row, "event": "purchase", "value": ""} for row in visits()]
    stars = [
        {**row, "event": "rating", "value": 1 + n % 5, "timestamp": row["timestamp"] + 3600}
        for n, row in enumerate(rows)
    ]
    _, config = init(tmp_path, write(rows + stars, tmp_path / "e.csv"))
    assert config.objectives.engaged.events == (PURCHASE, EventType.RATING)
    assert config.objectives.satisfied.min_value == 4


@pytest.mark.parametrize(("days", "within"), [(9, 0.4), (44, 2), (400, 7)])
def test_in_a_log_of_a_few_days_purchases_are_asked_for_in_hours(tmp_path: Path, days: int, within: float) -> None:
    """Half of the last tenth: a label of a whole day would never be known."""
    looks = [{"user": n % 40, "item": n * 7 % 41, "action": "view", "timestamp": n * days * 96} for n in range(900)]
    buys = [{**row, "action": "buy", "timestamp": row["timestamp"] + 600} for row in looks[::9]]
    rows = [{**row, "timestamp": 1_700_000_000 + row["timestamp"]} for row in looks + buys]
    text, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert config.objectives.satisfied.within_days == within
    assert f"bought within {within:g} days" in text


@pytest.mark.parametrize("lent", [True, False])
def test_a_return_that_ends_what_is_lent_says_nothing_of_satisfaction(tmp_path: Path, lent: bool) -> None:
    """Of clothes half come back; of books and cars all, and the last ones are not back yet."""
    rows = [
        {
            "user_id": f"u{n % 40}",
            "item_id": f"i{n}",
            "timestamp": 1_700_000_000 + (n // 4 + later) * DAY,
            "event": kind,
        }
        for n in range(400)
        for kind, later in (("purchase", 0), ("return", 3 + n % 25))
        if kind == "purchase" or ((lent or n % 2) and n // 4 + later < 100)
    ]
    text, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert bool(config.objectives.satisfied.unless) != lent
    assert (
        "; NO unless: [return]: 200 of 200 earlier purchases are given back, as what is lent or let" in text
    ) == lent
