"""The server's benchmarks without their servers: what they make of calls, and of a release."""

import asyncio
import functools
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import serving
from benchmarks.serving import burst, chain, enlarge, faults
from benchmarks.serving.faults import MARK, Phase, Told
from benchmarks.serving.load import Call, Seen, load, run, shared
from benchmarks.serving.process import pin
from benchmarks.serving.waits import Waits, waited

FINE = Told(frozenset(["r"]), False, frozenset())


def call(due, took_ms, status=200, told=FINE):
    return Call(due, due, due + took_ms / 1000, status, False, told if status == 200 else None)


def test_a_phase_has_the_calls_that_were_due_in_it():
    lacking = Told(frozenset(["r"]), False, frozenset(["index_unavailable", "ranker_unavailable"]))
    mixed = Told(frozenset(["r", "s"]), True, frozenset())
    calls = [call(9.99, 5000), *(call(10 + n / 100, 10) for n in range(96)), call(11, 250, told=lacking)]
    calls += [call(11, 230, 429), call(11, 30, 500), call(19, 100, told=mixed), call(20, 5000)]
    waits = Waits()
    for time, total, busy in ((9.0, 1.0, 3.0), (11.0, 1.0, 5.0), (11.1, 1.04, 6.0), (30.0, 1.04, 8.0)):
        waits.note(time, total, busy)  # 40 ms of the call of 250 were a wait for a processor, and of that of 230
    row = faults.row(Phase("swap", 10.0), 20.0, calls, waits)
    assert (row["phase"], row["calls"], row["seconds"], row["p50 ms"]) == ("swap", 100, 9.1, 10.0)
    assert (row["over 220 ms"], row["sent away (429)"], row["failed"], row["mixed"]) == (1, 1, 1, 1)
    assert (row["degraded"], row["because of"]) == ("1.0%", "index_unavailable, ranker_unavailable")
    assert (row["of themselves"], row["load"]) == (0, 5.5)
    after = faults.row(Phase("after", 20.0), float("inf"), calls, waits)
    assert (after["p99 ms"], after["of themselves"], after["load"]) == (5000, 1, 8.0)


def test_calls_that_are_sent_away_make_no_phase_faster():
    calls = [*(call(10, 1, 429) for _ in range(60)), *(call(10, 10) for _ in range(39)), call(10, 300, 429)]
    row = faults.row(Phase("hangs", 10.0), 20.0, calls, Waits())
    assert (row["p50 ms"], row["p99 ms"], row["over 220 ms"]) == (10.0, 10.0, 0)
    assert np.isnan(faults.row(Phase("hangs", 10.0), 20.0, calls[:60], Waits())["p50 ms"])


def test_threads_that_are_ready_to_run_wait_for_a_processor():
    before = waited(os.getpid())
    assert 0 <= before <= waited(os.getpid())
    assert Waits().between(0, 1) == 0.0 and waited(0) == 0.0, "nobody looked; there is no such process"


def test_it_has_recovered_with_the_first_second_in_which_nobody_is_sent_away_or_late():
    def after(bad):
        return [call(100 + n / 10, 500 if bad.get(n) == "late" else 20, bad.get(n, 200)) for n in range(-5, 60)]

    def late(calls):
        return [replace(each, done=each.due + 0.5, status=200) if each.status == "late" else each for each in calls]

    for bad, found in (({}, 0.0), ({-1: 429, 3: 429, 7: "late"}, 0.8), (dict.fromkeys(range(0, 60, 9), 429), None)):
        assert burst.recovered(late(after(bad)), 100.0) == found
    assert burst.recovered(after({0: 500}), 100.0) == 0.1, "a 500 is no answer"


def test_a_burst_tells_those_who_were_taken_from_those_who_were_sent_away():
    calls = [*(call(10 + n / 50, 40) for n in range(50)), *(call(10 + n / 50, 1, 429) for n in range(100)), call(9, 9)]
    calls += [call(11.5, 300), call(11.6, 10, 500)]
    row = burst.row(Phase("burst", 10.0), 12.0, calls, Waits())
    assert (row["answered"], row["sent away (429)"], row["failed"], row["asked/s"]) == (51, 100, 1, 77)
    assert (row["p50 ms"], row["over 220 ms"], row["of themselves"]) == (40.0, 1, 1)


def answer(*slates):
    return json.dumps(
        {
            "predictions": [
                {"release": release, "degraded": reasons, "items": [{"title": title} for title in titles]}
                for release, reasons, titles in slates
            ]
        }
    ).encode()


def test_an_answer_of_two_releases_is_told_by_their_names_or_by_a_title():
    own, marked = ("r", [], ["A", "B"]), ("other", ["x"], [f"A{MARK}", f"B{MARK}"])
    assert faults.told(answer(own, own), "other") == FINE
    assert faults.told(answer(marked, marked), "other") == Told(frozenset(["other"]), False, frozenset(["x"]))
    assert faults.told(answer(own, marked), "other").mixed
    for torn in (("r", [], ["A", f"B{MARK}"]), ("other", [], [f"A{MARK}", "B"])):
        assert faults.told(answer(torn), "other").mixed
    assert not faults.told(answer(("r", [], [f"A{MARK}"])), "").mixed, "nobody looks for a mark"


def test_a_release_is_waited_for_until_it_answers_and_no_longer_than_patience(monkeypatch):
    monkeypatch.setattr(faults, "SETTLED", 0.0)
    seen = Seen(calls=[call(0, 1, told=Told(frozenset(["next"]), False, frozenset()))])  # before: of another swap

    async def scene():
        waiting = asyncio.create_task(faults.answered_by(seen, "next"))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        seen.calls += [call(1, 1, 429), call(1, 1, told=Told(frozenset(["next"]), False, frozenset()))]
        await asyncio.wait_for(waiting, 60)
        monkeypatch.setattr(faults, "PATIENCE", 0.0)
        with pytest.raises(RuntimeError, match="last did not answer"):
            await faults.answered_by(seen, "last")

    asyncio.run(scene())


def test_a_copy_of_a_workspace_has_no_runs_and_no_log(tmp_path):
    for name in ("releases/r", "feast", "runs/1", "impressions/2026", "reports", "milvus"):
        (tmp_path / "w" / name).mkdir(parents=True)
    (tmp_path / "w" / "releases" / "current").symlink_to("r")
    copy = faults.copied(tmp_path / "w", tmp_path)
    assert {path.name for path in copy.root.iterdir()} == {"releases", "feast", "milvus"}
    assert copy.current_release() == "r"


def test_latencies_count_from_when_a_call_was_due_and_those_sent_away_have_none():
    calls = [Call(n, n + 1, n + 2, 200, n == 0, None) for n in range(4)] + [Call(0, 0, 0.001, 429, False, None)]
    row = Seen(calls=calls).row(7.0)
    assert (row["asked/s"], row["p50 ms"], row["statuses"], row["degraded"]) == (7.0, 2000.0, {200: 4, 429: 1}, 1)
    assert row["answered/s"] == 0.8 and row["sent late p99 ms"] == pytest.approx(1000)


@pytest.mark.parametrize("breaks", [False, True])
def test_as_many_calls_are_made_as_the_rate_says_whatever_comes_of_them(breaks):
    bodies = []

    async def served(reader, writer):
        while head := await reader.readuntil(b"\r\n\r\n"):
            bodies.append(await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])))
            if breaks:
                break
            writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n"degraded":[]')
        writer.close()

    async def scene():
        async with await asyncio.start_server(served, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            return await load(port, "/", [b"one", b"three"], 2000, 0.05, seen=Seen(read=len))

    seen = asyncio.run(scene())
    assert seen.statuses == {0 if breaks else 200: 100} and sorted(set(bodies)) == [b"one", b"three"]
    assert {each.told for each in seen.calls} == {None if breaks else 13}
    assert abs(bodies.count(b"one") - 50) <= 0


def test_calls_that_come_one_after_the_other_share_a_connection_unless_it_is_closed():
    opened = []

    async def served(reader, writer):
        opened.append(writer)
        for _ in range(20):
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
            writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n"degraded":[]')
        writer.close()

    async def scene():
        async with await asyncio.start_server(served, "127.0.0.1", 0) as server:
            return await load(server.sockets[0].getsockname()[1], "/", [b"one"], 50, 1.2)

    assert asyncio.run(scene()).statuses == {200: 60}
    assert 3 <= len(opened) <= 8


def test_servers_share_the_rate(tmp_path):
    bodies, asked = tmp_path / "bodies.jsonl", [list[bytes](), list[bytes]()]
    bodies.write_text("".join(f"{n}\n" for n in range(6)))

    async def scene():
        async def each(own, reader, writer):
            while head := await reader.readuntil(b"\r\n\r\n"):
                own.append(await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

        started = [await asyncio.start_server(functools.partial(each, own), "127.0.0.1", 0) for own in asked]
        ports = [server.sockets[0].getsockname()[1] for server in started]
        found = await shared(ports, "/", bodies.read_bytes().splitlines(), 60, 1.0)
        for server in started:
            server.close()
        return found

    assert len(run(scene()).calls) == 60
    assert [set(own) for own in asked] == [{b"0", b"2", b"4"}, {b"1", b"3", b"5"}]
    assert [len(own) for own in asked] == [30, 30]


def test_the_processors_time_is_beside_the_empty_server_at_the_same_rate(monkeypatch, tmp_path):
    costs = {"empty": [2.0, 1.0], "souk": [6.0, 5.0, 4.0, 3.0]}  # of two servers, as they are placed and apart

    def loaded(words, model, bodies, rates, seconds, servers=1):
        return [{"asked/s": rate, "CPU ms": cost} for rate, cost in zip(2 * rates, costs[model], strict=False)]

    monkeypatch.setattr(serving, "loaded", loaded)
    monkeypatch.setattr(serving, "written_bodies", lambda *_: tmp_path)
    rows = serving.measured(tmp_path, tmp_path, (25.0, 100.0), 1.0, 20)
    assert [row["CPU, empty = 1"] for row in rows] == [1.0, 1.0, 3.0, 5.0, 2.0, 3.0]


def test_a_server_with_a_core_of_its_own_has_that_for_all_its_threads():
    start = "[threading.Thread(target=time.sleep, args=(60,)).start() for _ in range(3)]"
    code = f"import threading, time; {start}; print(flush=True)"
    cores = sorted(os.sched_getaffinity(0))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline()
            pin(process.pid, len(cores))  # counted round: the first again
            threads = [int(thread.name) for thread in Path(f"/proc/{process.pid}/task").iterdir()]
            assert len(threads) == 4 and all(os.sched_getaffinity(thread) == {cores[0]} for thread in threads)
        finally:
            process.kill()


def test_ratios_are_of_answers():
    def row(server, p50, cpu, statuses):
        return {
            "server": server,
            "asked/s": 25.0,
            "p50 ms": p50,
            "p99 ms": 2 * p50,
            "CPU ms": cpu,
            "statuses": statuses,
        }

    souk, chained, empty = chain.with_ratios(
        [
            row("souk", 5.0, 3.0, {"200": 100}),
            row("chain", 20.0, 12.0, {"200": 50, "429": 50}),
            row("empty", 1.0, 1.0, {"500": 10}),
        ]
    )
    assert (souk["p50, souk = 1"], souk["CPU, souk = 1"]) == (1.0, 1.0)
    assert (chained["p50, souk = 1"], chained["p99, souk = 1"], chained["CPU, souk = 1"]) == (4.0, 4.0, 8.0)
    assert empty["CPU ms an answer"] == float("inf"), "it answered none"


@pytest.mark.parametrize(
    ("theirs", "said"),
    [({"a": 0.5, "b": 0.2495}, ""), ({"a": 0.5, "b": 0.26}, "up to 0.01"), ({"a": 0.5}, "and Souk 1 of them")],
)
def test_scores_of_the_chain_that_are_not_souks_end_the_benchmark(monkeypatch, theirs, said):
    asked = []

    def scores(port, model, instance):
        asked.append((port, model, instance.get("candidates")))
        return {"a": 0.5, "b": 0.25} if model == "chain" else theirs

    monkeypatch.setattr(chain, "scores", scores)
    monkeypatch.setattr(chain, "user_ids", lambda workspace: ["ann", "bob", "cat", "dan"])
    bundle = SimpleNamespace(settings=SimpleNamespace(max_slate_size=9))
    if said:
        with pytest.raises(RuntimeError, match=said):
            chain.compared(None, bundle, {"chain": 1, "souk": 2})
        return
    assert chain.compared(None, bundle, {"chain": 1, "souk": 2}) == "6 scores of the chain are within 0.0005 of Souk's"
    assert asked == [(1, "chain", None), (2, "souk", ["a", "b"])] * 3


def test_an_enlarged_release_has_copies_nearby_that_are_less_popular_and_follow_nothing(tmp_path):
    vectors = np.random.default_rng(3).normal(size=(5, 64)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    np.save(tmp_path / "vectors.npy", vectors)
    ids = [f"i{n}" for n in range(5)]
    pq.write_table(pa.table({"item_id": ids, "title": [f"Title {n}" for n in range(5)]}), tmp_path / "items.parquet")
    counters = {"item_id": ids, "events": [10, 20, 30, 40, 50], "lately": [2, 4, 6, 8, 9]}
    pq.write_table(pa.table(counters), tmp_path / "counters.parquet")
    rules = {"indptr": [0, 2, 2, 2, 2, 3], "items": [1, 2, 0], "weights": [0.5, 0.25, 1.0]}
    np.savez(tmp_path / "co_visitation.npz", **rules)
    np.savez(tmp_path / "ease.npz", **rules)
    enlarge.tables(tmp_path, 12)
    grown, items = np.load(tmp_path / "vectors.npy"), pq.read_table(tmp_path / "items.parquet").to_pydict()
    assert grown.dtype == np.float32 and (grown[:5] == vectors).all()
    assert np.linalg.norm(grown, axis=1) == pytest.approx(np.ones(12), abs=1e-6)
    assert (grown[5:] @ vectors.T).argmax(axis=1).tolist() == [0, 1, 2, 3, 4, 0, 1] and grown[5] @ grown[0] < 0.95
    assert items["item_id"] == [*ids, *(f"copy-{n}" for n in range(5, 12))] and items["title"][7] == "Title 2"
    table = pq.read_table(tmp_path / "counters.parquet").to_pydict()
    assert table["item_id"] == items["item_id"] and table["events"][5:] == [5, 10, 15, 20, 25, 5, 10]
    assert table["lately"][9] == 4
    for source in ("co_visitation", "ease"):
        with np.load(tmp_path / f"{source}.npz") as found:
            assert found["indptr"].tolist() == [0, 2, 2, 2, 2, 3, *[3] * 7] and found["items"].tolist() == [1, 2, 0]
