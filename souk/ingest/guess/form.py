"""How an unknown file is written, where its name does not tell."""

from __future__ import annotations

import re

from souk.config import Source
from souk.errors import SoukError
from souk.readers import BROKEN, HERE, file_format, find_files, unpacked

SEEN_BYTES, SEEN_LINES = 1 << 16, 50
DOUBLE = "::"  # of MovieLens, whose titles have commas
PYTHON = r"\{u?'"  # what no object of JSON begins with
TYPED = r"[^:\t]+:(token|float)(_seq)?(\t[^:\t]+:(token|float)(_seq)?)*"  # the first line of RecBole's files


def no_rows(source: Source) -> SoukError:
    """The error of a file without any row that could be read: lines of Python's objects are none of JSON."""
    error = SoukError(f"rows in {source.path}", "none", "Is it the right file?")
    file = find_files(source.path, HERE)[0]
    with unpacked(file) as stream:
        first = bytes(stream.readline(SEEN_BYTES)).decode("utf-8", "replace").strip()
    if not re.match(PYTHON, first):
        return error
    mend = "import ast, json, sys; [print(json.dumps(ast.literal_eval(line))) for line in sys.stdin]"
    show = "zcat" if file.name.endswith(".gz") else "cat"
    return SoukError(
        f"one JSON object a line in {source.path}",
        f"objects as Python writes them, {first[:40]}...",
        f"Write them as JSON: {show} {file.name} | python -c '{mend}' > {file.name.partition('.')[0]}.jsonl",
    )


def formed(source: Source) -> Source:
    """The source with the `format` and the `delimiter` that the beginning of its first file tells, where its name does
    not: `ratings.dat` with `::` between the values, `u.data`, or a `u.item` that is none of RecBole.

    Raises:
        SoukError: nothing is there, or a file of another form.
    """
    file = find_files(source.path, HERE)[0]
    unknown, kind = None, ""
    try:
        kind = file_format(source, file.name)
    except SoukError as error:
        unknown = error
    if kind in ("parquet", "jsonl"):
        return source
    try:
        with unpacked(file) as stream:
            start = bytes(stream.read(SEEN_BYTES))
    except BROKEN:  # which reading it tells
        return source
    if unknown and start.startswith((b"PAR1", b"{")):
        return source.model_copy(update={"format": "parquet" if start.startswith(b"PAR1") else "jsonl"})
    lines = start.decode("utf-8", "replace").splitlines()[:SEEN_LINES]
    if unknown and (not lines or b"\0" in start):
        raise unknown
    changed = {}
    if unknown or (kind == "atomic" and lines and not re.fullmatch(TYPED, lines[0])):
        changed["format"] = "csv"
    counts = {line.count(DOUBLE) for line in (lines[:-1] if len(start) == SEEN_BYTES else lines)}
    if (changed or kind == "csv") and len(counts) == 1 and counts != {0}:
        changed["delimiter"] = DOUBLE
    return source.model_copy(update=changed)
