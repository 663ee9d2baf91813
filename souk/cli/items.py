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
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from souk.config import load_config
from souk.direct_call import direct_call, redirect_of
from souk.errors import SoukError

URL = "http://localhost:8080"
ROWS = 500  # of one call
BODY_BYTES = 3_500_000  # of their JSON: a server takes 4 MiB
SECONDS = 60
SHOWN = 80  # characters of a row in an error


def configure(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    upsert = actions.add_parser(
        "upsert",
        help="new items, or new content of known ones",
        description="Gives a running server new items, or new content of known ones. Columns that a row leaves out stay"
        """ as they are; of two rows of one item the later wins. As: souk items upsert --item '{"item_id": "7"}'""",
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
        action.add_argument("--token-file", metavar="FILE", help="whose first line is the server's bearer token")
        action.add_argument("--url", default=URL, metavar="URL", help="the server (default: %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Returns 0, or 1 where the server refused a row."""
    accepted = created = ended = refused = sent = 0
    headers = {"content-type": "application/json", **_authorization(arguments.token_file)}
    unit = _unit(getattr(arguments, "config", None))
    try:
        for batch in _batches(_rows(arguments)):
            answer = _send(arguments.url, batch, headers)
            accepted, created = accepted + answer["accepted"], created + answer["created"]
            ended += answer.get("ended", 0)  # servers of before do not say
            for row in answer["refused"]:
                of = batch[row["row"]]
                why = _of_cells(arguments, of) or row["reason"] + _time_remedy(unit, of, row["reason"])
                print(f"row {sent + row['row'] + 1}, item {row['item_id']!r}: {why}", file=sys.stderr)
            refused, sent = refused + len(answer["refused"]), sent + len(batch)
    except SoukError:
        if sent:
            print(f"stopped after row {sent:,}: {accepted:,} accepted, {refused:,} refused", file=sys.stderr)
        raise
    if not accepted and not refused:
        raise SoukError(f"rows in {arguments.file}", "none", "One item a row, after a header in a CSV file.")
    what = f"{accepted:,} hidden" if arguments.action == "delete" else f"{accepted:,} accepted ({created:,} new)"
    past = f"; {ended:,} have an available_until that has passed, and are in no slate" if ended else ""
    print(f"{what}, {refused:,} refused{past}")
    return 1 if refused else 0


def _unit(config: str | None) -> str:
    """What the times of items are in, as the config says; "" without one."""
    items = load_config(config).data.items if config else None
    return items.timestamp_unit if items else ""


def _time_remedy(unit: str, row: bytes, reason: str) -> str:
    """What to do about a text in a time that the config's `unit` did not read: the server knows of none."""
    name = next((name for name in ("created_at", "available_until") if name in reason), "")
    if not unit or not name:
        return ""
    from souk.ingest.remedies import unit_remedy

    item = json.loads(row)
    time = item.get(name) if isinstance(item, dict) else None
    return f" {unit_remedy('items', unit, time)}" if isinstance(time, str) else ""


def _of_cells(arguments: argparse.Namespace, row: bytes) -> str:
    """Why a row of delimited text, sent as it stands, is none; "" for another row, of which the server tells."""
    text, file = json.loads(row), getattr(arguments, "file", None)
    if not file or not isinstance(text, str):
        return ""
    from souk.config import Source
    from souk.readers import file_format, find_files

    if any(file_format(Source(path=file), each.name) in ("jsonl", "parquet") for each in find_files(file)):
        return ""
    remedy = "Is a cell too few or too many, or a quote opened and not closed?"
    return str(SoukError("a cell for each column in a row", repr(text[:SHOWN]), remedy))


def _batches(rows: Iterable[Any]) -> Iterator[list[bytes]]:
    """Rows as JSON, as many as one call takes; one that is too large alone is the server's to refuse."""
    batch, size = list[bytes](), 0
    for row in rows:
        text = json.dumps(row).encode()
        if batch and (len(batch) == ROWS or size + len(text) > BODY_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(text)
        size += len(text) + 1
    if batch:
        yield batch


def _rows(arguments: argparse.Namespace) -> Iterator[Any]:
    if arguments.action == "delete":
        return iter([{"item_id": item, "available": False} for item in arguments.ids])
    if bool(arguments.file) == bool(arguments.item):
        raise SoukError("a FILE or --item", "both" if arguments.file else "neither", "Give one of them.")
    if arguments.item:
        try:
            item = json.loads(arguments.item)
        except ValueError as error:
            raise SoukError("--item to be JSON", f"{error}", """As --item '{"item_id": "7"}'.""") from error
        return _named_by(arguments.config, item) if arguments.config else iter([item])
    from souk.ingest.item_file import item_rows_of

    return item_rows_of(arguments.file, load_config(arguments.config) if arguments.config else None)


def _named_by(config: str, item: Any) -> Iterator[Any]:
    """An item by the columns of a config, as a file of one line."""
    from souk.ingest.item_file import item_rows_of

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "item.jsonl"
        file.write_text(json.dumps(item) + "\n", encoding="ascii")
        rows = [*item_rows_of(str(file), read := load_config(config))]
    if any(isinstance(row, dict) and row.get("item_id") is None for row in rows):
        name = read.data.items.columns.get("item_id", "item_id") if read.data.items else "item_id"
        raise SoukError(f"--item with {name!r}, as {config} has it", json.dumps(item)[:200], "Or leave --config out.")
    return iter(rows)


def _authorization(file: str | None) -> dict[str, str]:
    if not file:
        return {}
    try:
        token = Path(file).read_text(encoding="utf-8").splitlines()[0].strip()
    except (OSError, UnicodeDecodeError, IndexError) as error:
        raise SoukError(f"a token on the first line of {file}", type(error).__name__, "Check the path.") from error
    return {"authorization": f"Bearer {token}"}


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
        raise SoukError(expected, f"status {error.code}: {text}") from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        no_http = isinstance(error, http.client.HTTPException)
        received = "an answer that is no HTTP" if no_http else str(getattr(error, "reason", error))
        raise SoukError(f"a server at {url}", received, "Is `souk serve` running? Name it with --url.") from error
