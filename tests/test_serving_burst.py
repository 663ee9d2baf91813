"""What is too slow, and what is too much, for a real server: nobody who is let in waits for long, and it ends."""

import asyncio
import contextlib
import json
import threading
from pathlib import Path

import pytest

from benchmarks.serving.load import load
from souk.serving.turns import MOST
from tests.callers import Callers, healed
from tests.serving_fixtures import NOW, write_workspace
from tests.serving_process import V1, serving

pytestmark = pytest.mark.slow
ASKED = {"user_id": "ann", "k": 8, "timestamp": NOW}
BUDGET = 1.0  # seconds of a request
BURST = 5.0  # seconds
COST = 0.15  # seconds of a batch of MOST requests: as many as can wait for the ranker take less than its patience


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    return tmp_path_factory.mktemp("slow") / "slow"


@pytest.fixture(scope="module")
def server(slow, tmp_path_factory):
    root = tmp_path_factory.mktemp("burst")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{Path(__file__).parent}:{Path(__file__).parents[1]}")
        patch.syspath_prepend(str(Path(__file__).parent))
        ranker = {"use": "slow_plugs:Slow", "options": {"while_there": str(slow)}}
        workspace = write_workspace(root / "workspace", ranker=ranker)
        with serving(workspace.root, root / "log", "--timeout-ms", "5000") as process:
            yield process


def without_processor(tasks):
    """Seconds that each thread waited for a processor (`man 5 proc`, schedstat)."""
    found = {}
    for task in tasks.iterdir():
        with contextlib.suppress(OSError):  # it ended
            found[task.name] = int((task / "schedstat").read_text().split()[1]) / 1e9
    return found


def test_a_ranker_that_is_slow_and_is_quick_again(server, slow):
    with Callers(server, 4).asking() as callers:
        healed(callers)
        slow.write_text("1.5")  # seconds: more than anybody waits for
        try:
            callers.until(lambda: callers.degraded[("ranker_unavailable",)])
            assert "ranker_unavailable" in callers.since()
            assert server.metric('souk_breaker{dependency="ranker",release="",state="closed"}') == 0
        finally:
            slow.unlink()
        healed(callers)
    assert set(callers.statuses) == {200}
    assert {(), ("ranker_unavailable",)} <= set(callers.degraded)  # a machine that stops for a second costs more


def test_three_times_what_can_be_answered(server, slow):
    """By an open loop: calls come when they come, whatever becomes of those before them."""
    body = json.dumps({"instances": [{**ASKED, "timeout_ms": round(1000 * BUDGET)}]}).encode()
    slow.write_text(str(COST))
    mine, own = Path("/proc/self/task"), Path(f"/proc/{server.process.pid}/task")
    before = {tasks: without_processor(tasks) for tasks in (mine, own)}
    waiting, over = [0.0], threading.Event()

    def watch():
        while not over.wait(0.1):
            waiting.append(server.metric("souk_waiting_requests"))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        seen = asyncio.run(load(server.http, V1, [body], 3 * MOST / COST, BURST))
    finally:
        over.set()
        watching.join()
        slow.unlink()
    assert set(seen.statuses) == {200, 429}, seen.statuses
    after = {tasks: without_processor(tasks) for tasks in before}
    noise = sum(
        max(after[tasks].get(task, 0.0) - waited for task, waited in had.items()) for tasks, had in before.items()
    )
    admitted = [call.done - call.due for call in seen.calls if call.status == 200]
    in_time = sum(seconds < BUDGET * (1 + noise / BURST) for seconds in admitted)
    assert in_time > 0.9 * len(admitted), (in_time, len(admitted), noise)
    assert 0 < max(waiting) <= BUDGET * MOST / COST + MOST, "no more wait than can be answered in their time"
    assert server.metric("souk_waiting_requests") == 0
    assert len(server.slates(ASKED)[0]["items"]) == ASKED["k"], "the very next one"
    with Callers(server, 1).asking() as callers:
        healed(callers)
    assert set(callers.statuses) == {200}, "nobody is sent away any more"
