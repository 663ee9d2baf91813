"""CSV, and the tab separated "atomic" files of RecBole: text columns, nothing dropped."""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from souk.config import Source
from souk.errors import SoukError
from souk.readers.files import BLOCK_BYTES, File, unpacked
from souk.readers.raw import RawBatch

ESCAPED = r"[\x{10FF00}-\x{10FFFF}]"
ESCAPED_PYTHON = "[\U0010ff00-\U0010ffff]"
DELIMITERS = (",", ";", "\t", "|")
MARK = "\ufeff"  # what some programs write before the first character

MALFORMED_BYTES = 1 << 28  # of malformed rows in memory: Arrow gives no batch before it meets a good row
ROW_BYTES = 200  # what a malformed row takes beside its text
ESCAPE_BYTES = 4  # what an escaped byte takes
SEPARATOR = "\x1f"  # stands for a delimiter of several characters, which Arrow does not know


@dataclass(frozen=True)
class Form:
    """How a delimited file is written.

    Args:
        delimiter: "" for the most frequent of `,` `;` tab and `|` in the first line.
        quotes: whether values may stand in double quotes.
        typed: whether names are `name:type`.
        encoding: of the bytes.
        header: the names of the columns, where the file has no line of them.
    """

    delimiter: str = ""
    quotes: bool = True
    typed: bool = False
    encoding: str = "utf-8"
    header: tuple[str, ...] = ()


def read_csv(file: File, source: Source) -> Iterator[RawBatch]:
    quotes = len(source.delimiter) < 2
    yield from _read_delimited(file, Form(source.delimiter, quotes, False, source.encoding, source.header))


def read_atomic(file: File, source: Source) -> Iterator[RawBatch]:
    """RecBole's atomic files: tab separated, `name:type` in the header, no quotes."""
    yield from _read_delimited(file, Form("\t", False, True, source.encoding, source.header))


def _names(file: File, form: Form) -> tuple[list[str], str]:
    """The columns and the delimiter."""
    with unpacked(file) as stream:
        line = stream.readline(BLOCK_BYTES)
    if len(line) == BLOCK_BYTES:
        raise SoukError(f"lines in {file.name}", f"none within {BLOCK_BYTES:,} bytes", "Is it a text file?")
    if line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        remedy = f"Save it as UTF-8: iconv -f UTF-16 -t UTF-8 {file.name}."
        raise SoukError(f"{file.name} in UTF-8", "UTF-16, by its first two bytes", remedy)
    first = line.decode(form.encoding, "replace").removeprefix(MARK).rstrip("\r\n")
    if not first.strip():
        raise SoukError(f"a header line in {file.name}", "an empty file or first line", "Write the column names first.")
    tabs = ".tsv" in file.name.lower() and "\t" in first  # whatever else stands in what may be a row
    frequent = "\t" if tabs else max(DELIMITERS, key=first.count)
    if form.delimiter and not form.typed and form.delimiter not in first and frequent in first:
        remedy = f"Set `delimiter` to {frequent!r}, or leave it out."
        raise SoukError(f"the delimiter {form.delimiter!r} in the first line of {file.name}", first[:80], remedy)
    delimiter = form.delimiter or frequent
    if form.header:
        return list(form.header), delimiter
    if len(delimiter) > 1:
        return [name.strip() for name in first.split(delimiter)], delimiter
    quoting = {"quotechar": '"'} if form.quotes else {"quoting": csv.QUOTE_NONE}
    try:
        if form.quotes and _open(first, delimiter):
            received = f"a quote that this line does not close: {first[:80]}"
            remedy = "Write each without a line break, or give `header` where this is a row."
            raise SoukError(f"the column names of {file.name} in one line", received, remedy)
        names = [name.strip() for name in next(csv.reader([first], delimiter=delimiter, **quoting))]
    except csv.Error as error:
        remedy = "End each line with a line feed, and write the column names first."
        raise SoukError(f"column names in the first line of {file.name}", str(error), remedy) from error
    return [name.partition(":")[0] if form.typed else name for name in names], delimiter


def _open(line: str, delimiter: str) -> bool:
    """Whether a quote is open at the end of a line."""
    try:
        next(csv.reader([line], delimiter=delimiter, strict=True))
    except csv.Error as error:
        return str(error) == "unexpected end of data"
    return False


def _read_delimited(file: File, form: Form) -> Iterator[RawBatch]:
    names, delimiter = _names(file, form)
    skipped: list[tuple[int, str]] = []
    held = rows = 0  # of `skipped`, from which `_batches` takes

    def keep(row: Any) -> str:
        nonlocal held, rows
        if rows != len(skipped):
            held = sum(map(_size, skipped))
        skipped.append((row.number - 1, row.text))
        rows, held = len(skipped), held + _size(skipped[-1])
        return "skip" if held <= MALFORMED_BYTES else "error"

    with unpacked(file) as stream, _arrow_explained(file.name, len(names), skipped):
        if not form.header:
            stream.readline()
        joined = _Joined(len(names), delimiter, stream, form.encoding)
        reader = arrow_csv.open_csv(
            pa.PythonFile(joined, mode="r"),
            read_options=arrow_csv.ReadOptions(use_threads=False, block_size=ESCAPE_BYTES * BLOCK_BYTES),
            parse_options=arrow_csv.ParseOptions(
                delimiter=joined.delimiter,
                quote_char='"' if form.quotes else False,
                newlines_in_values=form.quotes,
                invalid_row_handler=keep,
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types={str(i): pa.string() for i in range(len(names))},
                strings_can_be_null=True,
                null_values=[""],
            ),
        )
        yield from _batches(file.name, names, reader, skipped, joined)


def _batches(
    file: str, names: list[str], reader: Any, skipped: list[tuple[int, str]], joined: _Joined
) -> Iterator[RawBatch]:
    """What Arrow read and what it `skipped` (number and text), put together again."""
    last = extra = 0  # rows as Arrow counts them, and lines within skipped rows beyond their first
    for batch in reader:
        # The reader looks ahead, so `skipped` may hold rows of later batches.
        count = 0
        while count < len(skipped) and skipped[count][0] <= last + batch.num_rows + count + 1:
            count += 1
        malformed, skipped[:count] = skipped[:count], []
        yield _delimited_batch(file, names, batch, malformed, (last, extra), joined.ascii)
        last += batch.num_rows + len(malformed)
        extra += sum(len(_lines(text)) - 1 for _, text in malformed)
    if skipped:
        empty = pa.record_batch({str(i): pa.array([], pa.string()) for i in range(len(names))})
        yield _delimited_batch(file, names, empty, skipped, (last, extra), joined.ascii)


@contextlib.contextmanager
def _arrow_explained(file: str, columns: int, skipped: list[tuple[int, str]]) -> Iterator[None]:
    """Arrow's complaints in words that help: a row larger than a block, or none that is right for long."""
    try:
        yield
    except pa.ArrowInvalid as error:
        if sum(map(_size, skipped)) > MALFORMED_BYTES:
            received = f"{len(skipped):,} rows in a row that have another number, such as {skipped[0][1][:80]!r}"
            remedy = "Give `delimiter`, and `header` if the file has no line of names."
            raise SoukError(f"{columns} columns in the rows of {file}", received, remedy) from error
        if "straddl" not in str(error):
            raise
        received = f"one of more than {BLOCK_BYTES:,} bytes"
        raise SoukError(f"shorter rows in {file}", received, "Is a quote opened somewhere and not closed?") from error


def _size(skipped: tuple[int, str]) -> int:
    """The bytes that a malformed row takes."""
    return len(skipped[1]) + ROW_BYTES


def _lines(text: str) -> list[str]:
    """The lines of a malformed row: it has several where an open quote swallowed the rows after it."""
    return [line.rstrip("\r") for line in text.split("\n") if line.strip()] or [text]


class _Joined(io.RawIOBase):
    """A stream of the header `0,1,2,...` and then the rows, so that columns are addressed by place.

    Arrow's parser refuses a file for one byte that is not UTF-8; here such a byte becomes a character of ESCAPED. A
    `delimiter` of several characters becomes one.
    """

    def __init__(self, columns: int, delimiter: str, rows: BinaryIO, encoding: str) -> None:
        self.delimiter = delimiter if len(delimiter) == 1 else SEPARATOR
        self._long = delimiter if len(delimiter) > 1 else ""
        self._head = (self.delimiter.join(map(str, range(columns))) + "\n").encode()
        self._rows = rows
        self._decoder = codecs.getincrementaldecoder(encoding)("souk-byte")
        self._held = ""  # the beginning of a delimiter at the end of a block
        self._mark = MARK  # until something is read
        self.ascii = True

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if self._head:
            head, self._head = self._head, b""
            return head
        while block := self._rows.read(max(1, size // ESCAPE_BYTES)):
            text = self._decoder.decode(block)
            if text:
                text, self._mark = text.removeprefix(self._mark), ""
            if text := self._split(text):
                self.ascii = self.ascii and text.isascii()
                return text.encode()
        text = self._split(self._decoder.decode(b"", final=True)) + self._held
        self._held = ""
        self.ascii = self.ascii and text.isascii()
        return text.encode()

    def _split(self, text: str) -> str:
        """`text` with one-character delimiters."""
        if not self._long:
            return text
        text = (self._held + text).replace(self._long, self.delimiter)
        sizes = range(len(self._long) - 1, 0, -1)
        held = next((size for size in sizes if text.endswith(self._long[:size])), 0)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]


def _delimited_batch(
    file: str,
    names: list[str],
    rows: Any,
    skipped: list[tuple[int, str]],
    before: tuple[int, int],
    ascii_only: bool,
) -> RawBatch:
    """The rows that Arrow read and those that it skipped, with their positions; the latter follow the others.

    Args:
        file: its name.
        names: of the columns.
        rows: what Arrow read.
        skipped: Arrow's number of each other row, and its text.
        before: rows before this batch as Arrow counts them, and what that count lacks.
        ascii_only: whether no cell can hold an escaped byte.
    """
    last, extra = before
    lines = [_lines(text) for _, text in skipped]
    numbers = np.array([number for number, _ in skipped], dtype=np.int64)
    shifts = extra + np.concatenate([[0], np.cumsum([len(each) - 1 for each in lines])]).astype(np.int64)
    good = np.setdiff1d(np.arange(last + 1, last + rows.num_rows + len(skipped) + 1), numbers)
    good += shifts[np.searchsorted(numbers, good)]
    firsts = numbers + shifts[:-1]
    bad = [first + place for first, each in zip(firsts.tolist(), lines, strict=True) for place in range(len(each))]
    malformed = [re.sub(ESCAPED_PYTHON, "\ufffd", line) for each in lines for line in each]
    columns: list[pa.Array] = []
    undecodable: list[tuple[int, str]] = []
    for index, name in enumerate(names):
        text = rows.column(index).cast(pa.string())  # null where Arrow skipped every row
        if not ascii_only:
            wrong = pc.match_substring_regex(text, ESCAPED)
            undecodable += [(row, name) for row in np.flatnonzero(pc.fill_null(wrong, False)).tolist()]
            text = pc.replace_substring_regex(text, ESCAPED, "\ufffd")
        columns.append(pa.chunked_array([text, pa.nulls(len(malformed), pa.string())]).combine_chunks())
    positions = np.concatenate([good, np.array(bad, dtype=np.int64)])
    texts = dict(enumerate(malformed, start=rows.num_rows))
    return RawBatch(file, pa.Table.from_arrays(columns, names=names), positions, texts, tuple(undecodable))


def _escape_bytes(error: UnicodeError) -> tuple[str, int]:
    """Bytes that are not UTF-8 as private characters (codec error handler `souk-byte`)."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(chr(0x10FF00 + byte) for byte in error.object[error.start : error.end]), error.end


codecs.register_error("souk-byte", _escape_bytes)
