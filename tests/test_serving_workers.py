"""Several processes behind one address: they share the calls, and none of them is missed."""

import asyncio
import errno
import os
import signal
import socket
import threading
import time
from argparse import Namespace
from collections import Counter
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from souk.cli import serve as cli
from souk.errors import SoukError
from souk.listening import bind, shared_port
from souk.serving import server, workers
from souk.serving.workers import Worker, Workers
from tests.worker_fates import fated

COUNT = 2


@pytest.fixture
def watched(tmp_path):
    """Workers of given fates until `done` says so of what was reported; what was reported."""

    def watch(fates, done=lambda said: False, number=signal.SIGTERM, patience=60.0):
        for place, fate in enumerate(fates):
            (tmp_path / f"fate {place}").write_text(fate)
        said, over = [], threading.Event()

        def end():
            while not done(said) and not over.is_set():
                time.sleep(0.02)
            if not over.is_set():
                os.kill(os.getpid(), number)

        ending = threading.Thread(target=end)
        ending.start()
        try:
            work, ports = partial(fated, tmp_path), (0, 0)
            Workers(len(fates) or 2, work, "127.0.0.1", *ports, said.append, patience).run()
        finally:
            over.set()
            ending.join()
        return said

    return watch


def starts(folder, number):
    return len(list(folder.glob(f"{number}-*")))


def test_the_first_is_heard_and_all_are_told_to_end(watched, tmp_path):
    assert watched(["stays"] * 3, lambda said: len(said) == 2) == ["0 says so", "3 workers answer"]
    assert [starts(tmp_path, number) for number in range(3)] == [1, 1, 1]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_another_takes_the_place_of_one_that_ended(watched, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(workers, "REST_SECONDS", (0.05, 0.2))
    watched(["stays", "ends"], lambda said: starts(tmp_path, 1) == 2)
    assert "worker 1 ended with 4; another takes its place" in caplog.text
    assert starts(tmp_path, 0) == 1


def test_a_worker_shows_that_its_loop_turns_until_it_ends(monkeypatch):
    monkeypatch.setattr(workers, "LOOK_SECONDS", 0.01)
    turns, seen = SimpleNamespace(value=0), []

    async def server():
        turning = asyncio.create_task(Worker(0, 2, Path(), None, 0, None, turns).turn())
        while turns.value < 3:
            await asyncio.sleep(0.01)
        seen.append(turns.value)
        turning.cancel()

    asyncio.run(server())
    assert seen[0] >= 3 and turns.value == 0


def test_who_hangs_is_replaced_and_who_does_not_say_yet_is_waited_for(watched, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(workers, "REST_SECONDS", (0.05, 0.2))
    monkeypatch.setattr(workers, "LOOK_SECONDS", 0.2)
    monkeypatch.setattr(workers, "HUNG_LOOKS", 3)
    watched(["turns", "hangs once", "starts slowly"], lambda said: starts(tmp_path, 1) == 2)
    assert "worker 1 hangs: its event loop has not turned" in caplog.text
    assert "worker 1 ended with -9; another takes its place" in caplog.text
    assert starts(tmp_path, 0) == starts(tmp_path, 2) == 1


@pytest.mark.parametrize(
    ("fates", "error"),
    [
        ([], "Expected a fate. Received: none for now. Mend it."),
        (["dies"] * 2, "a worker to start. Received: its end with 3"),
    ],
)
def test_what_stops_the_first_is_told_once_and_no_other_is_started(watched, tmp_path, fates, error):
    with pytest.raises(SoukError, match=error):
        watched(fates)
    assert [starts(tmp_path, number) for number in range(2)] == [1, 0]


def test_one_that_cannot_start_ends_none_that_answers(watched, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(workers, "REST_SECONDS", (0.05, 0.2))
    said = watched(["stays", "dies once", "stays"], lambda said: "3 workers answer" in said)
    assert said == ["0 says so", "3 workers answer"]
    assert [starts(tmp_path, number) for number in range(3)] == [1, 2, 1]
    assert "worker 1 ended with 3; another takes its place" in caplog.text
    watched(["stays", "refuses once"], lambda said: "2 workers answer" in said)
    assert "worker 1: Expected a fate. Received: none for now." in caplog.text


def test_who_ends_again_and_again_rests_longer_each_time_while_others_start(watched, tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "REST_SECONDS", (0.2, 30.0))
    watched(["stays", "ends always", "starts slowly"], lambda said: starts(tmp_path, 1) == 3)
    first, second, third = sorted(int(path.name[2:]) for path in tmp_path.glob("1-*"))
    assert second - first > 0.2e9 and third - second > 0.4e9


def test_a_system_that_starts_no_process_for_a_while_ends_none_that_answers(watched, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(workers, "REST_SECONDS", (0.05, 0.2))
    start, pipe, calls = workers.SPAWN.Process.start, workers.SPAWN.Pipe, Counter()

    def failing(name, make):
        def called(*given):
            calls[name] += 1
            if calls[name] == 2:
                raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
            return make(*given)

        return called

    monkeypatch.setattr(workers.SPAWN.Process, "start", failing("start", start))
    monkeypatch.setattr(workers.SPAWN, "Pipe", failing("pipe", pipe))
    assert watched(["stays", "stays"], lambda said: "2 workers answer" in said) == ["0 says so", "2 workers answer"]
    assert calls == {"start": 3, "pipe": 4} and caplog.text.count("cannot be started") == 2


def test_a_failure_of_this_process_ends_who_answers_as_a_signal_does(watched, tmp_path, monkeypatch):
    monkeypatch.setattr(Workers, "_say", Mock(side_effect=ZeroDivisionError))
    with pytest.raises(ZeroDivisionError):
        watched(["stays", "stays"])
    assert (tmp_path / f"told 0 {int(signal.SIGTERM)}").exists()


def test_who_does_not_end_is_killed_after_a_while(watched):
    began = time.monotonic()
    watched(["hears nothing", "stays"], lambda said: "2 workers answer" in said, patience=0.5)
    assert 0.5 < time.monotonic() - began < 20


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_the_end_of_a_terminal_is_passed_on(watched, tmp_path, number, request):
    if number == signal.SIGINT:  # as a script starts what it does not wait for
        request.addfinalizer(partial(signal.signal, number, signal.signal(number, signal.SIG_IGN)))
    watched(["stays", "stays"], lambda said: "2 workers answer" in said, number=number)
    heard = signal.SIGTERM if number == signal.SIGHUP else number
    assert sorted(path.name for path in tmp_path.glob("told *")) == [f"told {n} {int(heard)}" for n in range(2)]


def test_a_port_that_another_program_has_is_refused():
    with bind("127.0.0.1", 0) as taken:
        taken.listen()
        refused = pytest.raises(SoukError, match="Choose another --grpc-port")
        with refused, shared_port("127.0.0.1", taken.getsockname()[1], "--grpc-port"):
            pass


def test_workers_of_two_servers_do_not_share_a_port():
    with shared_port("127.0.0.1", 0, "--grpc-port") as port:
        refused = pytest.raises(SoukError, match="Choose another --grpc-port")
        with refused, shared_port("127.0.0.1", port, "--grpc-port"):
            pass
        with socket.socket() as own, socket.socket() as another:
            for each in (own, another):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                each.bind(("127.0.0.1", port))
                each.listen()


@pytest.mark.parametrize(("given", "alone", "among"), [(None, 5.0, 0.0), (7.0, 7.0, 7.0)])
def test_what_a_worker_did_not_hear_of_is_not_kept(monkeypatch, given, alone, among):
    seen = []
    monkeypatch.setattr(server, "serve", lambda **words: seen.append(words["user_cache_seconds"]))
    words = dict.fromkeys(("workspace", "host", "http_port", "grpc_port", "release", "milvus_uri", "index"), "")
    words |= dict.fromkeys(("flush_seconds", "log_format", "slate_cache_seconds", "token_file", "timeout_ms"), 1)
    words |= dict.fromkeys(("reload_seconds", "impressions", "kafka_config", "drain_seconds", "store_timeout_ms"), 1)
    arguments = Namespace(**words, user_cache_seconds=given, stale_hours=0.0, redis_uri=None)
    cli._answer(arguments)
    cli._answer(arguments, Worker(0, 2, Path(), None, 0, None, None))
    assert seen == [alone, among]
