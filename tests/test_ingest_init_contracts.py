"""`souk init` of a bank or an insurer: contracts, applications, what customers hold, and a column for each product."""

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from souk.config import parse_config
from souk.errors import SoukError
from souk.ingest.guess.contract_words import approves, decides
from souk.ingest.guess.first_config import FirstConfig, first_config
from souk.ingest.guess.phrases import act_of

ASKED = ["quote_requested", "get_quote", "application_started", "Application Submitted", "loan_application_started"]
ASKED += ["Antrag gestellt", "Angebot angefordert", "apply", "job_apply", "demande_envoyee", "solicitud_enviada"]
SIGNED = ["contract_signed", "policy_issued", "account_opened", "Konto eröffnet", "Vertrag abgeschlossen"]
SIGNED += ["signed", "Vertragsabschluss", "policy_purchased", "contrat_signe", "contrato_firmado"]
ENDED = ["contract_cancelled_14d", "contract_cancelled_within_14_days", "policy_lapsed", "Kündigung"]
ENDED += ["Vertrag gekündigt", "policy_cancelled", "contract_terminated", "Vertrag widerrufen"]
READ = ["policy_viewed", "policy_opened", "account_page_view"]
DECIDED = ["application_approved", "application_rejected", "loan_declined", "Antrag abgelehnt", "approved"]
UNKNOWN = ["account_login", "filter_applied", "signed_up", "quote_sent", "loan_repaid", "account", *DECIDED]
Table = dict[str, list[Any]]
DAY = 24 * 60 * 60_000


@pytest.mark.parametrize(
    ("texts", "act"),
    [(ASKED, "cart"), (SIGNED, "purchase"), (ENDED, "return"), (READ, "click"), (UNKNOWN, None)],
)
def test_what_is_done_with_contracts(texts: list[str], act: str | None) -> None:
    assert {text: act_of(text) for text in texts} == dict.fromkeys(texts, act)


def test_what_the_shop_decides() -> None:
    assert [text for text in DECIDED if not decides(text)] == []
    others = [
        "order_approved",
        "cookies_declined",
        "friend_request_rejected",
        "review_approved",
        "credit",
        *UNKNOWN[:6],
    ]
    assert [text for text in [*ASKED, *SIGNED, *ENDED, *READ, *others] if decides(text)] == []
    assert [text for text in DECIDED if approves(text)] == ["application_approved", "approved"]


def write(path: Path, table: Table) -> str:
    pd.DataFrame(table).to_csv(path, index=False)
    return str(path)


def log(steps: list[str]) -> Table:
    """Each of 40 users takes one of 8 products a day through all steps, hours apart."""
    table: Table = {"customer_id": [], "product_code": [], "event_name": [], "event_time": []}
    for row in range(120):
        for hour, step in enumerate(steps):
            values = (f"u{row % 40}", f"p{row % 8}", step, 1_700_000_000_000 + row * DAY + hour * DAY // 24)
            for key, value in zip(table, values, strict=True):
                table[key].append(value)
    return table


def guess(folder: Path, **tables: Table) -> FirstConfig:
    files = {key: write(folder / f"{key}.csv", table) for key, table in tables.items()}
    return first_config(files["events"], files.get("items"), files.get("users"), "bank")


def test_what_the_bank_decides_is_left_out_and_told(tmp_path: Path) -> None:
    found = guess(
        tmp_path, events=log(["page_view", "application_submitted", "application_approved", "contract_signed"])
    )
    source = parse_config(found.text).data.events
    assert source.skip == {"event_name": ("application_approved",)}
    assert source.event_types["contract_signed"] == "purchase" and source.event_types["application_submitted"] == "cart"
    assert not found.unknown and "the shop decided, and not the user, application_approved" in found.left_out[0]


def test_what_was_approved_is_bought_where_nothing_else_is(tmp_path: Path) -> None:
    found = guess(tmp_path, events=log(["page_view", "application_submitted", "application_rejected", "loan_approved"]))
    source = parse_config(found.text).data.events
    assert source.event_types["loan_approved"] == "purchase" and source.skip == {
        "event_name": ("application_rejected",)
    }
    assert not found.unknown


def contracts(number: str, begin: str, end: str) -> Table:
    days = [f"2024-{1 + row // 28:02d}-{1 + row % 28:02d}" for row in range(160)]
    ends = [f"2025-{1 + row // 28:02d}-{1 + row % 28:02d}" if row % 5 == 0 else "" for row in range(160)]
    ids = {"customer_id": [f"u{row % 50}" for row in range(160)], "product": [f"p{row % 7}" for row in range(160)]}
    return {number: [f"C{row}" for row in range(160)], **ids, begin: days, end: ends}


@pytest.mark.parametrize(
    ("number", "begin", "end", "by"),
    [
        ("contract_no", "start_date", "end_date", "contract_no"),
        ("Nr", "Vertragsbeginn", "Kündigung", "Vertragsbeginn"),
        ("policy_number", "inception", "cancelled_at", "policy_number"),
    ],
)
def test_a_contract_is_a_purchase_and_its_end_another_event(
    tmp_path: Path, number: str, begin: str, end: str, by: str
) -> None:
    text = guess(tmp_path, events=contracts(number, begin, end)).text
    assert parse_config(text).data.events.constants == {"event_type": "purchase"}
    assert f"event_type: purchase  # no type column, but contracts, by {by}" in text
    assert f"# left out: {end} (WHEN WHAT WAS BOUGHT ENDED" in text


def test_the_name_of_the_file_tells_contracts_and_a_policy_of_an_experiment_none(tmp_path: Path) -> None:
    table = contracts("policy_id", "start_date", "until")
    held = first_config(write(tmp_path / "holdings_2025.csv", table), None, None, "bank").text
    assert "event_type: purchase  # no type column, but contracts, by the name of holdings_2025.csv" in held
    other = first_config(write(tmp_path / "log.csv", table), None, None, "bank").text
    assert "event_type: click" in other


def test_what_customers_hold_tells_later_and_a_day_of_birth_how_to_write_it(tmp_path: Path) -> None:
    who = [f"u{row}" for row in range(40)]
    born = [f"19{50 + row}-05-{1 + row % 28:02d}" for row in range(40)]
    users: Table = {"customer_id": who, "birth_date": born, "products_held": [str(row % 5) for row in range(40)],
                    "num_of_products": [str(row % 4) for row in range(40)], "Anzahl Verträge": ["2", "3"] * 20,
                    "active": ["1", "0"] * 20, "number": [str(row % 3) for row in range(40)]}  # fmt: skip
    text = guess(tmp_path, events=log(["page_view", "contract_signed"]), users=users).text
    for name in ("products_held", "num_of_products", "Anzahl Verträge"):
        assert f"# left out: {name} (IT TELLS EVENTS OF LATER" in text
    assert "# left out: birth_date (WRITE THE YEAR ALONE into the file" in text
    assert {"active", "number"} <= parse_config(text).columns.users.keys()


def test_a_product_is_there_from_the_begin_of_its_sale_to_the_end(tmp_path: Path) -> None:
    items: Table = {"product_code": [f"p{row}" for row in range(8)], "Verkaufsstart": ["2020-01-01", "2021-01-01"] * 4,
                    "Verkaufsende": ["", "2024-12-31"] * 4}  # fmt: skip
    config = parse_config(guess(tmp_path, events=log(["page_view", "contract_signed"]), items=items).text)
    own = config.data.items
    assert own is not None
    assert (own.columns["created_at"], own.columns["available_until"]) == ("Verkaufsstart", "Verkaufsende")


def wide(user: str, products: int, others: int, values: tuple[str, str] = ("0", "1")) -> Table:
    rows = range(60)
    table: Table = {"fecha_dato": [f"2024-0{1 + row % 6}-28" for row in rows], user: [f"u{row // 6}" for row in rows]}
    table |= {f"trait_{each}": [str(row % 7) for row in rows] for each in range(others)}
    return table | {f"ind_p{each}_ult1": [values[(row + each) % 2] for row in rows] for each in range(products)}


@pytest.mark.parametrize("values", [("0", "1"), ("0.0", "1.0"), ("False", "True"), ("NA", "1")])
def test_a_column_for_each_item_is_told_whoever_the_user_is(tmp_path: Path, values: tuple[str, str]) -> None:
    for user in ("ncodpers", "customer_id"):
        with pytest.raises(SoukError) as error:
            guess(tmp_path, events=wide(user, 10, 3, values))
        assert "10 of 15 columns that are 0 or 1, such as ind_p0_ult1" in str(error.value)
        assert "docs/data.md, A column for each item" in str(error.value)


def test_flags_of_events_with_an_item_are_no_items(tmp_path: Path) -> None:
    for table in (
        {**wide("user_id", 10, 3), "item_id": [f"i{row % 9}" for row in range(60)]},
        {**wide("user_id", 5, 8), "sku_key": [f"i{row % 9}" for row in range(60)]},
    ):
        assert guess(tmp_path, events=table).text


def snippet(title: str) -> str:
    """The code of a section that a message names."""
    section = (Path(__file__).parents[1] / "docs" / "data.md").read_text().partition(f"\n### {title}\n")[2]
    return re.findall(r"```python\n(.*?)```", section.partition("\n### ")[0], re.S)[0]


def test_the_code_of_the_docs_makes_events_of_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pd.DataFrame(
        [("b", "2024-02-28", 1, 0), ("a", "2024-01-28", 1, None), ("a", "2024-02-28", 0, 1), ("a", "2024-03-28", 0, 1)],
        columns=["customer_id", "month", "ind_loan", "ind_card"],
    ).to_csv("snapshots.csv", index=False)
    exec(snippet("A column for each item"), {})
    assert sorted(pd.read_csv("events.csv").values.tolist()) == [
        ["a", "2024-01-28", "ind_loan", "purchase"],
        ["a", "2024-02-28", "ind_card", "purchase"],
        ["a", "2024-02-28", "ind_loan", "return"],
        ["b", "2024-02-28", "ind_loan", "purchase"],
    ]


def test_the_code_of_the_docs_makes_events_of_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("contracts.csv"), contracts("contract_no", "start_date", "end_date"))
    exec(snippet("Contracts that end"), {})
    config = parse_config(first_config("events.csv", None, None, "bank").text)
    assert config.data.events.event_types == {"purchase": "purchase", "return": "return"}
    assert config.objectives.satisfied.unless == ("return",)
