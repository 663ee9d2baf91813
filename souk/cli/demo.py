"""Serves the current release for a moment and shows three requests over HTTP: a user that it knows, one that it has
never seen, and a request with a mistake."""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from souk.cli import options
from souk.cli.ending import processes_end_first
from souk.cli.plain import plain
from souk.errors import SoukError
from souk.release.manifest import verify
from souk.workspace import Workspace

READY_SECONDS = 120
STOP_SECONDS = 20
SHOWN = 5  # items of a slate


def configure(parser: argparse.ArgumentParser) -> None:
    options.add_workspace(parser)


def run(arguments: argparse.Namespace) -> int:
    """Returns 0 when all three requests were answered as they should be."""
    workspace = Workspace(Path(arguments.workspace).resolve())
    folder = workspace.served_folder()
    verify(folder, only=("golden.jsonl", "items.parquet", "bundle.json"))
    known, context = _a_known_user(folder)
    moment = _moment(folder)
    unseen = f"a user never seen{', with a context only' if context else ''}"
    requests: dict[str, dict[str, Any]] = {
        f"a known user, {known}": {"user_id": known, "k": SHOWN, **moment},
        unseen: {"user_id": "someone-new", "k": SHOWN, "context": context, **moment},
        "a request with a mistake": {"user_id": known, "k": "many"},
    }
    with _server(workspace) as address:
        print(f"{folder.name} answers on {address}\n")
        answers = [_show(address, title, instance) for title, instance in requests.items()]
    print(f"The server has stopped. Start it again: {_again(arguments.workspace)}")
    return 0 if answers == [200, 200, 400] else 1


def _again(workspace: str) -> str:
    return "make serve" if workspace == ".souk" else f"souk serve --workspace {workspace}"


def _a_known_user(release: Path) -> tuple[str, dict[str, Any]]:
    """A user of the release's golden requests, and a context that events really had."""
    with (release / "golden.jsonl").open(encoding="utf-8") as lines:
        requests = [json.loads(line)["request"] for line in lines]
    return requests[0]["user_id"], requests[0]["context"]


def _moment(release: Path) -> dict[str, int]:
    """The `timestamp` of requests to data of the past, of which every item has ended by now: that of their end."""
    import pyarrow.parquet as pq

    from souk.items import available_at

    items = pq.read_table(release / "items.parquet")
    trained_until = json.loads((release / "bundle.json").read_text(encoding="utf-8"))["trained_until"]
    if available_at(items, time.time_ns() // 1_000_000).any() or not available_at(items, trained_until).any():
        return {}
    print("No item of the release is available any more: it is asked as of the end of its data.\n")
    return {"timestamp": trained_until}


def _show(address: str, title: str, instance: dict[str, Any]) -> int:
    """Sends one request, prints it with its answer, and returns the status."""
    body = json.dumps({"instances": [instance]})
    path = "/v1/models/souk:predict"
    print(f"{title}\n  $ curl {address}{path} -d '{body}'")
    status, answer = _post(address + path, body)
    if status != 200:
        print(f"  {status} {answer.get('error', answer)}\n")
        return status
    slate = answer["predictions"][0]
    for item in slate["items"]:
        name = plain(item["title"] or item["item_id"])
        print(f"  {item['position'] + 1:>2}. {name:<50.50} {item['score']:.3f}  {item['source']}")
    print(f"  degraded: {', '.join(slate['degraded']) or 'no'}\n")
    return status


def _post(url: str, body: str) -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(url, body.encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # nosec B310: our own server
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@contextlib.contextmanager
def _server(workspace: Workspace) -> Iterator[str]:
    """`souk serve` on free ports; yields its address once it is ready. It ends with this process.

    What it is asked here is no traffic: its impressions go elsewhere than to the workspace's log.
    """
    http, grpc = _free_port(), _free_port()
    words = ["serve", "--workspace", str(workspace.root), "--http-port", str(http), "--grpc-port", str(grpc)]
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as log,
        tempfile.TemporaryDirectory(prefix="souk-") as impressions,
        processes_end_first(),
    ):
        # -P: no folder `souk` of where the user stands
        command = [sys.executable, "-P", "-m", "souk", *words, "--impressions", impressions]
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            _wait(f"http://127.0.0.1:{http}/v2/models/souk/ready", process, log)
            yield f"http://127.0.0.1:{http}"
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait(url: str, process: subprocess.Popen[bytes], log: TextIO) -> None:
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:  # nosec B310: our own
            if answer.status == 200:
                return
        time.sleep(0.2)
    log.seek(0)
    said = log.read().strip().splitlines()[-5:]
    raise SoukError("souk serve to become ready", "\n".join(said) or "silence", "Run `souk serve` to see it all.")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
