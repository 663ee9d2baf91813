"""The client's deadline: it holds for connecting, sending and reading, however slow the other side is."""

import asyncio
import socket
import threading
import time
from contextlib import suppress
from types import SimpleNamespace

import httpx
import pytest

from souk.client import AsyncClient, Client, Request, Unavailable
from souk.client.http import PIECE, Deadline
from tests.client_server import BOTH, GOOD, saying, slates_of


@BOTH
@pytest.mark.parametrize("answer", ["drip", "drip headers"])
def test_an_answer_in_drops_is_broken_off_at_the_deadline(kind, answer):
    """Each drop comes before a read is out of patience; the last one only after a minute."""
    with saying(answer) as (url, script), pytest.raises(Unavailable, match="within the time"):
        slates_of(kind, url, Request(user_id="ann"), 0.5)
    assert script.drops < 200


class Sipping:
    """A server that takes a call of 32 MB in sips, each before a write is out of patience, and says nothing."""

    def __init__(self):
        self.taken, self._server = 0, socket.socket()
        self._server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 15)
        self._server.bind(("127.0.0.1", 0))
        self._server.listen()
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self):
        connection, _ = self._server.accept()
        with self._server, connection, suppress(OSError):
            while sip := len(connection.recv(1 << 15)):
                self.taken += sip
                time.sleep(sip / 6e6)


@BOTH
def test_a_call_that_is_taken_in_sips_is_broken_off_at_the_deadline(kind):
    sipping, events = Sipping(), [{"event_id": f"{n}", "location": "x" * (1 << 15)} for n in range(1000)]

    def send():
        with Client(sipping.url) as souk:
            souk.send_events(events, timeout=1)

    async def send_too():
        async with AsyncClient(sipping.url) as souk:
            await souk.send_events(events, timeout=1)

    with pytest.raises(Unavailable, match="within the time"):
        send() if kind is Client else asyncio.run(send_too())
    assert sipping.taken < 20_000_000


def test_a_wait_for_a_connection_leaves_less_time_to_make_one():
    """A trace as httpx gives it: `info` is what the connection is made with."""
    now = [0.0]
    deadline = Deadline(lambda: now[0])
    deadline.end = 1.0
    now[0] = 0.9
    deadline.watch("connection.connect_tcp.started", info := {"host": "x", "timeout": 0.25})
    assert info["timeout"] == pytest.approx(0.1)
    now[0] = 1.0
    with pytest.raises(httpx.ConnectTimeout):
        deadline.watch("connection.start_tls.started", info)


def test_a_call_is_written_in_pieces_each_within_what_is_left():
    now, pieces = [0.0], []

    def write(data, timeout):
        pieces.append((len(data), timeout))
        now[0] += 0.4

    stream, deadline = SimpleNamespace(read=None, write=write), Deadline(lambda: now[0])
    deadline.end = 1.0
    deadline.watch("connection.connect_tcp.complete", {"return_value": stream})
    with pytest.raises(httpx.WriteTimeout):
        stream.write(b"x" * 4 * PIECE, 0.5)
    assert pieces == [(PIECE, 0.5), (PIECE, 0.5), (PIECE, pytest.approx(0.2))]


def test_a_connection_that_is_kept_knows_the_next_deadline():
    with saying(GOOD, "drip headers") as (url, script), Client(url, timeout=60) as souk:
        souk.slate(Request(user_id="ann"))
        with pytest.raises(Unavailable, match="within the time"):
            souk.slate(Request(user_id="ann"), timeout=0.5)
    assert script.drops < 200
