"""What a command line may say: help for every command, and the usage for every mistake."""

import argparse
import importlib
import shutil
from pathlib import Path

import pytest

import souk
from souk.cli import COMMANDS, main
from souk.cli.options import BEAM_RUNNER, not_negative, share
from souk.cli.refusals import check_beam_runner
from souk.errors import COMPARED, SoukError, nearest, shown, unknown
from souk.features.runner import EMBEDDED
from tests.test_packaging import ROOT


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: souk {command}")
    assert text.count("\n\n") >= 2, "a description stands between usage and options"


def test_every_action_of_a_command_explains_itself() -> None:
    actions = {}
    for command, (module, _) in COMMANDS.items():
        parser = argparse.ArgumentParser(prog=f"souk {command}")
        importlib.import_module(module).configure(parser)
        parts = (action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction))
        actions |= {own.prog: own.description or "" for part in parts for own in part.values()}
    assert len(actions) > 12
    assert [name for name, text in actions.items() if not text.endswith(".") and "souk items upsert" not in text] == []


def test_debug_may_stand_after_an_action(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["release", "show", "gone", "--workspace", str(tmp_path)]) == 2
    plain = capsys.readouterr().err
    assert "Traceback" not in plain
    assert main(["release", "show", "gone", "--workspace", str(tmp_path), "--debug"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("Traceback") and told.endswith(plain)
    with pytest.raises(SystemExit):
        main(["release", "list", "--debugged", "--debug"])
    assert capsys.readouterr().err.endswith("unrecognized arguments: --debugged. Did you mean '--debug'?\n")


@pytest.mark.parametrize("port", ["99999", "-1", "http"])
def test_what_is_no_port_is_refused_at_once(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["serve", "--http-port", port])
    assert end.value.code == 2 and "expected a port from 0 to 65535" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--http-port", "8081"], ["--http-port", "9000", "--grpc-port", "9000"]])
def test_one_port_for_both_servers_is_refused_at_once(
    tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "--workspace", str(tmp_path), *words]) == 2
    assert "Expected two ports" in (told := capsys.readouterr().err) and "another --grpc-port" in told
    assert main(["serve", "--workspace", str(tmp_path), "--http-port", "0", "--grpc-port", "0"]) == 2
    assert "a release" in capsys.readouterr().err


@pytest.mark.parametrize("margin", ["-1e-3", "-.001", "-1E-03", "-0.001", "-1.e-3"])
@pytest.mark.parametrize("command", [["run"], ["submit", "--host", "http://localhost:1"]])
def test_a_margin_below_zero_may_be_written_with_an_exponent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str], margin: str
) -> None:
    assert main([*command, "--config", str(tmp_path / "none.yaml"), "--gate-margin", margin]) == 2
    assert "none.yaml" in capsys.readouterr().err, "it is the config that is missed"


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "soon"])
def test_a_wait_that_is_none_is_refused_at_once(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["serve", "--flush-seconds", seconds])
    assert end.value.code == 2 and "expected a number above 0" in capsys.readouterr().err


def test_the_overview_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert all(f"\n  {name} " in text for name in COMMANDS)


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"souk {souk.__version__}\n"


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["rnu"],
        ["run"],
        ["release"],
        ["release", "show"],
        ["init", "--output", "x"],
        ["run", "--config", "x", "--epochs", "0"],
        ["run", "--config", "x", "--gate-margin", "nan"],
        ["run", "--config", "x", "--gate-margin", "5"],
        ["run", "--config", "x", "--gate-margin", "-1.1"],
    ],
)
def test_a_wrong_command_line_is_refused_with_the_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("usage: souk")


@pytest.mark.parametrize(("words", "told"), [(["chek"], "'check'"), (["release", "lst"], "'list'"), (["qqqq"], "")])
def test_a_command_that_is_none_is_told_with_the_one_that_may_be_meant(words, told, capsys):
    with pytest.raises(SystemExit):
        main(words)
    assert capsys.readouterr().err.endswith(f"). Did you mean {told}?\n" if told else ")\n")


def test_a_text_of_another_that_ends_with_a_full_stop_gets_no_second():
    assert str(SoukError("a file", "Not one.", "Look.")) == "Expected a file. Received: Not one. Look."
    assert str(SoukError("a path", "'..'")) == "Expected a path. Received: '..'."
    assert str(SoukError("a path", "a..")) == "Expected a path. Received: a..."


@pytest.mark.parametrize(
    ("option", "told"), [("--port=80", ". Did you mean '--http-port'?\n"), ("--qqqq", ": --qqqq\n")]
)
def test_an_unknown_option_names_the_nearest(option: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["serve", option])
    assert end.value.code == 2 and capsys.readouterr().err.endswith(told)


@pytest.mark.parametrize("given", ["-1", "nan", "inf", "soon"])
def test_a_number_that_may_be_none_says_so(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["serve", "--stale-hours", given])
    assert f"expected a number of at least 0, received '{given}'" in capsys.readouterr().err
    assert [not_negative(text) for text in ("0", "0.00", "2")] == [0.0, 0.0, 2.0]


@pytest.mark.parametrize("given", ["-0.1", "1.1", "7", "nan", "most"])
def test_a_share_is_from_0_to_1(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["replay", "--log", "l", "--release", "r", "--min-overlap", given])
    assert f"expected a number from 0 to 1, received '{given}'" in capsys.readouterr().err
    assert [share(text) for text in ("0", "0.5", "1")] == [0.0, 0.5, 1.0]


@pytest.mark.parametrize(("name", "other"), [("sitzung", "position"), ("alter", "newsletter")])
def test_a_name_that_is_like_no_other_gets_no_hint(name: str, other: str) -> None:
    assert nearest(name, [other]) == ""
    assert "Use one of these names." in str(unknown("a column", name, [other]))


def test_of_a_long_name_the_beginning_is_compared() -> None:
    assert nearest("x" * COMPARED + "y" * 9_999, ["x" * COMPARED])


@pytest.mark.parametrize("option", ["--events", "--items", "--users"])
def test_a_second_file_of_one_table_is_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The last one won, and the others were lost without a word."""
    with pytest.raises(SystemExit):
        main(["init", "--events", "a.csv", option, "b.csv", option, "c.csv", "--output", "x.yaml"])
    told = capsys.readouterr().err
    assert f"Expected one {option}. Received: " in told and "into one folder, or give a glob" in told


@pytest.mark.parametrize("command", ["run", "tune"])
def test_an_unknown_beam_runner_is_told_before_anything_runs(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = shutil.copyfile(ROOT / "configs" / "movielens_100k.yaml", tmp_path / "config.yaml")
    assert main([command, "--config", str(config), "--workspace", str(tmp_path / "w"), "--beam-runner", "Foo"]) == 2
    said = capsys.readouterr().err
    assert "Expected a Beam runner. Received: 'Foo'. " in said and "FlinkRunner" in said
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("of.nobody.Runner", "No module named 'of'"),
        ("apache_beam.runners.NoRunner", "has no attribute 'NoRunner'"),
        ("PythonRPCDirectRunner", "No module named"),  # which Beam names, and has no more
    ],
)
def test_a_beam_runner_that_cannot_be_had_is_told_as_it_was_written(name: str, why: str) -> None:
    with pytest.raises(SoukError) as refused:
        check_beam_runner(name)
    assert str(refused.value).startswith(f"Expected a Beam runner. Received: '{name}'. ") and why in str(refused.value)


@pytest.mark.parametrize("name", [BEAM_RUNNER, "FlinkRunner", "apache_beam.runners.direct.direct_runner.DirectRunner"])
def test_the_runners_of_beam_are_taken(name: str) -> None:
    assert BEAM_RUNNER == EMBEDDED
    check_beam_runner(name)


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("redis://h:1/0?password=pw", "redis://h:1/0?…"),
        ("redis://u:pw@h:1/0?x=pw@1", "redis://…@h:1/0?…"),
        ("s3://bucket/events.csv", "s3://bucket/events.csv"),
        ("data/day-?.csv", "data/day-?.csv"),
    ],
)
def test_an_address_is_told_without_its_secrets(address: str, told: str) -> None:
    assert shown(address) == told
