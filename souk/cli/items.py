"""Gives items to a running server: new ones, new content of known ones, and what is not to be had any more
(docs/serving.md)."""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import tempfile
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from souk.cli import options
from souk.config import DatasetConfig, load_config
from souk.direct_call import TOKEN, direct_call, redirect_of
from souk.errors import SoukError, cut
from souk.ingest.item_row import ItemRow

URL = "http://localhost:8080"
EXAMPLE = '{"item_id": "7", "title": "Oak desk"}'
ROWS = 500  # of one call
BODY_BYTES = 3_500_000  # of their JSON: a server takes 4 MiB
ROW_BYTES = 4_000_000  # of the JSON of one
SECONDS = 60
SHOWN = 80  # characters of a row in an error
NOTHING: dict[str, Any] = {"accepted": 0, "created": 0, "refused": []}  # the answer to a call without rows


def configure(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    upsert = actions.add_parser(
        "upsert",
        help="new items, or new content of known ones",
        description="Gives a running server new items, or new content of known ones. Columns that a row leaves out stay"
        f" as they are; of two rows of one item the later wins, but where data.items.repeated_ids of --config is first."
        f" As: souk items upsert --item '{EXAMPLE}'",
    )
    upsert.add_argument("file", nargs="?", metavar="FILE", help="Parquet, CSV or JSON lines, one item a row")
    upsert.add_argument("--item", metavar="JSON", help="one item, in place of a file")
    upsert.add_argument("--config", metavar="FILE", help="whose data.items says which column of the rows is which")
    delete = actions.add_parser(
        "delete",
        help="items that are not to be shown any more",
        description="Hides items (available: false): they stay known, and an upsert with available: true shows them.",
    )
    delete.add_argument("ids", nargs="+", metavar="ID", help="item ids")
    for action in (upsert, delete):
        options.add_server_token(action)
        action.add_argument("--url", default=URL, metavar="URL", help="the server (default: %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Returns 0, or 1 where a row was refused."""
    headers = {"content-type": "application/json", **options.authorization(arguments.token_file)}
    config = load_config(arguments.config) if getattr(arguments, "config", None) else None
    tally, unit = Tally(), config.data.items.timestamp_unit if config and config.data.items else ""
    try:
        for batch in _batches(_rows(arguments, config)):
            sent = [(row, text) for row, text in batch if not row.wrong and not row.skipped]
            answer = _send(arguments.url, [text for _, text in sent], headers) if sent else NOTHING
            refused = {row: row.wrong for row, _ in batch if row.wrong and not row.skipped}
            for each in answer["refused"]:
                row, of = sent[each["row"]]
                refused[row] = _of_cells(row) or each["reason"] + _time_remedy(unit, of, each["reason"])
            for row in (row for row, _ in batch if row in refused):
                item = "" if row.item in (None, "") else f", item {str(row.item)!r}"
                print(f"row {row.number}{row.of_file}{item}: {refused[row]}", file=sys.stderr)
            tally.add([row for row, _ in batch], answer, len(refused))
            _check_data_set(answer.get("release", ""), config, arguments)
    except (SoukError, OSError, KeyboardInterrupt):
        if last := tally.last:
            counts = f"{tally.accepted:,} accepted, {tally.refused:,} refused"
            print(f"stopped after row {last.number:,}{last.of_file}: {counts}", file=sys.stderr)
        raise
    if not tally.last:
        raise SoukError(f"rows in {arguments.file}", "none", "One item a row, after a header in a CSV file.")
    print(tally.told("hidden" if arguments.action == "delete" else f"accepted ({tally.created:,} new)"))
    return 1 if tally.refused else 0


def _check_data_set(release: str, config: DatasetConfig | None, arguments: argparse.Namespace) -> None:
    """Looks whether the server that answered is of the config; servers of before do not say what they serve.

    Raises:
        SoukError: it is of another data set, and has the rows of this call.
    """
    if config and release and release.rpartition("-")[0] != config.name:
        remedy = "Name its own with --url. What was accepted there `souk items delete` hides."
        received = f"{arguments.url}, which serves {release}"
        raise SoukError(f"a server of {config.name}, the data set of {arguments.config}", received, remedy)


@dataclass
class Tally:
    """What became of the rows so far.

    Args:
        accepted: rows that a server took.
        created: those of items that it did not know.
        ended: those of items that have ended.
        refused: rows that it did not take, or was not sent since they are wrong.
        skipped: by rule, those that the config leaves out.
        last: the last of all rows.
    """

    accepted: int = 0
    created: int = 0
    ended: int = 0
    refused: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    last: ItemRow | None = None

    def add(self, rows: list[ItemRow], answer: Mapping[str, Any], refused: int) -> None:
        """Counts some rows by a server's answer."""
        self.accepted, self.created = self.accepted + answer["accepted"], self.created + answer["created"]
        self.ended += answer.get("ended", 0)  # servers of before do not say
        self.refused, self.last = self.refused + refused, rows[-1]
        self.skipped.update(row.skipped for row in rows if row.skipped)

    def told(self, what: str) -> str:
        """The last line; `what` is what was done to the rows that were taken."""
        left = ", ".join(f"{count:,} by {rule}" for rule, count in sorted(self.skipped.items()))
        out = f"; left out as data.items says: {left}" if left else ""
        past = f"; {self.ended:,} have an available_until that has passed, and are in no slate" if self.ended else ""
        return f"{self.accepted:,} {what}, {self.refused:,} refused{out}{past}"


def _time_remedy(unit: str, row: bytes, reason: str) -> str:
    """What to do about a text in a time that the config's `unit` did not read: the server knows of none."""
    name = next((name for name in ("created_at", "available_until") if reason.startswith(f"Expected {name} ")), "")
    if not unit or not name:
        return ""
    from souk.ingest.remedies import unit_remedy

    item = json.loads(row)
    time = item.get(name) if isinstance(item, dict) else None
    return f" {unit_remedy('items', unit, time)}" if isinstance(time, str) else ""


def _of_cells(row: ItemRow) -> str:
    """Why a row of delimited text, sent as it stands, is none; "" for another row, of which the server tells."""
    remedy = "Is a cell too few or too many, or a quote opened and not closed?"
    return str(SoukError("a cell for each column in a row", repr(cut(row.value, SHOWN)), remedy)) if row.torn else ""


def _batches(rows: Iterable[ItemRow]) -> Iterator[list[tuple[ItemRow, bytes]]]:
    """Rows and their JSON, as many as one call takes; one that no call takes is wrong."""
    batch, size = list[tuple[ItemRow, bytes]](), 0
    for row in rows:
        text = json.dumps(row.value).encode()
        if len(text) > ROW_BYTES and not row.wrong:
            row = replace(row, wrong=str(SoukError(f"a row of at most {ROW_BYTES:,} bytes", f"{len(text):,}")))
        if batch and (len(batch) == ROWS or size + len(text) > BODY_BYTES):
            yield batch
            batch, size = [], 0
        batch.append((row, text))
        size += len(text) + 1
    if batch:
        yield batch


def _rows(arguments: argparse.Namespace, config: DatasetConfig | None) -> Iterator[ItemRow]:
    if arguments.action == "delete":
        return (ItemRow({"item_id": item, "available": False}, at) for at, item in enumerate(arguments.ids, 1))
    from souk.ingest.item_file import item_row, item_rows_of, survey

    if bool(arguments.file) == bool(arguments.item):
        raise SoukError("a FILE or --item", "both" if arguments.file else "neither", "Give one of them.")
    if arguments.file:
        _tell(survey(arguments.file, config) if config else ())
        return item_rows_of(arguments.file, config)
    try:
        item = json.loads(arguments.item)
    except (ValueError, RecursionError) as error:
        raise SoukError("--item to be JSON", f"{error}", f"As --item '{EXAMPLE}'.") from error
    return _of_one(item, config, arguments.config) if isinstance(item, dict) else iter([item_row(item)])


def _of_one(item: Mapping[str, Any], config: DatasetConfig | None, name: str) -> Iterator[ItemRow]:
    """An item as a file of one line, by the columns of a config if there is one."""
    from souk.ingest.item_file import item_rows_of, survey

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "item.jsonl"
        file.write_text(json.dumps(item) + "\n", encoding="ascii")
        rows = [*item_rows_of(str(file), config)]
        notices = survey(str(file), config) if config else ()
    if config and any(not row.wrong and isinstance(row.value, dict) and not row.value.get("item_id") for row in rows):
        own = config.data.items.columns.get("item_id", "item_id") if config.data.items else "item_id"
        raise SoukError(f"--item with {own!r}, as {name} has it", json.dumps(item)[:200], "Or leave --config out.")
    _tell(notices)
    return iter(rows)


def _tell(notices: Iterable[str]) -> None:
    for notice in notices:
        print(notice, file=sys.stderr)


def _send(url: str, rows: list[bytes], headers: Mapping[str, str]) -> dict[str, Any]:
    """The server's answer to one batch.

    Raises:
        SoukError: it does not answer, or refuses the whole batch.
    """
    body = b'{"items":[' + b",".join(rows) + b"]}"
    place = url.rstrip("/") + "/v1/items:upsert"
    if not place.startswith(("http://", "https://")):
        raise SoukError("an http address in --url", url, f"As {URL}.")
    request = urllib.request.Request(place, body, dict(headers))
    try:
        with direct_call(request, SECONDS) as answer:
            return dict(json.load(answer))
    except urllib.error.HTTPError as error:
        expected, to = f"{place} to take {len(rows)} items", redirect_of(error)
        if to:
            remedy = "Give the server's own address with --url; nothing was sent to the other one."
            raise SoukError(expected, f"status {error.code}, a redirect to {to}", remedy) from error
        text = error.read().decode(errors="replace")[:500]
        remedy = TOKEN if error.code == 401 else ""
        raise SoukError(expected, f"status {error.code}: {text}", remedy) from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise SoukError(f"a server at {url}", _said(error), "Is `souk serve` running? Name it with --url.") from error


def _said(error: Exception) -> str:
    """What came in the place of an answer."""
    reason = getattr(error, "reason", error)  # urllib's own error, of what comes before the answer
    if isinstance(reason, BrokenPipeError | ConnectionResetError | http.client.IncompleteRead):
        return "a connection that broke off"
    return "an answer that is no HTTP" if isinstance(reason, http.client.HTTPException) else str(reason)
