"""What the columns of an unknown file could be learned from as."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from souk.ingest import cells
from souk.ingest.day_orders import FORM
from souk.ingest.profile import COMMA, MANY, Column
from souk.schema import Kind

FEW_NUMBERS = 30  # whole numbers with at most this many values are codes, unless the name says otherwise
AMOUNTS = ("age", "year", "price", "cost", "count", "num", "size", "weight", "length", "height", "width", "duration",
           "minutes", "mins", "hours", "days", "months", "level", "stars", "score", "kcal", "calories")  # fmt: skip
CODES = ("id", "zip", "zipcode", "postcode", "postalcode", "phone", "code", "hash", "plz", "postleitzahl", "nr",
         "nummer", "schluessel", "brand", "manufacturer", "seller", "vendor", "author", "autor", "auteur", "autore",
         "creator",
         "contributor", "owner", "publisher", "agent")  # fmt: skip
LED, FEW_LED = r"^0\d+$", 0.01  # no amount is written with a zero before it; share that tells
MOST_CATEGORIES = 5_000
SEEN = 5_000  # lists
FEW_ELSEWHERE = 0.05  # share of the parts of names that stand in another place, too, as a surname Paul
SENTENCE = 2.5  # words of an entry
NESTED = "nested: write what is to be learned from into columns of their own (pandas.json_normalize)"


@dataclass(frozen=True)
class Guess:
    """What a column is: a kind (None: leave it out), a separator of its entries, and the evidence."""

    kind: Kind | None
    evidence: str
    separator: str = ""


def guess_kind(column: Column) -> Guess:
    """The kind of a column, from its values; codes and names are told apart by how often values repeat."""
    rows = len(column.texts)
    if not rows or column.distinct < 2:
        return Guess(None, "one value or none")
    if why := _unread(column):  # before lists and paths, which commas and slashes would make of it
        return Guess(None, why)
    if listed := _guess_list(column):
        return listed
    seen = f"{column.distinct:,} values in {rows:,} rows, such as {column.examples}"
    if column.time_unit:
        return Guess(None, f"a time; {seen}")
    code = column.plain.endswith(CODES) or column.snake.endswith("_no")  # a `casino` is none
    if column.numeric and not code and column.like(LED) < FEW_LED:
        amount = any(column.plain.startswith(word) or column.plain.endswith(word) for word in AMOUNTS)
        if not column.whole or column.distinct > FEW_NUMBERS or amount:
            identifying = column.whole and not amount and column.distinct > MANY * rows and rows > FEW_NUMBERS
            unread = len(column.said) - len(column.numbers)
            seen += (
                f"; {unread:,} are no numbers, such as {column.not_numbers}, and will be quarantined" if unread else ""
            )
            return Guess(None if identifying else Kind.NUMERIC, seen)
        return Guess(Kind.CATEGORICAL, seen)
    if column.distinct <= min(MOST_CATEGORIES, rows / 2):
        return Guess(Kind.CATEGORICAL, seen)
    words = pc.mean(pc.count_substring(column.texts, " ")).as_py() + 1
    if words >= 2:
        return Guess(Kind.TEXT, f"{words:.1f} words a value; {seen}")
    return Guess(None, f"{'nearly one a row' if column.distinct > MANY * rows else 'too many to learn from'}; {seen}")


def _unread(column: Column) -> str:
    """What numbers or days are in a form that is not read, and how to write them; "" where they are not."""
    if column.comma:
        point = column.comma.replace(".", "").replace(",", ".")
        mend = f'in a CSV add decimal: "," beside path, then map or declare it; else write {point} into the file'
        return f"NUMBERS WITH A DECIMAL COMMA, such as {column.comma}: {mend}"
    if column.currency:
        bare = without_currency(column.currency)
        return f"NUMBERS WITH A CURRENCY, such as {column.currency}: write {bare} into the file, then map or declare it"
    if column.united and column.distinct > FEW_NUMBERS:
        bare = without_currency(column.united)
        return f"NUMBERS WITH A UNIT, such as {column.united}: write {bare} into the file, then map or declare it"
    either = "; or map it, with timestamp_unit mdy or dmy, whichever comes first" * (column.like(FORM) >= MANY)
    return f"DATES, such as {column.examples}: write them as 2024-05-31 into the file{either}" if column.dated else ""


def without_currency(price: str) -> str:
    """A number with a currency, as a number that is read."""
    before, number, _ = re.split(r"(\d[\d.,']*)", price, maxsplit=1)  # a sign such as Fr. has a point, too
    number = number.replace("'", "").rstrip(".,")
    if re.match(COMMA, number):
        number = number.replace(".", "").replace(",", ".")
    elif re.fullmatch(r"\d{1,3}(\.\d{3})+", number):  # few prices have three decimals
        number = number.replace(".", "")
    return "-" * ("-" in before) + number.replace(",", "")


def _guess_list(column: Column) -> Guess | None:
    """A list, a path or a vector, by its type, brackets or separators."""
    kind = column.values.type
    if column.nested:
        if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
            return Guess(None, f"nested ({kind})")
        if pa.types.is_floating(kind.value_type):
            return Guess(None, "lists of numbers (declare it as `vector` to use ready-made embeddings)")
        return Guess(Kind.LIST, f"lists, such as {column.examples}")
    texts, rows = column.texts, len(column.texts)
    if column.like(r"^\{.*\}$") >= MANY:
        return Guess(None, f"{NESTED}, such as {column.examples}")
    if pc.sum(pc.starts_with(texts, "[")).as_py() >= MANY * rows:
        return _guess_bracketed(column)
    for separator in ("|", ";", ",") if not column.numeric else ():
        share = pc.sum(pc.match_substring(texts, separator)).as_py() / rows
        entries = pc.utf8_trim_whitespace(pc.list_flatten(pc.split_pattern(texts, separator)))
        different = pc.count_distinct(entries).as_py()
        listed = share >= 0.2 and different <= min(0.5 * len(entries), 0.8 * column.distinct, MOST_CATEGORIES)
        if listed and not (separator == "," and _in_places(texts)):
            return Guess(Kind.LIST, f"{different:,} entries between {separator!r} in {share:.0%} of values", separator)
    for separator in ("/", " > ", ">"):
        share = pc.sum(pc.match_substring(texts, separator)).as_py() / rows
        if share >= 0.5 and column.distinct <= max(50, rows / 2) and not column.time_unit:
            return Guess(Kind.PATH, f"{separator!r} in {share:.0%} of values, such as {column.examples}", separator)
    return None


def _in_places(texts: pa.Array) -> bool:
    """Whether commas part what has a place of its own, as a surname and a first name, or a town and a county: all such
    values have as many parts, and what stands in one place stands in no other."""
    parts = pc.split_pattern(texts, ",")
    counts = pc.list_value_length(parts).to_numpy()
    if np.mean(counts == (most := np.bincount(counts[counts > 1]).argmax()), where=counts > 1) < MANY:
        return False
    own = parts.filter(pa.array(counts == most))
    places = [set(pc.utf8_trim_whitespace(pc.list_element(own, n)).to_pylist()) for n in range(most)]
    places[0].update(texts.filter(pa.array(counts == 1)).to_pylist())
    different = set().union(*places)
    return sum(map(len, places)) - len(different) <= FEW_ELSEWHERE * len(different)


def _guess_bracketed(column: Column) -> Guess:
    """Lists in brackets are several categories, where they hold no objects, and what is no sentence comes again."""
    seen = f"lists in brackets, such as {column.examples}"
    if column.like(r"^\[\s*[\[{]"):
        return Guess(None, f"{NESTED}, {seen}")
    lists = cells.parse_list(column.texts.slice(0, SEEN))[0]
    entries = lists.flatten()
    if measured := _measures(lists):
        told = f"{measured} NUMBERS IN EACH: write each that tells something into a column of its own, such as calories"
        return Guess(None, f"{told}; an embedding is {Kind.VECTOR}[{measured}]; {seen}")
    if len(entries) > FEW_NUMBERS and 2 * pc.count_distinct(entries).as_py() > len(entries):
        words = pc.mean(pc.count_substring(entries, " ")).as_py() + 1
        if words >= SENTENCE:
            return Guess(Kind.TEXT, f"sentences of {words:.1f} words in brackets; {seen}")
    return Guess(Kind.LIST, seen)


def _measures(lists: pa.ListArray) -> int:
    """How many numbers each of some lists has, where all have as many, and fractions are among them, as of what is
    measured; 0 elsewhere. Whole ones may be ids."""
    entries, lengths = lists.flatten(), pc.unique(pc.list_value_length(lists).drop_null())
    if len(lengths) != 1 or lengths[0].as_py() < 2 or not len(entries):
        return 0
    numbers = cells.parse_number(entries)[0].drop_null().to_numpy(zero_copy_only=False)
    return int(lengths[0].as_py()) if len(numbers) == len(entries) and (numbers % 1 != 0).any() else 0
