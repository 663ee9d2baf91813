"""Telling an alarm: whatever answers at the address, and with nothing of the address in messages and logs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from souk.drift.alarm import Bell
from souk.drift.cli import main
from souk.drift.model import DriftModel
from souk.drift.state import State
from souk.errors import SoukError
from tests.drift.shop import monitor, reader, record, some, traffic, write_part

SECRET = "s3cretToken"


@contextlib.contextmanager
def answering(answer: bytes, calls: list[bytes] | None = None) -> Iterator[str]:
    """A server that sends each caller the same bytes; yields its address, with a secret in its path."""
    listening = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        with contextlib.suppress(OSError):
            while True:
                caller, _ = listening.accept()
                called = caller.recv(65_536)
                while b"features" not in called and (more := caller.recv(65_536)):
                    called += more
                if calls is not None:
                    calls.append(called)
                caller.sendall(answer)
                caller.close()

    threading.Thread(target=run, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/services/{SECRET}?key={SECRET}"
    finally:
        listening.close()


@pytest.fixture
def waiting() -> State:
    """A state with an alarm that is to be told."""
    state = State.open(None, "shop")
    with state.change():
        state.put("untold", json.dumps({"release": "shop", "window": 2, "features": []}))
    return state


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n", "no HTTP"),
        (b"", "http://127.0.0.1:"),
        (b"HTTP/1.1 404 /services/" + SECRET.encode() + b"\r\nContent-Length: 0\r\n\r\n", "answers with 404"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:x/" + SECRET.encode() + b"\r\n\r\n", "answers with 302"),
    ],
)
def test_what_does_not_take_the_call_is_counted_and_the_log_has_scheme_and_host_only(
    waiting: State, caplog: pytest.LogCaptureFixture, answer: bytes, said: str
) -> None:
    with answering(answer) as url:
        Bell(waiting, None, url, lambda _: None).ring()
        assert caplog.text.count(f"of 3 to tell {url.partition('/services')[0]}: ") == 3
    assert said in caplog.text and SECRET not in caplog.text
    assert (waiting.totals(), len(waiting.untold())) == ({"calls_failed": 1}, 1)


def test_who_is_away_is_called_by_the_next_until_it_takes_the_alarm(
    waiting: State, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What starts a retrain may be away for an hour; the log and the file have the alarm at once, and once."""
    waits: list[float] = []
    first = {"release": "shop", "window": 2, "features": []}
    with waiting.change():
        waiting.put_untold([first, first | {"window": 5}])
    assert Bell(waiting, tmp_path, "http://127.0.0.1:9/", waits.append).ring() == 2
    assert (waits, waiting.totals()) == ([1.0, 2.0], {"calls_failed": 1}), "the second is not tried, nor has failed"
    assert json.loads((tmp_path / "alarm.json").read_text())["window"] == 5
    (tmp_path / "alarm.json").unlink()
    sent: list[bytes] = []
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", sent) as url:
        bell = Bell(waiting, tmp_path, url, waits.append)
        assert (bell.ring(), bell.ring()) == (2, 0)
    assert [json.loads(each.partition(b"\r\n\r\n")[2]) for each in sent] == [first, first | {"window": 5}]
    assert caplog.text.count("drift alarm") == 2 and not (tmp_path / "alarm.json").exists()


def test_an_alarm_whose_call_failed_outlives_who_calls_nobody(waiting: State, caplog: pytest.LogCaptureFixture) -> None:
    """The retrain that it asks for would never begin; one that nobody was to be called for is told once."""
    Bell(waiting, None, "http://127.0.0.1:9/", lambda _: None).ring()
    asked = waiting.untold()
    assert (Bell(waiting, None).ring(), waiting.untold()) == (0, asked) and asked
    assert "1 alarms wait for a call that failed, and nobody is called: give --on-alarm" in caplog.text
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as url:
        assert (Bell(waiting, None, url, lambda _: None).ring(), waiting.untold()) == (1, [])


@pytest.mark.parametrize("answers", [True, False])
def test_who_is_called_learns_of_an_alarm_that_cannot_be_written(
    waiting: State, tmp_path: Path, caplog: pytest.LogCaptureFixture, answers: bool
) -> None:
    (tmp_path / "state").write_text("no folder")
    status = "200 OK" if answers else "500 No"
    with answering(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode()) as url:
        bell = Bell(waiting, tmp_path / "state", url, lambda _: None)
        if answers:
            assert bell.ring() == 1
        else:
            with pytest.raises(OSError):
                bell.ring()
    assert "alarm.json is not written" in caplog.text
    assert bool(waiting.get("untold")) == (not answers), "told by the next where nobody learned of it"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_no_receiver_even_where_its_target_answers(
    waiting: State, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as target:
        moved = f"HTTP/1.1 {status} Moved\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n"
        with answering(moved.encode()) as url:
            Bell(waiting, None, url, lambda _: None).ring()
    assert waiting.totals() == {"calls_failed": 1}
    assert f"answers with {status}, a redirect, which is not followed" in caplog.text and SECRET not in caplog.text


def test_a_port_that_nobody_listens_on_is_told_without_the_path(
    waiting: State, caplog: pytest.LogCaptureFixture
) -> None:
    Bell(waiting, None, f"http://127.0.0.1:9/services/{SECRET}", lambda _: None).ring()
    assert "to tell http://127.0.0.1:9: " in caplog.text and "refused" in caplog.text and SECRET not in caplog.text


@pytest.mark.parametrize(
    "url",
    [
        f"hooks.example/{SECRET}",
        f"ftp://hooks.example/{SECRET}",
        f"http:///{SECRET}",
        f"http://hook:{SECRET}@hooks.example/run",
        f"http://hooks.example:port/{SECRET}",
        f"http://hooks.example/{SECRET} ",
        f"http://hooks.example/{SECRET}/é",
    ],
)
def test_an_address_that_cannot_be_called_is_refused_with_nothing_of_it(waiting: State, url: str) -> None:
    with pytest.raises(SoukError, match="--on-alarm to be an http:// or https:// address") as refused:
        Bell(waiting, None, url)
    assert SECRET not in str(refused.value) and "hooks" not in str(refused.value)


def test_a_check_says_what_it_found_and_ends_with_3_whatever_answers(
    release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    west = traffic(800, 7, user_region=some(0.4, "west"))
    write_part(tmp_path / "i", "w-000000", [record(request, number) for number, request in enumerate(west)])
    words = ["check", "--release", str(release), "--impressions", str(tmp_path / "i"), "--state", str(tmp_path / "s")]
    words += ["--rows", "400", "--min-rows", "100", "--max-age", "1e12", "--report", str(tmp_path / "r.html")]
    with answering(b"SSH-2.0-OpenSSH_9.6\r\n") as url:
        assert main([*words, "--on-alarm", url]) == 3
    assert "window 2, 400 requests: alarm: user_region" in capsys.readouterr().out
    assert (tmp_path / "r.html").exists() and "attempt 3 of 3" in caplog.text


def test_a_server_says_what_kept_it_from_telling_and_goes_on(
    release: Path, waiting: State, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "state").write_text("no folder")
    model = DriftModel("m", monitor(release), reader(release), Bell(waiting, tmp_path / "state"), lambda: 0)
    model.load()
    until = time.monotonic() + 20
    while "an alarm is not told" not in caplog.text and time.monotonic() < until:
        time.sleep(0.01)
    model.stop()
    assert "an alarm is not told" in caplog.text and waiting.get("untold")


def test_a_server_calls_again_after_a_quiet_window(release: Path, tmp_path: Path) -> None:
    watched = monitor(release, tmp_path)
    with watched.state.change():
        watched.state.put_untold([{"release": "shop", "window": 0, "features": []}])
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as url:
        model = DriftModel("m", watched, reader(release), Bell(watched.state, None, url), lambda: 0)
        records = [record(request, number) for number, request in enumerate(traffic(400, 7))]
        answer = asyncio.run(model.predict({"instances": records}))
        until = time.monotonic() + 20
        while watched.state.untold() and time.monotonic() < until:
            time.sleep(0.01)
        model.stop()
    assert [window["alarm"] for window in answer["predictions"][0]["windows"]] == [[]]
    assert not watched.state.untold() and not watched.state.totals().get("calls_failed")
