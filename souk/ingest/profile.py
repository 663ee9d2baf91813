"""What the columns of an unknown file look like."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from souk.config import Source, composed
from souk.errors import SoukError
from souk.ingest import cells, day_orders, no_dates
from souk.ingest.convert import check_names
from souk.readers import HERE, RawBatch, read_batches

SAMPLE_ROWS = 200_000
SHOWN = 25  # characters of an example: those of 2024-05-31T12:00:00+02:00
UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss"})
UNITS = {"s": (3e8, 5e9), "ms": (3e11, 5e12), "us": (3e14, 5e15)}  # years 1979 to 2128
SOME = 0.2  # share of days among days, months and years
MANY = 0.95  # the share of values that must fit a guess
# Numbers of three digits with commas between: of codes one value has two and another three, or one.
CODES, TWO_CODES = r"^\d{3}(,\d{3})*$", r"^\d{3},\d{3}$"
COMMA = r"^[+-]?(\d{1,3}(\.\d{3})+|\d+),\d{1,2}$"  # a number with a decimal comma
# A number with the sign of a currency, or its code, before or behind it.
CODED = "EUR|USD|GBP|CHF|JPY|CNY|INR|SEK|NOK|DKK|PLN|CZK|HUF|RON|TRY|BRL|MXN|AUD|CAD|NZD|ZAR|KRW|SGD|HKD|ILS|AED"
SIGN = rf"(\p{{Sc}}|{CODED}|kr\.?|zł|Kč|Fr\.)"
FROM = r"(?i:ab|from|desde|da|dès|od)\s+"  # before the least of several prices
# For how long or how much of it: of a rent by the month, and of what is sold by weight.
EACH = r"(\s?(/|per|pro|par|por|al|p\.?c\.?m|p\.?\s?m|p\.?\s?w|mtl)(\s?\p{L}{0,12}\.?))?"
CURRENCY = rf"^({FROM})?([+-]?{SIGN}\s?[+-]?\d[\d.,']*|[+-]?\d[\d.,']*\s?{SIGN}){EACH}$"
MOSTLY = 0.8  # share of numbers with a currency, or without, beside words such as `on request`
UNITED = r"^[+-]?\d+([.,]\d+)*\s?(\p{L}{1,4}[²³23]?\.?|%|sq\.? ?(ft|m)\.?)$"  # 62 m², 500 ml
SEVERAL = 0.2  # share of numbers with a unit, from which it is one
# Of a day, in whatever order; a version such as 1.2.3 is none.
MONTH = r"(?i:jan|feb|m[aä]r|apr|ma[iy]|jun|jul|aug|sep|o[ck]t|nov|de[cz])(?i:[a-zä]*)\.?"
WORDED = rf"{MONTH} \d{{1,2}},? \d{{4}}|\d{{1,2}}\.?[ /-]{MONTH},?[ /-](\d{{4}}|\d{{2}})|\d{{1,2}} \d{{1,2}}, \d{{4}}"
DATE = rf"^(\d{{4}}[./-]\d{{1,2}}[./-]\d{{1,2}}|\d{{1,2}}[./-]\d{{1,2}}[./-](\d{{4}}|\d{{2}})|{WORDED})([^\d./-]|$)"


def latin(text: str) -> str:
    """A text in small letters, umlauts as German writes them without, other letters without their accents."""
    parts = unicodedata.normalize("NFKD", composed(text).lower().translate(UMLAUTS))
    return "".join(sign for sign in parts if not unicodedata.combining(sign))


def plain(text: str) -> str:
    """A text without case, punctuation, umlauts and accents."""
    return re.sub(r"[^a-z0-9]", "", latin(text))


def snake(text: str) -> str:
    """A text as its words with `_` between, each as `plain` has it; a capital after a small letter begins a word."""
    split = re.sub(r"([a-zß-öø-ÿ0-9])([A-ZÀ-ÖØ-Þ])", r"\1_\2", composed(text))
    return re.sub(r"[^a-z0-9]+", "_", latin(split)).strip("_")


@dataclass(frozen=True)
class Column:
    """A column of the sample: `name` in the file and its values, of any type."""

    name: str
    values: pa.Array

    @property
    def plain(self) -> str:
        """The name without case, punctuation, umlauts and accents."""
        return plain(self.name)

    @property
    def snake(self) -> str:
        """The name as configs write it, a letter first."""
        name = snake(self.name)
        return f"c_{name}" if name[:1].isdigit() else name or "column"

    @property
    def nested(self) -> bool:
        return bool(pa.types.is_nested(self.values.type))

    @cached_property
    def texts(self) -> pa.Array:
        """The values that are present, as text."""
        if self.nested:
            values = self.values.drop_null().to_pylist()
            return pa.array(["|".join(map(str, v)) if isinstance(v, list) else str(v) for v in values], pa.string())
        return cells.parse_text(self.values)[0].drop_null()

    @cached_property
    def said(self) -> pa.Array:
        """The texts but those that say, in a number or a time, that there is none, as NULL."""
        if self.nested:
            return self.texts
        return self.texts.filter(pc.invert(pc.is_in(pc.utf8_lower(self.texts), value_set=pa.array(cells.MISSING))))

    @cached_property
    def distinct(self) -> int:
        return int(pc.count_distinct(self.texts).as_py())

    @property
    def filled(self) -> float:
        """The share of rows that have a value."""
        return len(self.texts) / max(1, len(self.values))

    @cached_property
    def numbers(self) -> np.ndarray:
        """The values that are numbers."""
        return cells.parse_number(self.texts)[0].drop_null().to_numpy(zero_copy_only=False)

    @cached_property
    def numeric(self) -> bool:
        if not len(self.said) or len(self.numbers) < MANY * len(self.said):
            return False
        several = self.said.filter(pc.match_substring(self.said, ","))
        return not (len(several) and Column("", several).like(CODES) == 1 and self.like(TWO_CODES) < MANY)

    @property
    def not_numbers(self) -> str:
        """Its first few different values that are no numbers, for a comment; any, where all are."""
        others = self.said.filter(cells.parse_number(self.said)[0].is_null())
        return Column(self.name, others if len(others) else self.texts).examples

    @property
    def whole(self) -> bool:
        return self.numeric and bool((self.numbers % 1 == 0).all())

    @cached_property
    def time_unit(self) -> str:
        """`native`, or `iso`, `mdy`, `dmy`, `s`, `ms` or `us`; "" for a column that holds no times, or days of which
        nobody knows the order."""
        if pa.types.is_timestamp(self.values.type) or pa.types.is_date(self.values.type):
            return "native"
        if not len(self.said) or self.nested:
            return ""
        dated = no_dates.without(self.said, "iso").drop_null()
        if self.numeric and not (len(dated) and Column("", dated).like(cells.BASIC) >= MANY):  # no 20240531
            middle = float(np.median(self.numbers))
            return next((unit for unit, (low, high) in UNITS.items() if low <= middle <= high), "")
        read = len(cells.parse_time(dated, "iso")[0].drop_null())
        if SOME * len(dated) <= read < MANY * len(dated):  # of records that are old the year alone is known
            read = len(cells.parse_time(cells.whole_days(dated), "iso")[0].drop_null())
        return "iso" if read and read >= MANY * len(dated) else self._day_order(dated)

    def _day_order(self, dated: pa.Array) -> str:
        """The order in which more of the days are days of a calendar; of both alike that with points is the German."""
        known = dated.filter(pc.match_substring_regex(dated, day_orders.FORM))
        others = len(cells.parse_time(dated, "iso")[0].drop_null())  # of an app's log, which each order reads, too
        if not len(known) or len(known) + others < MANY * len(dated):
            return ""
        reads = {unit: len(cells.parse_time(known, unit)[0].drop_null()) for unit in day_orders.ORDERS}
        best = max(reads, key=lambda unit: reads[unit])
        if reads["mdy"] == reads["dmy"]:
            best = "dmy" if Column("", known).like(r"^\d{1,2}\.\d{1,2}\.") >= MANY else ""
        return best if best and reads[best] >= MANY * len(known) else ""

    def like(self, pattern: str) -> float:
        """The share of the values that a regular expression matches."""
        return float(pc.mean(pc.match_substring_regex(self.texts, pattern)).as_py() or 0)

    @cached_property
    def comma(self) -> str:
        """A number with a decimal comma, where these are most of the values and the rest are whole; "" elsewhere."""
        if self.nested or self.numeric or self.like(COMMA) < 0.5 or self.like(rf"{COMMA}|^[+-]?\d+$") < MANY:
            return ""
        return next(str(text) for text in self.texts.to_pylist() if re.match(COMMA, text))

    @cached_property
    def dated(self) -> bool:
        """Whether these are days in an order that nobody knows, as 05/06/2024."""
        return not self.nested and not self.time_unit and self.like(DATE) >= MANY

    @cached_property
    def currency(self) -> str:
        """A number with the sign of a currency, where these and plain numbers are the values; "" elsewhere."""
        if self.nested or self.numeric or self.like(CURRENCY) < 0.5:
            return ""
        if self.like(rf"{CURRENCY}|{cells.NUMBER}") < MOSTLY:
            return ""
        return str(self.texts.filter(pc.match_substring_regex(self.texts, CURRENCY))[0].as_py())

    @cached_property
    def united(self) -> str:
        """A number with a unit of measure, where these, of one unit, and plain numbers are the values; "" elsewhere."""
        if self.nested or self.numeric or self.time_unit or self.like(UNITED) < SEVERAL:
            return ""
        if self.like(rf"{UNITED}|{cells.NUMBER}") < MANY:
            return ""
        own = self.texts.filter(pc.match_substring_regex(self.texts, UNITED))
        units = pc.replace_substring_regex(own, r"^[+-]?\d[\d.,']*\s?", "")
        return str(own[0]) if pc.max(pc.value_counts(units).field("counts")).as_py() >= MOSTLY * len(own) else ""

    @property
    def examples(self) -> str:
        """Its first few different values, for a comment."""
        return ", ".join(_shown(str(value)) for value in pc.unique(self.texts).slice(0, 3).to_pylist())


def _shown(value: str) -> str:
    """The beginning of a value; of a time that does not fit, all but the fraction of its second."""
    whole = value if len(value) <= SHOWN else re.sub(r"(:\d\d)[.,]\d+", r"\1", value)
    return whole[:SHOWN].replace("\n", " ")


def sample(source: Source, look: Callable[[RawBatch], None] = lambda batch: None) -> tuple[list[Column], int]:
    """The columns of the first SAMPLE_ROWS rows of a source, and how many names and cells its encoding cannot read.

    Of several files, one that comes later counts too where it has other columns, as orders beside an app's log, or the
    log, which lacks the prices, beside the orders.
    Rows that cannot be split into columns are no rows without values: they are left out, unless there are no others.

    Args:
        source: the files.
        look: is given the first rows of each file, before anything is made of them.
    """
    tables, rows, unread = [], 0, 0
    wanted, seen, kinds = "", set[str](), list[set[str]]()  # a file, and the columns of those before it, and of each

    def goes_on(last: RawBatch) -> bool:
        return last.file == wanted and not np.any(last.positions >= SAMPLE_ROWS)

    for batch in read_batches(source, HERE, goes_on):
        names = {*batch.table.column_names}
        like_others = names <= seen if batch.lines is not None else names in kinds  # lines may lack anything
        if rows >= SAMPLE_ROWS and batch.file != wanted and like_others:
            continue
        if batch.file != wanted:
            look(batch)
        wanted, seen = batch.file, seen | names
        kinds.append(names)
        check_names(batch)
        tables.append(whole_rows(batch) if len(batch.malformed) < batch.table.num_rows else batch.table)
        rows += batch.table.num_rows
        unread += len(batch.undecodable) + sum("\ufffd" in name for name in batch.table.column_names)
    return columns_of(tables), unread


def columns_of(tables: Sequence[pa.Table]) -> list[Column]:
    """The columns of tables as of one."""
    whole = _together(tables).combine_chunks() if tables else pa.table({})
    arrays = [array_of(whole[name]) for name in whole.column_names]
    return [Column(name, array) for name, array in zip(whole.column_names, arrays, strict=True) if name]


def whole_rows(batch: RawBatch) -> pa.Table:
    """The rows that could be split into columns."""
    whole = np.ones(batch.table.num_rows, bool)
    whole[list(batch.malformed)] = False
    return batch.table.filter(pa.array(whole))


def _together(tables: Sequence[pa.Table]) -> pa.Table:
    """Tables as one. A column of which files have different types becomes text, and times of it milliseconds: a log in
    CSV has texts alone, orders beside it in Parquet do not."""
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowTypeError:
        kinds: dict[str, set[pa.DataType]] = {}
        for field in (field for table in tables for field in table.schema):
            kinds.setdefault(field.name, set()).add(field.type)
        mixed = {name: types - {pa.null()} for name, types in kinds.items() if len(types - {pa.null()}) > 1}
    for name, types in mixed.items():
        if nested := [kind for kind in types if pa.types.is_nested(kind)]:
            others = ", ".join(sorted(map(str, types - set(nested[:1]))))
            raise SoukError(f"one type of {name} in all files", f"{nested[0]}, and {others}", "Write one of them anew.")
    return pa.concat_tables([_as_text(table, [*mixed]) for table in tables], promote_options="permissive")


def _as_text(table: pa.Table, names: list[str]) -> pa.Table:
    for name in set(names) & {*table.column_names}:
        array = array_of(table[name])
        if pa.types.is_date(array.type) or pa.types.is_timestamp(array.type):
            array = cells.parse_time(array, "ms")[0]
        table = table.set_column(table.column_names.index(name), name, cells.parse_text(array)[0])
    return table


def array_of(column: pa.ChunkedArray) -> pa.Array:
    """A column in one piece."""
    array = column.combine_chunks()
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
