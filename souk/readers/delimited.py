"""CSV, and the tab separated "atomic" files of RecBole: text columns, nothing dropped."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from souk.errors import SoukError
from souk.readers.files import BLOCK_BYTES, File, unpacked
from souk.readers.raw import RawBatch

ESCAPED = r"[\x{10FF80}-\x{10FFFF}]"
ESCAPED_PYTHON = "[\U0010ff80-\U0010ffff]"


def read_csv(file: File) -> Iterator[RawBatch]:
    yield from _read_delimited(file, _delimiter, quote='"', rename=lambda name: name)


def read_atomic(file: File) -> Iterator[RawBatch]:
    """RecBole's atomic files: tab separated, `name:type` in the header, no quotes."""
    yield from _read_delimited(file, lambda header: "\t", quote=False, rename=lambda name: name.partition(":")[0])


def _delimiter(header: str) -> str:
    return max((",", ";", "\t", "|"), key=header.count)


def _read_delimited(
    file: File, delimiter_of: Callable[[str], str], quote: str | bool, rename: Callable[[str], str]
) -> Iterator[RawBatch]:
    with unpacked(file) as stream:
        header = stream.readline().decode("utf-8-sig", "replace").rstrip("\r\n")
    if not header.strip():
        raise SoukError(f"a header line in {file.name}", "an empty file or first line", "Write the column names first.")
    delimiter = delimiter_of(header)
    quoting = {"quotechar": '"'} if quote else {"quoting": csv.QUOTE_NONE}
    names = [rename(n.strip()) for n in next(csv.reader([header], delimiter=delimiter, **quoting))]
    skipped: list[tuple[int, str]] = []

    def keep(row: Any) -> str:
        skipped.append((row.number - 1, row.text))
        return "skip"

    with unpacked(file) as stream:
        stream.readline()
        joined = _Joined(names, delimiter, stream)
        reader = arrow_csv.open_csv(
            pa.PythonFile(joined, mode="r"),
            read_options=arrow_csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES),
            parse_options=arrow_csv.ParseOptions(
                delimiter=delimiter, quote_char=quote, newlines_in_values=bool(quote), invalid_row_handler=keep
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types={str(i): pa.string() for i in range(len(names))},
                strings_can_be_null=True,
                null_values=[""],
            ),
        )
        last = 0
        for batch in reader:
            # The reader looks ahead, so `skipped` may hold rows of later batches.
            count = 0
            while count < len(skipped) and skipped[count][0] <= last + batch.num_rows + count + 1:
                count += 1
            malformed, skipped[:count] = skipped[:count], []
            yield _delimited_batch(file.name, names, batch, malformed, last, joined.ascii)
            last += batch.num_rows + len(malformed)
        if skipped:
            empty = reader.schema.empty_table().combine_chunks()
            yield _delimited_batch(file.name, names, empty, skipped, last, joined.ascii)


class _Joined(io.RawIOBase):
    """A stream of the header `0,1,2,...` and then the rows, so that columns are addressed by place.

    Arrow's parser refuses a file for one byte that is not UTF-8; here such a byte becomes a character of ESCAPED.
    """

    def __init__(self, names: list[str], delimiter: str, rows: BinaryIO) -> None:
        self._head = (delimiter.join(map(str, range(len(names)))) + "\n").encode()
        self._rows = rows
        self._decoder = codecs.getincrementaldecoder("utf-8")("souk-byte")
        self.ascii = True

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if self._head:
            head, self._head = self._head, b""
            return head
        while block := self._rows.read(size // 4 if size > 4 else size):  # an escaped byte takes four
            text = self._decoder.decode(block)
            self.ascii = self.ascii and text.isascii()
            if text:
                return text.encode()
        return self._decoder.decode(b"", final=True).encode()


def _delimited_batch(
    file: str, names: list[str], rows: Any, malformed: list[tuple[int, str]], last: int, ascii_only: bool
) -> RawBatch:
    """The batch after row `last`; malformed rows follow the others, with their own positions."""
    total = rows.num_rows + len(malformed)
    bad = np.array([number for number, _ in malformed], dtype=np.int64)
    good = np.setdiff1d(np.arange(last + 1, last + total + 1), bad)
    columns: list[pa.Array] = []
    undecodable: list[tuple[int, str]] = []
    for index, name in enumerate(names):
        text = rows.column(index)
        if not ascii_only:
            wrong = pc.match_substring_regex(text, ESCAPED)
            undecodable += [(row, name) for row in np.flatnonzero(pc.fill_null(wrong, False)).tolist()]
            text = pc.replace_substring_regex(text, ESCAPED, "\ufffd")
        columns.append(pa.chunked_array([text, pa.nulls(len(malformed), pa.string())]).combine_chunks())
    texts = {rows.num_rows + i: re.sub(ESCAPED_PYTHON, "\ufffd", text) for i, (_, text) in enumerate(malformed)}
    table = pa.Table.from_arrays(columns, names=names)
    return RawBatch(file, table, np.concatenate([good, bad]), texts, tuple(undecodable))


def _escape_bytes(error: UnicodeError) -> tuple[str, int]:
    """Bytes that are not UTF-8 as private characters (codec error handler `souk-byte`)."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(chr(0x10FF00 + byte) for byte in error.object[error.start : error.end]), error.end


codecs.register_error("souk-byte", _escape_bytes)
