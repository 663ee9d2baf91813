"""What a server's clients see while something happens to it: `python -m benchmarks.serving --swap` and `--hang`.

Both work on a copy of the workspace, under an open loop of one rate (benchmarks.serving.load), and print a row for each
stretch of time: of the calls that were due in it.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.serving import K, souk_words
from benchmarks.serving.load import Call, Seen, load
from benchmarks.serving.process import redis, running, user_ids
from souk.release.bundle import Bundle
from souk.release.golden import read_golden, write_golden
from souk.release.manifest import read_manifest, write_manifest
from souk.release.pointer import point, rollback
from souk.serving.recommender import Recommender
from souk.serving.served import golden_answers
from souk.store.publish import publish
from souk.workspace import Workspace

PATH, MARK = "/v1/models/souk:predict", " *"
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

    with running([*souk_words(copy.root), *serve], "souk") as (port, _):
        return stretches(port, bodies(workspace), rate, steps, lambda answer: told(answer, other))


def hang(workspace: Path, scratch: Path, rate: float, seconds: float, serve: Sequence[str]) -> list[dict[str, Any]]:
    """The Redis that holds the states is stopped (SIGSTOP) under load, and goes on; the server keeps no states."""
    copy = copied(workspace, scratch)
    bundle = Bundle.load(copy.served_folder())
    states = max(workspace.glob("runs/**/features/user_state.parquet"), key=lambda path: path.stat().st_mtime)
    with redis(scratch) as (uri, process):
        publish(states, bundle.spec, copy.feast, time.time_ns() // 1_000_000, uri)

        async def steps(seen: Seen, phases: list[Phase]) -> None:
            await asyncio.sleep(seconds)
            for name, number in (("hangs", signal.SIGSTOP), ("answers again", signal.SIGCONT)):
                phases.append(Phase(name, time.perf_counter()))
                process.send_signal(number)
                await asyncio.sleep(seconds)

        words = [*souk_words(copy.root), "--timeout-ms", str(TIMEOUT_MS), "--user-cache-seconds", "0", *serve]
        try:
            with running(words, "souk") as (port, _):
                return stretches(port, bodies(workspace), rate, steps, lambda answer: told(answer, ""))
        finally:
            process.send_signal(signal.SIGCONT)


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


def told(answer: bytes, other: str) -> Told:
    """Reads an answer; `other` is the release whose titles are marked."""
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
    port: int, sent: list[bytes], rate: float, steps: Steps, read: Callable[[bytes], Told]
) -> list[dict[str, Any]]:
    """Warms up, then loads while `steps` happen: a row for each phase."""

    async def run() -> tuple[Seen, list[Phase]]:
        await load(port, PATH, sent, min(rate, 50), 5)
        seen, phases = Seen(read), [Phase("before", time.perf_counter())]
        under = asyncio.create_task(load(port, PATH, sent, rate, 3 * PATIENCE, seen=seen))
        try:
            await steps(seen, phases)
        finally:
            seen.over = True
            await under
        return seen, phases

    seen, phases = asyncio.run(run())
    ends = [*(phase.start for phase in phases[1:]), float("inf")]
    return [row(phase, end, seen.calls) for phase, end in zip(phases, ends, strict=True)]


def row(phase: Phase, end: float, calls: Sequence[Call]) -> dict[str, Any]:
    """The figures of the calls that were due in a phase, latencies in milliseconds."""
    own = [call for call in calls if phase.start <= call.due < end]
    took = 1000 * np.array([call.done - call.due for call in own])
    p50, p99, p999 = np.percentile(took, [50, 99, 99.9])
    answers = [call.told for call in own if call.told]
    reasons = sorted({reason for answer in answers for reason in answer.reasons})
    return {
        "phase": phase.name,
        "seconds": round(min(end, max(call.done for call in own)) - phase.start, 1),
        "calls": len(own),
        "p50 ms": round(float(p50), 1),
        "p99 ms": round(float(p99), 1),
        "p99.9 ms": round(float(p999), 1),
        f"over {TIMEOUT_MS + GRACE_MS} ms": int((took > TIMEOUT_MS + GRACE_MS).sum()),
        "sent away (429)": sum(call.status == 429 for call in own),
        "failed": sum(call.status not in (200, 429) for call in own),
        "mixed": sum(answer.mixed for answer in answers),
        "degraded": f"{sum(bool(a.reasons) for a in answers) / max(1, len(answers)):.1%}",
        "because of": ", ".join(reasons) or None,
    }
