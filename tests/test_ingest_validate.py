"""Checks of rows: known reasons, outliers, duplicates, the future, and what a schema says."""

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from google.protobuf import text_format
from pyarrow import parquet

from souk.config import Outliers, Source
from souk.errors import SoukError
from souk.ingest.checks import LARGEST, check_future, check_schema, check_size, new_values
from souk.ingest.faults import Fault, Reason, fault, faulty
from souk.ingest.mapping import TableSource, arrow_schema
from souk.ingest.outliers import Bounds, check_override_names, find_bounds, treat_outliers
from souk.ingest.quarantine import Quarantine, QuarantineWriter, check_threshold
from souk.ingest.reading import Rows
from souk.ingest.repeats import RepeatedIds
from souk.ingest.schemas import SchemaFolder, contract_schema, read_schema
from souk.ingest.validate import anomalies
from souk.readers import RawBatch
from souk.schema import ID_COLUMN, Kind
from souk.steps.ingest import _line


def table(name: str, kinds: dict[str, Kind], **columns: list[Any]) -> pa.Table:
    size = len(next(iter(columns.values())))
    schema = arrow_schema(name, kinds)
    return pa.table([pa.array(columns.get(f.name, [None] * size), f.type) for f in schema], schema=schema)


def found(faults: list[Fault]) -> dict[str, list[int]]:
    return {f"{each.reason} {each.column}": each.rows.tolist() for each in faults}


def test_the_contract_refuses_what_it_must() -> None:
    events = table(
        "events",
        {},
        event_id=["a", "b", "c", "d"],
        user_id=["u", None, "u", "u"],
        item_id=["i", "i", "i", "i"],
        event_type=["click", "click", "look", "click"],
        timestamp=[1, -1, 2, None],
        price=[1.0, 0.0, None, -0.5],
        propensity=[0.0, 1e-6, 1.0, 1.5],
    )
    unread = {"timestamp": np.array([False, False, False, True])}
    assert found(check_schema(events, contract_schema("events", {}), unread)) == {
        "missing user_id": [1],
        "range timestamp": [1],
        "domain event_type": [2],
        "range price": [3],
        "range propensity": [3],
    }


OLD = 'feature { name: "created_at" type: INT int_domain { min: 0 } }'  # of a workspace, or a release, of before


@pytest.mark.parametrize("schema", [None, OLD])
@pytest.mark.parametrize("name", ["items", "users"])
def test_items_and_users_may_be_older_than_1970(name: str, schema: str | None) -> None:
    """Of old records, books and films the row was lost, with their titles."""
    rules = read_schema(name, schema, {}, "x.pbtxt") if schema else contract_schema(name, {})
    key = ID_COLUMN[name]
    assert check_schema(table(name, {}, **{key: ["a", "b"]}, created_at=[-347_155_200_000, None]), rules, {}) == []


@pytest.mark.parametrize(
    ("feature", "wrong"),
    [
        ('name: "c" type: BYTES string_domain { value: "x" }', {"domain c": [1]}),
        ('name: "c" type: BYTES string_domain { value: "x" } distribution_constraints { min_domain_mass: 0.9 }', {}),
        ('name: "c" type: BYTES presence { min_fraction: 1 }', {"missing c": [2]}),
        ('name: "n" type: FLOAT float_domain { min: 2 max: 3 }', {"range n": [0]}),
        ('name: "l" type: BYTES string_domain { value: "a" }', {"domain l": [0]}),
        ('name: "v" type: FLOAT float_domain { max: 1.5 }', {"range v": [0]}),
        ('name: "l" type: FLOAT float_domain { max: 1.5 }', {}),  # of texts nothing is less
        ('name: "l" type: BYTES value_count { min: 1 max: 1 }', {"dimension l": [0, 1]}),
        ('name: "v" type: FLOAT value_count { min: 2 max: 2 }', {"dimension v": [1]}),
        ('name: "v" type: FLOAT shape { dim { size: 2 } }', {"dimension v": [1]}),
    ],
)
def test_a_schema_is_enforced(feature: str, wrong: dict[str, list[int]]) -> None:
    kinds = {"c": Kind.CATEGORICAL, "n": Kind.NUMERIC, "l": Kind.LIST, "v": Kind.VECTOR}
    lists: dict[str, list[Any]] = {"l": [["a", "b"], [], ["a"]], "v": [[1.0, 2.0], [1.0], None]}
    rows = table("users", kinds, user_id=["1", "2", "3"], c=["x", "y", None], n=[1.0, 2.0, 3.0], **lists)
    schema = text_format.Parse(f"feature {{ {feature} }}", contract_schema("users", {}))
    assert found(check_schema(rows, schema, {})) == wrong


def test_new_values_of_an_open_domain_are_told() -> None:
    text = 'feature { name: "c" domain: "d" distribution_constraints { min_domain_mass: 0.5 } }'
    text += ' string_domain { name: "d" value: "x" }'
    rows = table("users", {"c": Kind.CATEGORICAL}, user_id=["1", "2"], c=["x", "new"])
    schema = text_format.Parse(text, contract_schema("users", {}))
    assert new_values(rows, schema) == {"c": ["new"]}


def test_the_future_begins_after_the_latest_time() -> None:
    rows = table("events", {}, timestamp=[9, 10, 11, None], arrived_at=[12, None, 1, 1])
    assert found(check_future("events", rows, 10)) == {"future timestamp": [2], "future arrived_at": [0]}
    assert check_future("items", table("items", {}, created_at=[99]), 10) == []


def test_numbers_that_the_models_cannot_take_are_out_of_range() -> None:
    """What stands for no price in other systems: as float32 infinite, or its square is."""
    largest, single = float(np.finfo(np.float64).max), float(np.finfo(np.float32).max)
    items = table(
        "items",
        {"weight": Kind.NUMERIC, "look": Kind.VECTOR},
        item_id=[*"abcdef"],
        price=[1.0, largest, single, -single, None, LARGEST],
        weight=[None, 1.0, 2.0, 3.0, 4.0, -2 * LARGEST],
        look=[[1.0, 2.0], None, [], [0.0, single], [largest, 0.0], [1.0, 1.0]],
    )
    assert found(check_size(items)) == {"range price": [1, 2, 3], "range weight": [5], "range look": [3, 4]}
    assert check_size(items.slice(0, 0)) == []


def test_a_repeat_is_a_later_row_of_an_id_or_an_earlier_one(tmp_path: Path) -> None:
    ids = RepeatedIds(tmp_path)
    ids.add(pa.chunked_array([["a", "b", "a"]]), np.array([0, 1, 2]))
    ids.add(pa.chunked_array([["c", "a", "b"]]), np.array([5, 7, 9]))
    for last, expected in ((False, {2: 1, 7: 2, 9: 1}), (True, {0: 2, 2: 1, 1: 1})):
        pairs = [pair for rows, nth in ids.find(last) for pair in zip(rows.tolist(), nth.tolist(), strict=True)]
        assert dict(pairs) == expected
        assert len(pairs) == 3


@pytest.mark.parametrize(
    ("action", "wrong", "last"),
    [("quarantine", [20], 1000.0), ("clip", [], 10 + 3 * 1.4826 * 5), ("warn", [], 1000.0), ("off", [], 1000.0)],
)
def test_outliers_are_treated_as_the_config_says(action: str, wrong: list[int], last: float) -> None:
    values = [*map(float, range(20)), 1000.0, None, -5e6]  # median 10, MAD 5 over the good rows
    rows = table("events", {}, price=values)
    good = np.ones(len(values), bool)
    good[-1] = False  # a row with another fault takes no part
    outliers = Outliers(action="off", width=3, columns={"price": action})  # type: ignore[dict-item]
    bounds = find_bounds(rows.filter(pa.array(good)), ["price", "value"], outliers)
    treated, faults, bounds = treat_outliers(rows, good, bounds)
    assert [row for each in faults for row in each.rows.tolist()] == wrong
    assert treated["price"].to_pylist()[20] == pytest.approx(last)
    assert treated["price"].to_pylist()[:20] == values[:20]
    assert treated["price"].to_pylist()[21:] == [None, -5e6]
    assert [(each.low, each.outside) for each in bounds] == ([] if action == "off" else [(10 - 3 * 1.4826 * 5, 1)])


def test_the_value_of_a_hide_has_no_bounds() -> None:
    """A 0 takes it back."""
    rows = pa.table({"event_type": ["hide", "impression", "rating"], "value": [0.0, 0.0, 0.0]})
    treated, _, (found,) = treat_outliers(rows, np.ones(3, bool), [Bounds("value", 1.0, 5.0, 0, "clip")])
    assert (treated["value"].to_pylist(), found.outside) == ([0.0, 0.0, 1.0], 1)


def test_an_outlier_column_that_no_table_has_is_an_error() -> None:
    with pytest.raises(SoukError, match="Did you mean 'price'"):
        check_override_names(Outliers(columns={"prise": "clip"}), {"events": {}, "items": {}, "users": {}})


def refuse(faults: list[Fault], size: int, file: Path, skipped: int = 0) -> Quarantine:
    ids = [str(i) for i in range(size)]
    raw = RawBatch("u.csv", pa.table({"user": ids}), np.arange(1, size + 1))
    writer = QuarantineWriter(file, {})
    good = writer.add(Rows(table("users", {}, user_id=ids), [], raw), faults)
    writer.close()
    return writer.outcome("users", size + skipped, {"age": skipped} if skipped else {}, 0, int(good.sum()))


def test_a_row_with_several_faults_counts_once_under_the_first_reason(tmp_path: Path) -> None:
    faults = [
        Fault(Reason.DUPLICATE, "user_id", np.array([1])),
        Fault(Reason.RANGE, "created_at", np.array([1, 3])),
        Fault(Reason.TYPE, "age", np.array([1])),
    ]
    assert refuse(faults, 5, tmp_path / "q.parquet", skipped=4).counts() == {
        "read": 9,
        "accepted": 3,
        "quarantined": 2,
        "reasons": {"range created_at": 1, "type age": 1},
        "skipped": {"age": 4},
    }
    assert parquet.read_table(tmp_path / "q.parquet").to_pylist()[0] == {
        "reason": "type",
        "column": "age",
        "row": '{"user": "1"}',
        "position": 2,
        "file": "u.csv",
        "reasons": ["type age", "range created_at", "duplicate user_id"],
    }


def test_a_list_outside_a_closed_domain_is_refused_with_its_entries(tmp_path: Path) -> None:
    rows = table("users", {"tags": Kind.LIST}, user_id=["1", "2"], tags=[["a"], ["b", None, "c"]])
    writer = QuarantineWriter(tmp_path / "q.parquet", {})
    writer.add(Rows(rows, [], RawBatch("u.csv", rows, np.arange(1, 3))), [Fault(Reason.DOMAIN, "tags", np.array([1]))])
    writer.close()
    assert writer.outcome("users", 2, {}, 0, 1).values == {"domain tags": ["b", "c"]}


def test_rows_that_are_lost_are_noticed() -> None:
    with pytest.raises(AssertionError, match=r"3 accepted \+ 1 quarantined \+ {} skipped != 5 read"):
        Quarantine("users", 5, {}, 0, 3, {"type age": 1}, {}).counts()


def test_the_threshold_names_reasons_and_three_samples(tmp_path: Path) -> None:
    refused = refuse([Fault(Reason.TYPE, "age", np.arange(4))], 100, tmp_path / "q.parquet", skipped=900)
    sources = {"users": TableSource("users", Source(path="u.csv"), {})}
    check_threshold([refused], 0.04, tmp_path, sources)
    with pytest.raises(SoukError) as error:
        check_threshold([refused], 0.039, tmp_path, sources)
    text = str(error.value)
    assert "4 of 1,000 users (4.0% of those not skipped)" in text
    assert "type age: 4 rows" in text
    assert [line.rstrip(". ") for line in text.splitlines() if "u.csv row" in line] == [
        f'    u.csv row {n + 1}: {{"user": "{n}"}}' for n in range(3)
    ]
    assert str(tmp_path) in text


def test_a_share_just_above_the_threshold_is_not_rounded_to_it(tmp_path: Path) -> None:
    refused = refuse([Fault(Reason.TYPE, "age", np.arange(4))], 99, tmp_path / "q.parquet")
    with pytest.raises(SoukError, match=r"at most 4\.0% .* \(4\.040%\)"):
        check_threshold([refused], 0.04, tmp_path, {"users": TableSource("users", Source(path="u.csv"), {})})


def test_refused_types_of_events_are_named_in_the_line() -> None:
    counts = {"domain event_type": 3, "type price": 1}
    table = Quarantine(
        "events", 9, {}, 0, 5, counts, {}, {"domain event_type": ["refund", "gift\n card"], "type price": ["x"]}
    )
    assert "4 quarantined (3 domain event_type: refund, gift card, 1 type price)" in _line(table)
    several = replace(table, values={"domain event_type": [*"abcde"]})
    assert "event_type: a, b, c, d, e, perhaps others, 1 type" in _line(several)


def test_masks_and_faults() -> None:
    assert fault(Reason.TYPE, "a", np.array([False])) == []
    assert faulty([Fault(Reason.TYPE, "a", np.array([2]))], 3).tolist() == [False, False, True]


def test_a_schema_that_does_not_know_a_declared_column_is_an_error() -> None:
    kinds = {"age": Kind.NUMERIC}
    with pytest.raises(SoukError, match="feature age of type FLOAT"):
        read_schema("users", 'feature { name: "user_id" type: BYTES }', kinds, "users.pbtxt")
    with pytest.raises(SoukError, match=r"users\.pbtxt to be a TFDV schema"):
        read_schema("users", "feature {", kinds, "users.pbtxt")


def test_a_schema_folder_knows_whether_it_was_edited(tmp_path: Path) -> None:
    folder = SchemaFolder(tmp_path)
    assert folder.read("users") == ""
    folder.write("users", "# a")
    assert not folder.edited("users")
    (tmp_path / "users.pbtxt").write_text("# b")
    assert folder.edited("users")
    assert folder.read("users") == "# b"


def test_a_new_column_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {
        "arrived_at": ("New column", "New column (column in data but not in schema)"),
        "value": ("Out-of-range values", "Unexpectedly low values: -1."),
    }
    told = {column: SimpleNamespace(short_description=a, description=b) for column, (a, b) in texts.items()}
    found = SimpleNamespace(validate_statistics=lambda *_, **__: SimpleNamespace(anomaly_info=told))
    monkeypatch.setitem(sys.modules, "tensorflow_data_validation", found)
    some = SimpleNamespace(datasets=[SimpleNamespace(num_examples=1)])
    assert anomalies("events", some, None, None) == [
        "events.arrived_at: New column (column in data but not in schema)",
        "events.value: Out-of-range values. Unexpectedly low values: -1.",
    ]
