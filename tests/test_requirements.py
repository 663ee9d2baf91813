"""An absent tool is a skip that says what to install, and a failure under CI."""

import pytest

from tests.requirements import require

ENDS = (pytest.fail.Exception, pytest.skip.Exception)  # either is caught, or a wrong skip would skip the test itself


def test_a_present_tool_is_found() -> None:
    assert require("git", "apt-get install git").endswith("/git")


def test_an_absent_tool_is_a_skip_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(ENDS, match=r"no-such-tool is absent; .* apt-get install it") as ended:
        require("no-such-tool", "apt-get install it")
    assert ended.type is pytest.skip.Exception


def test_an_absent_tool_fails_under_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(ENDS, match=r"no-such-tool is absent; .* apt-get install it") as ended:
        require("no-such-tool", "apt-get install it")
    assert ended.type is pytest.fail.Exception
