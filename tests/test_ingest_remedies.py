"""Most rows of a table refused for one reason: the error names what mends it, in the config or in the file."""

from pathlib import Path

import pytest

from souk.errors import SoukError
from tests.test_ingest_bad_input import run

HEAD = "user_id;item_id;event_type;timestamp;price\n"
TIME = "2024-05-31T12:00:00"
UNKNOWN = ["ansicht", "kauf", "merken", "storno", "teilen", "wischen"]


def refusal(folder: Path, rows: list[str], settings: str = "timestamp_unit: iso", encoding: str = "utf-8") -> str:
    """The error that these events end in."""
    (folder / "e.csv").write_text(HEAD + "".join(f"{row}\n" for row in rows), encoding=encoding)
    with pytest.raises(SoukError) as error:
        run(folder, f"data: {{events: {{path: e.csv, {settings}}}}}")
    return str(error.value)


def event(kind: str = "click", time: str = TIME, price: str = "", item: str = "i") -> str:
    return f"u;{item};{kind};{time};{price}"


@pytest.mark.slow
def test_unknown_event_types_are_named(tmp_path: Path) -> None:
    text = refusal(tmp_path, [event(UNKNOWN[n % 6]) for n in range(30)] + [event("rating")] * 30)
    shown = "ansicht, kauf, merken, storno, teilen"
    assert f"Map the event types in data.events.event_types, as {{view: click}}; unknown are: {shown}. All" in text
    mapped = "timestamp_unit: iso, event_types: {ansicht: click, merken: click}"
    text = refusal(tmp_path, [event(UNKNOWN[n % 4]) for n in range(30)], mapped)
    assert "unknown are: kauf, storno. All" in text


@pytest.mark.slow
def test_numbers_with_a_decimal_comma_are_told_with_the_key(tmp_path: Path) -> None:
    remedy = 'Set data.events.decimal to "," for a CSV, else write {} as {}. All'
    text = refusal(tmp_path, [event(price=["1.250,00", "12,50", ""][n % 3]) for n in range(30)])
    assert remedy.format("1.250,00", "1250.00") in text
    assert "data.events.decimal" not in refusal(tmp_path, [event(price=["12,50", "gratis"][n % 2]) for n in range(30)])


@pytest.mark.slow
def test_numbers_with_a_currency_are_told_with_what_to_write(tmp_path: Path) -> None:
    text = refusal(tmp_path, [event(price=["€1,250.00", "12.50", ""][n % 3]) for n in range(30)])
    assert "Write €1,250.00 as 1250.00 in the file. All" in text
    assert "Write" not in refusal(tmp_path, [event(price=["€12.50", "gratis"][n % 2]) for n in range(30)])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("decimal", "price", "told"),
    [(",", "12,50", True), (".", "12.50", True), (".", "12,50", True), (",", "gratis", False)],
)
def test_an_amount_for_a_position_is_told_with_the_column(tmp_path: Path, decimal: str, price: str, told: bool) -> None:
    settings = f'timestamp_unit: iso, decimal: "{decimal}", columns: {{position: price, price: ""}}'
    text = refusal(tmp_path, [event(price=price)] * 9, settings)
    remedy = (
        f"events.position is a whole number, 0 or 1 at the top; the file's price, which is read as it, has {price}: "
    )
    assert (remedy + "name another column in data.events.columns.position." in text) == told
    assert "type position: 9 rows" in text and "data.events.decimal" not in text


@pytest.mark.slow
def test_a_whole_number_with_a_comma_is_one(tmp_path: Path) -> None:
    text = refusal(tmp_path, [event(price="12,0")] * 9, 'timestamp_unit: iso, columns: {position: price, price: ""}')
    assert "data.events.decimal" in text and "whole number" not in text


@pytest.mark.slow
def test_a_file_that_is_no_utf_8_is_told_with_the_key(tmp_path: Path) -> None:
    text = refusal(tmp_path, [event(item=f"Zürich {n}") for n in range(30)], encoding="latin-1")
    remedy = "Set data.events.encoding to latin-1 for a CSV, or to what it is in, else write the file in UTF-8. All"
    assert remedy in text and "data.events.decimal" not in text and "event_types" not in text


@pytest.mark.slow
def test_no_reason_that_is_half_of_them_has_a_remedy(tmp_path: Path) -> None:
    text = refusal(tmp_path, [event(*[("kauf",), ("click", TIME, "1,5")][n % 2]) for n in range(30)])
    assert "domain event_type: 15 rows" in text and "type price: 15 rows" in text
    assert "unknown are" not in text and "data.events.decimal" not in text


@pytest.mark.parametrize(
    ("unit", "time", "remedy"),
    [
        ("iso", "01.01.25 05:55", "Write times such as 01.01.25 05:55 as 2024-05-31T12:00:00 in the file; data."),
        ("s", "01.01.25", "Write times such as 01.01.25 as 2024-05-31T12:00:00 in the file, and set data.events"),
        (
            "iso",
            "31.01.2025 05:55",
            "Set data.events.timestamp_unit to dmy, by whether the month or the day is first in",
        ),
        ("iso", "1735710938", "They look like s: set data.events.timestamp_unit to s."),
        ("iso", "173571", "Set data.events.timestamp_unit to ms, s or us if times are numbers"),
        ("ms", "2025-01-01", "Set data.events.timestamp_unit to iso if times are written as 2024-05-31T12:00:00."),
    ],
)
def test_times_that_are_neither_numbers_nor_iso_have_no_unit(tmp_path: Path, unit: str, time: str, remedy: str) -> None:
    text = refusal(tmp_path, [event(time=time)] * 9, f"timestamp_unit: {unit}")
    assert remedy in text
    assert ("ms, s or us" in text) == (time == "173571")


@pytest.mark.slow
def test_a_quote_that_nothing_closes_is_looked_for_in_the_first_of_its_rows(tmp_path: Path) -> None:
    rows = [event(item='"i' if n == 30 else "i") for n in range(40)]
    text = refusal(tmp_path, rows)
    assert "malformed: 10 rows" in text and "e.csv row 31" in text
    assert "Look at the first of these rows: in a CSV a quote that is opened and not closed" in text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("time", "remedy"), [("31.05.2024 09:00", "data.events.timestamp_unit to dmy, by whether"), ("im Mai", "")]
)
def test_days_in_an_order_among_others_that_it_reads_too_are_told_with_the_key(
    tmp_path: Path, time: str, remedy: str
) -> None:
    text = refusal(tmp_path, [event(time=TIME if n % 4 else time) for n in range(40)])
    assert "type timestamp: 10 rows" in text
    assert remedy in text and ("timestamp_unit" in text) == bool(remedy)


@pytest.mark.slow
@pytest.mark.parametrize(("unit", "other"), [("s", "ms"), ("ms", "us")])
def test_times_of_a_finer_unit_among_the_others_are_told(tmp_path: Path, unit: str, other: str) -> None:
    power = {"s": 0, "ms": 3, "us": 6}
    rows = [event(time=f"{1_700_000_000 + 60 * n}" + "0" * power[unit if n % 4 else other]) for n in range(40)]
    text = refusal(tmp_path, rows, f"timestamp_unit: {unit}")
    assert "future timestamp: 10 rows" in text
    assert f"looks like {other} among times in {unit}: write all in one unit into the file." in text
    ahead = [*rows[1:4], *[event(time="4000000000" + "0" * power[unit])] * 2]
    assert "looks like" not in refusal(tmp_path, ahead, f"timestamp_unit: {unit}")


@pytest.mark.slow
def test_dates_of_items_that_are_not_iso_are_to_be_written_so(tmp_path: Path) -> None:
    (tmp_path / "i.csv").write_text("item_id,listed\n" + "".join(f"i{n},{n + 1:02}.01.25\n" for n in range(9)))
    items = "items: {path: i.csv, timestamp_unit: iso, columns: {created_at: listed}}"
    (tmp_path / "e.csv").write_text(HEAD + f"{event()}\n" * 9)
    with pytest.raises(SoukError, match=r"Write times such as 01\.01\.25 as .*; data\.items\.timestamp_unit is iso"):
        run(tmp_path, f"data: {{events: {{path: e.csv, timestamp_unit: iso}}, {items}}}")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "tags", "told"),
    [("", "a|b", True), ('separators: {more: "|"}, ', "a|b", True), ('separators: {tags: "|"}, ', "[", False)],
)
def test_a_list_without_a_separator_is_told_with_the_key(tmp_path: Path, given: str, tags: str, told: bool) -> None:
    """The last has torn JSON, and a separator."""
    kinds = "columns: {items: {tags: list, more: list}}"
    (tmp_path / "i.csv").write_text("item_id,tags,more\n" + "".join(f"i{n},{tags},\n" for n in range(9)))
    (tmp_path / "e.csv").write_text(HEAD + f"{event()}\n" * 9)
    data = f"data: {{events: {{path: e.csv, timestamp_unit: iso}}, items: {{{given}path: i.csv}}}}"
    with pytest.raises(SoukError) as error:
        run(tmp_path, f"{data}\n{kinds}")
    remedy = 'Name in data.items.separators what stands between the entries of tags, as {tags: "|"}.'
    assert (remedy in str(error.value)) == told and "type tags: 9 rows" in str(error.value)


@pytest.mark.slow
def test_dates_for_numbers_are_told_as_days(tmp_path: Path) -> None:
    text = refusal(tmp_path, [event(price=f"2024-05-{1 + n % 28:02} 12:00:00") for n in range(30)])
    assert (
        "No kind takes dates: for price write days as a number into the file, 19844.5 for 2024-05-01 12:00:00. " in text
    )
    assert "No kind takes dates" not in refusal(tmp_path, [event(price="soon")] * 16 + [event(price="2024-05-01")] * 14)


@pytest.mark.slow
def test_ids_that_come_again_are_told_with_what_leaves_them_out(tmp_path: Path) -> None:
    rows = [event(item=f"i{n}", time=f"2024-05-{1 + n % 28:02}") + f";{n % 3}" for n in range(60)]
    settings = "timestamp_unit: iso, header: [user_id, item_id, event_type, timestamp, price, order]"
    text = refusal(tmp_path, rows, f"{settings}, columns: {{event_id: order}}")
    assert 'If order is no id of a row, as of an order, leave it out: data.events.columns.event_id: "".' in text
    few = [f"{row}{n}" if n % 2 else row for n, row in enumerate(rows)]
    assert "leave it out" not in refusal(tmp_path, few, f"{settings}, columns: {{event_id: order}}")


@pytest.mark.slow
def test_rows_without_an_id_are_told_with_the_column_that_is_mapped(tmp_path: Path) -> None:
    rows = [event(item="" if n % 3 else "i") for n in range(30)]
    text = refusal(tmp_path, rows, 'timestamp_unit: iso, columns: {item_id: item_id, price: ""}')
    assert "item_id is the file's item_id, which these rows have not: name the column that they have it in" in text
    assert 'data.events.skip: {item_id: ""} leaves them out if they have none' in text
