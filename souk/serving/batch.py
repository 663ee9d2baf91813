"""Recommendations for a file of requests: the server's path without the server.

It searches in process: exact, and free of the Milvus Lite folder that a running server holds.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import glob
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from souk import outputs
from souk.errors import FULL, SoukError, of_disk
from souk.release.bundle import Bundle
from souk.release.manifest import verify
from souk.serving.recommender import Recommender
from souk.serving.request import Request, RequestParser
from souk.serving.served import open_store, with_logs
from souk.serving.slate import Slate
from souk.serving.subjects import check_subjects
from souk.values import quoted
from souk.workspace import Workspace

BATCH = 256
ONE_A_LINE = "One request a line; see docs/serving.md."


def recommend_lines(
    lines: Iterable[bytes], recommender: Recommender, parser: RequestParser, now: int
) -> Iterator[dict[str, Any]]:
    """An answer for each line, in order; a line that is wrong gets `error`, and a blank one is passed over.

    Args:
        lines: one request as JSON each.
        recommender: a loaded recommender.
        parser: of the same release.
        now: the moment of requests without `timestamp`, UTC epoch milliseconds.
    """
    numbered = ((number, line) for number, line in enumerate(lines, 1) if line.strip())
    while batch := list(islice(numbered, BATCH)):
        parsed = [_parsed(line, number, parser, now) for number, line in batch]
        slates = iter(recommender.recommend([request for request in parsed if isinstance(request, Request)]))
        for request in parsed:
            yield _answer(next(slates)) if isinstance(request, Request) else {"error": str(request)}


def recommend_file(
    workspace: str | Path,
    requests: str | Path,
    output: str | Path,
    now: int,
    k: int | None = None,
    release: str = "",
    report: Callable[[str], None] = lambda text: None,
) -> dict[str, int]:
    """Answers the lines of one file in another, which appears when it is whole.

    Args:
        workspace: the workspace folder.
        requests: JSON lines; see `docs/serving.md`.
        output: JSON lines, one for each line of `requests` that is not blank: `user_id, items, scores, release,
            degraded`, or `error`.
        now: the moment of requests without `timestamp`, UTC epoch milliseconds.
        k: items for lines without `k`; the release's slate size where None.
        release: a release's folder; "" for the workspace's current one.
        report: is told how far it is.

    Returns:
        how many lines were `answered`, with no item (`empty`), and `refused`.

    Raises:
        SoukError: no release, `k` out of bounds, `requests` cannot be read, `output` cannot be written, or another made
            what stands there.
    """
    outputs.free_file(output, outputs.ANSWERS, "output")
    place = Workspace(Path(workspace))
    folder = place.served_folder(release)
    verify(folder)
    bundle = Bundle.load(folder)
    most = bundle.settings.max_slate_size
    if k is not None and not 1 <= k <= most:
        raise SoukError(f"--k from 1 to {most}, the release's max_slate_size", str(k), "Ask for less.")
    loaded = Recommender.load(bundle, None, open_store(place, bundle))
    recommender = with_logs(place, bundle, loaded, lambda: now)[0].current
    parser = RequestParser.of(bundle, k)
    counts = {"answered": 0, "empty": 0, "refused": 0}
    gc.freeze()  # the models and libraries stay: no collection of a batch's leavings need walk them
    partial = Path(output).with_name(f".{Path(output).name}.{os.getpid()}.partial")
    try:
        _clear(Path(output))
        with open(requests, "rb") as source, open(partial, "wb") as target:
            fcntl.flock(target, fcntl.LOCK_EX)  # until it has its place, for `_clear` of another
            _write(recommend_lines(source, recommender, parser, now), target, counts, report)
            target.flush()
            outputs.free_file(output, outputs.ANSWERS, "output")
            os.replace(partial, output)
    except OSError as error:
        if error.errno in FULL:
            raise of_disk(OSError(error.errno, error.strerror, str(output))) from error
        expected = f"{requests} to be readable and {output} to be writable"
        raise SoukError(expected, error.strerror or str(error), "Check both paths.") from error
    finally:
        gc.unfreeze()
        partial.unlink(missing_ok=True)
    return counts


def _clear(output: Path) -> None:
    """Deletes what killed processes left of this output; one that is at work holds a lock."""
    for left in output.parent.glob(f".{glob.escape(output.name)}.*.partial"):
        with contextlib.suppress(BlockingIOError, FileNotFoundError), left.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()


def _write(
    answers: Iterable[dict[str, Any]], target: BinaryIO, counts: dict[str, int], report: Callable[[str], None]
) -> None:
    for number, answer in enumerate(answers, 1):
        target.write(orjson.dumps(answer, option=orjson.OPT_APPEND_NEWLINE))
        counts["refused" if "error" in answer else "answered"] += 1
        counts["empty"] += answer.get("items") == []
        if number % 5_000 == 0:
            report(f"{number:,} requests answered")


def _parsed(line: bytes, number: int, parser: RequestParser, now: int) -> Request | SoukError:
    path = f"line {number}"
    try:
        instance = json.loads(line)
        if not isinstance(instance, dict):
            raise ValueError
        request = parser.parse(instance, now, path, path)
        check_subjects([request], path)
        return replace(request, deadline=math.inf)  # of a caller who waits: here it would be that of all of a batch
    except SoukError as error:
        return error
    except (ValueError, RecursionError):
        return SoukError(f"{path} to be a JSON object", quoted(line.decode(errors="replace").strip()), ONE_A_LINE)


def _answer(slate: Slate) -> dict[str, Any]:
    return {
        "user_id": slate.user_id or None,
        "items": [item.item_id for item in slate.items],
        "scores": [item.score for item in slate.items],
        "release": slate.release,
        "degraded": list(slate.degraded),
    }
