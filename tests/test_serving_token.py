"""Tokens of a file: who is let in, and what becomes of a file that is wrong."""

import asyncio
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from souk.errors import SoukError
from souk.serving.protocol.token import SHORTEST, TokenCheck, Tokens

GOOD = "x" * SHORTEST


def tokens(folder, text=GOOD):
    file = folder / "token"
    file.write_text(text)
    return Tokens(file)


@pytest.mark.parametrize("text", [GOOD, f"\n {GOOD} \r\n", f"{GOOD}\n{'y' * 40}\n"])
def test_any_line_is_a_token(tmp_path, text):
    made = tokens(tmp_path, text)
    assert made.allow(f"Bearer {GOOD}") and made.allow(f"bearer {GOOD}")
    assert made.allow(f"Bearer {'y' * 40}") is ("y" in text)


@settings(max_examples=200)
@given(st.text() | st.text().map("Bearer {}".format) | st.text(max_size=3).map(lambda t: f"Bearer {GOOD}{t}"))
def test_nothing_else_is(tmp_path_factory, given):
    made = tokens(tmp_path_factory.mktemp("own"))
    assert made.allow(given) is (given[:7].lower() == "bearer " and given[7:].strip() == GOOD)


@pytest.mark.parametrize("given", [GOOD, "y" * 40, GOOD[:-1], ""])
def test_each_token_is_compared_in_constant_time_whichever_is_right(tmp_path, monkeypatch, given):
    compared = []
    monkeypatch.setattr("hmac.compare_digest", lambda a, b: compared.append((len(a), len(b))) or a == b)
    assert tokens(tmp_path, f"{GOOD}\n{'y' * 40}\n").allow(f"Bearer {given}") is (given in (GOOD, "y" * 40))
    assert compared == [(32, 32)] * 2, "digests, all of them"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n \n",
        b"short",
        GOOD.encode() + b"\nshort",
        b"\xff" * 40,
        ("ö" * 20).encode(),
        b"two words of a token",
        None,
    ],
)
def test_a_file_without_a_token_is_refused_at_the_start(tmp_path, content):
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SoukError, match="token") as error:
        Tokens(file)
    assert GOOD not in str(error.value)


def test_a_file_that_changes_is_read_again_and_one_that_is_wrong_changes_nothing(tmp_path):
    made, file, other = tokens(tmp_path), tmp_path / "token", "z" * 20

    def write(text):
        fresh = tmp_path / "fresh"
        fresh.write_text(text)
        os.replace(fresh, file)

    write(other)
    assert made.allow(f"Bearer {other}") and not made.allow(f"Bearer {GOOD}")
    for wrong in ("", "short"):
        write(wrong)
        assert made.allow(f"Bearer {other}") and not made.allow("Bearer short")
    file.unlink()
    assert made.allow(f"Bearer {other}")
    write(GOOD)
    assert made.allow(f"Bearer {GOOD}") and not made.allow(f"Bearer {other}")


@pytest.mark.parametrize(
    ("given", "status"), [([], 401), ([GOOD], 200), (["y" * 40], 401), ([GOOD, "y" * 40], 401), ([GOOD, GOOD], 401)]
)
def test_a_call_has_one_token(tmp_path, given, status):
    """Of two, what stands before the server may have looked at the other one."""
    said = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200})

    async def send(message):
        said.append(message.get("status"))

    scope = {"type": "http", "path": "/v1/events", "method": "POST"}
    scope |= {"headers": [(b"authorization", f"Bearer {token}".encode()) for token in given]}
    asyncio.run(TokenCheck(app, tokens(tmp_path))(scope, None, send))
    assert said[0] == status
