"""What is looked at in a file of items before it is sent: rows that name items again, columns that nothing reads."""

from pathlib import Path

import pytest

from souk.config import parse_config
from souk.errors import SoukError
from souk.ingest.item_file import FEW, survey


def surveyed(folder: Path, rows: list[str], more: str = "") -> tuple[str, ...]:
    (folder / "i.csv").write_text("\n".join(["item_id,title,test", *rows, ""]))
    objectives = "{engaged: {events: [click]}, satisfied: {events: [click]}}"
    items = f"{{path: {folder / 'i.csv'}{more}}}"
    columns = "{items: {title: text}}"
    text = f"name: s\ndata: {{events: {{path: e}}, items: {items}}}\ncolumns: {columns}\nobjectives: {objectives}\n"
    return survey(str(folder / "i.csv"), parse_config(text))


def test_a_few_rows_again_are_no_events(tmp_path: Path) -> None:
    unused, again = surveyed(tmp_path, ["a,Hat,no"] * (FEW + 1))
    assert unused == "items: column test of the source is not used"
    assert again.startswith(f"Rows of an item that the file has already: {FEW}; the last row counts here")
    with pytest.raises(SoukError, match=rf"i\.csv, with {FEW + 1} of {FEW + 2}\."):
        surveyed(tmp_path, ["a,Hat,no"] * (FEW + 2))
    surveyed(tmp_path, [f"{n},Hat,no" for n in range(20 * (FEW + 1))] + ["0,Hat,no"] * (FEW + 1))  # below 5%


@pytest.mark.parametrize("rule", ["first", "last"])
def test_where_the_config_says_which_row_counts_any_number_is_sent(tmp_path: Path, rule: str) -> None:
    told = surveyed(tmp_path, ["a,Hat,no"] * 99, f", repeated_ids: {rule}")
    assert told == ("items: column test of the source is not used",)


def test_rows_that_are_not_sent_or_name_no_item_are_none_again(tmp_path: Path) -> None:
    assert not surveyed(tmp_path, ["a,Hat,yes"] * 99 + [",Hat,no"] * 99 + ["b,Hat,no"], ', skip: {test: "yes"}')
