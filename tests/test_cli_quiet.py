"""Loading in silence: nothing reaches the terminal, unless it fails."""

import os

import pytest

from souk.cli.quiet import quiet_loading


def test_what_native_code_prints_while_loading_is_kept_from_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    with quiet_loading():
        os.write(2, b"noise")
    os.write(2, b"word")
    assert capfd.readouterr().err == "word"


def test_it_is_shown_where_loading_fails(capfd: pytest.CaptureFixture[str]) -> None:
    def load() -> None:
        with quiet_loading():
            os.write(2, b"the reason")
            raise ImportError

    with pytest.raises(ImportError):
        load()
    assert "the reason" in capfd.readouterr().err
