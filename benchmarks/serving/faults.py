"""What a server's clients see while something happens to it: `python -m benchmarks.serving --swap`, and `--hang`
(benchmarks.serving.hangs).

Both work on a copy of the workspace, under an open loop of one rate (benchmarks.serving.load), and print a row for each
stretch of time: of the calls that were due in it.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.serving import K, souk_words
from benchmarks.serving.load import Call, Seen, latencies, load, run
from benchmarks.serving.process import running, user_ids
from benchmarks.serving.waits import Waits
from souk.release.bundle import Bundle
from souk.release.golden import read_golden, write_golden
from souk.release.manifest import read_manifest, write_manifest
from souk.release.pointer import point, rollback
from souk.serving.recommender import Recommender
from souk.serving.served import golden_answers
from souk.workspace import Workspace

PATH, MARK = "/v1/models/souk:predict", " *"
START = "from souk.cli import main; raise SystemExit(main())"  # of a server behind what changes it
SETTLED = 2.0  # seconds after the other release's first answer that still count as the swap
PATIENCE = 300.0  # seconds that a release may take to answer
TIMEOUT_MS, GRACE_MS = 200, 20  # what a request has, and by how much more it may be late
Steps = Callable[[Seen, list["Phase"]], Awaitable[None]]


@dataclass
class Phase:
    """A stretch of time, from `start` until the next one's.

    Args:
        name: of its row.
        start: monotonic seconds.
    """

    name: str
    start: float


@dataclass(frozen=True)
class Told:
    """What an answer says.

    Args:
        releases: that its slates name.
        mixed: whether a slate has items of another release than it names, or two slates name two.
        reasons: of `degraded`.
    """

    releases: frozenset[str]
    mixed: bool
    reasons: frozenset[str]


def swap(workspace: Path, scratch: Path, rate: float, seconds: float, serve: Sequence[str]) -> list[dict[str, Any]]:
    """Another release becomes the current one under load, and the first one again.

    The other one has the same models and items, and titles that end in MARK, by which a slate of both would be told.
    """
    copy = copied(workspace, scratch)
    first, other = copy.current_release(), f"{copy.current_release()}-other"
    marked(copy, other)

    async def steps(seen: Seen, phases: list[Phase]) -> None:
        for verb, move, name in (("swap", point, other), ("back", rollback, first)):
            await asyncio.sleep(seconds)
            phases.append(Phase(verb, time.perf_counter()))
            await asyncio.to_thread(move, copy, name)
            await answered_by(seen, name)
            phases.append(Phase(f"after {verb}", time.perf_counter()))
        await asyncio.sleep(seconds)

    with running([*souk_words(copy.root), *serve], "souk") as (port, process):
        return stretches(port, process.pid, bodies(workspace), rate, steps, lambda answer: told(answer, other))


def bodies(workspace: Path) -> list[bytes]:
    """Of two users each: an answer has two slates, which are to be of one release."""
    users = user_ids(workspace)
    pairs = zip(users[::2], users[1::2], strict=False)
    return [json.dumps({"instances": [{"user_id": user, "k": K} for user in pair]}).encode() for pair in pairs]


def copied(workspace: Path, scratch: Path) -> Workspace:
    """The workspace without its runs and its logs."""
    skipped = shutil.ignore_patterns("LOCK", "runs", "impressions", "checkpoints", "reports")
    return Workspace(Path(shutil.copytree(workspace, scratch / "workspace", symlinks=True, ignore=skipped)))


def marked(workspace: Workspace, name: str) -> None:
    """A release like the current one, with a mark on its titles, under another name."""
    folder = Path(shutil.copytree(workspace.served_folder(), workspace.releases / name, symlinks=True))
    items = pq.read_table(folder / "items.parquet")
    titles = pa.array(
        [f"{title or ''}{MARK}" for title in items["title"].to_pylist()], items.schema.field("title").type
    )
    place = items.schema.get_field_index("title")
    pq.write_table(items.set_column(place, items.schema.field("title"), titles), folder / "items.parquet")
    manifest = read_manifest(folder)
    write_manifest(folder, name, manifest["content"], manifest["lineage"])
    answer = golden_answers(Recommender.load(Bundle.load(folder), None, None))
    asked = [request for request, _ in read_golden(folder)]
    write_golden(folder, asked, answer(asked))
    write_manifest(folder, name, manifest["content"], manifest["lineage"])


def told(answer: bytes, other: str = "") -> Told:
    """Reads an answer; `other` is the release whose titles are marked, if there is one."""
    slates = json.loads(answer)["predictions"]
    releases = frozenset(slate["release"] for slate in slates)
    strange = any(
        item["title"].endswith(MARK) is not (slate["release"] == other) for slate in slates for item in slate["items"]
    )
    reasons = frozenset(reason for slate in slates for reason in slate["degraded"])
    return Told(releases, len(releases) > 1 or (bool(other) and strange), reasons)


async def answered_by(seen: Seen, release: str) -> None:
    """Waits until a release answers, and SETTLED longer.

    Raises:
        RuntimeError: it does not.
    """
    until, place = time.perf_counter() + PATIENCE, len(seen.calls)
    while not any(call.told and release in call.told.releases for call in seen.calls[place:]):
        if time.perf_counter() > until:
            raise RuntimeError(f"{release} did not answer within {PATIENCE:.0f} s")
        place = len(seen.calls)
        await asyncio.sleep(0.02)
    await asyncio.sleep(SETTLED)


def stretches(
    port: int, process: int, sent: list[bytes], rate: float, steps: Steps, read: Callable[[bytes], Told]
) -> list[dict[str, Any]]:
    """Warms up, then loads the server of a port and a process while `steps` happen: a row for each phase."""
    seen, phases, waits = run(observed(port, process, sent, rate, steps, Seen(read)))
    ends = [*(phase.start for phase in phases[1:]), float("inf")]
    return [row(phase, end, seen.calls, waits) for phase, end in zip(phases, ends, strict=True)]


async def observed(
    port: int, process: int, sent: list[bytes], rate: float, steps: Steps, seen: Seen
) -> tuple[Seen, list[Phase], Waits]:
    """The calls of `stretches`, when its phases began, and how long the processes waited for a processor."""
    await load(port, PATH, sent, min(rate, 50), 5)
    waits, phases = Waits((process, os.getpid())), [Phase("before", time.perf_counter())]
    under = asyncio.create_task(load(port, PATH, sent, rate, 3 * PATIENCE, seen=seen))
    watching = asyncio.create_task(waits.watch(lambda: seen.over))
    try:
        await steps(seen, phases)
    finally:
        seen.over = True
        await asyncio.gather(under, watching)
    return seen, phases, waits


def row(phase: Phase, end: float, calls: Sequence[Call], waits: Waits) -> dict[str, Any]:
    """The figures of the calls that were due in a phase; latencies in milliseconds, of those that were taken."""
    own = [call for call in calls if phase.start <= call.due < end]
    p50, p99, p999 = latencies(own)
    answers = [call.told for call in own if call.told]
    reasons = sorted({reason for answer in answers for reason in answer.reasons})
    return {
        "phase": phase.name,
        "seconds": round(min(end, max(call.done for call in own)) - phase.start, 1),
        "calls": len(own),
        "p50 ms": round(p50, 1),
        "p99 ms": round(p99, 1),
        "p99.9 ms": round(p999, 1),
        **late(own, waits),
        "sent away (429)": sum(call.status == 429 for call in own),
        "failed": sum(call.status not in (200, 429) for call in own),
        "mixed": sum(answer.mixed for answer in answers),
        "degraded": f"{sum(bool(a.reasons) for a in answers) / max(1, len(answers)):.1%}",
        "because of": ", ".join(reasons) or None,
        "load": round(waits.load(phase.start, end), 1),
    }


def late(calls: Sequence[Call], waits: Waits) -> dict[str, int]:
    """How many calls that were taken are late, and how many of them would be had no thread of the server or of the load
    generator waited for a processor meanwhile. A call passes from thread to thread, so what these waited adds up."""
    most = (TIMEOUT_MS + GRACE_MS) / 1000
    found = [call for call in calls if call.status != 429 and call.done - call.due > most]
    alone = [call for call in found if call.done - call.due - waits.between(call.due, call.done) > most]
    return {f"over {TIMEOUT_MS + GRACE_MS} ms": len(found), "of themselves": len(alone)}
