"""How an unknown file is written, where its name does not tell."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from souk.config import Source
from souk.errors import SoukError
from souk.readers import BROKEN, HERE, file_format, find_files, unpacked
from souk.readers.delimited import DELIMITERS

SEEN_BYTES, SEEN_LINES = 1 << 16, 50
HEAD = r"[^\s,;|:]+:"
FEWEST_LINES = 10  # from which it is no chance that all have one sign as often
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
        f"Write them as JSON: {show} {_shell(source)} | python -c '{mend}' > {file.name.partition('.')[0]}.jsonl",
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
    changed: dict[str, str] = {}
    if unknown or (kind == "atomic" and lines and not re.fullmatch(TYPED, lines[0])):
        changed["format"] = "csv"
    whole = lines[:-1] if len(start) == SEEN_BYTES else lines
    if kind == "csv" or changed:
        check_headed(source, whole)
        changed |= {"delimiter": even} if (even := _even(source, whole)) else {}
    counts = {line.count(DOUBLE) for line in whole}
    if (changed or kind == "csv") and len(counts) == 1 and counts != {0}:
        changed["delimiter"] = DOUBLE
    return source.model_copy(update=changed)


def check_headed(source: Source, lines: Sequence[str]) -> None:
    """Refuses a file in which a line of its own says what the rows below it are of, as that of a film its ratings.

    Raises:
        SoukError: the first line and another are such, and there are rows between.
    """
    heads = [line for line in lines if re.fullmatch(HEAD, line)]
    rows = [line for line in lines if not re.fullmatch(HEAD, line)]
    if not heads or lines[0] != heads[0] or len(rows) < len(heads) or source.header:
        return
    sign = max(DELIMITERS, key=rows[0].count)
    if sign not in rows[0]:
        return
    mend = f'awk \'/^[^{sign}]+:\\r?$/ {{sub(/:\\r?$/, ""); id = $0; next}} {{sub(/\\r$/, ""); print $0 "{sign}" id}}\''
    raise SoukError(
        f"rows that say themselves what they are of, in {source.path}",
        f"lines such as {heads[0]} above rows such as {rows[0][:40]}",
        f"Write it behind each row, {mend} {_shell(source)} > events.csv, and give that file: its last column says it.",
    )


def _even(source: Source, lines: Sequence[str]) -> str:
    """The delimiter that all lines have as often, where that which is most frequent in the first varies, as between the
    entries of a list; "" elsewhere. Quoted values may have any."""
    if source.delimiter or len(lines) < FEWEST_LINES or ".tsv" in source.path.lower() or any('"' in x for x in lines):
        return ""
    counts = {sign: {line.count(sign) for line in lines} for sign in DELIMITERS}
    if len(counts[max(DELIMITERS, key=lines[0].count)]) == 1:
        return ""
    return next((sign for sign in DELIMITERS if len(counts[sign]) == 1 and counts[sign] != {0}), "")


def _shell(source: Source) -> str:
    """The path as a shell reads it from any folder: of several files all."""
    return source.path if set("*?[") & set(source.path) else shlex.quote(source.path)
