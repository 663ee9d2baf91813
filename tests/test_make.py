"""The two scripts of the first minute: make's help, and finding a Python that runs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def find_python(*arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    command = ["/bin/sh", str(ROOT / "requirements/python.sh"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=None if path is None else {"PATH": path})


def script(folder: Path, name: str, body: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def test_help_is_a_dozen_targets_with_a_sentence_each_and_then_those_for_who_changes_souk() -> None:
    shown = subprocess.run(["make", "help"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    first, heading, rest = shown.partition("For those who change Souk:\n")
    lines, more = (re.findall(r"^  make ([a-z-]+) +(.+)$", part, flags=re.MULTILINE) for part in (first, rest))
    assert {"run", "serve", "test", "check", "bench", "drift-demo"} <= {target for target, _ in lines}
    assert len(lines) <= 12 and heading
    assert all(sentence.endswith(".") for _, sentence in lines + more)
    phony = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert phony and sorted(["help", *(target for target, _ in lines + more)]) == sorted(phony[1].split())


def test_a_named_python_is_taken() -> None:
    assert find_python(sys.executable).stdout.strip() == sys.executable


def test_a_shim_without_a_python_behind_it_is_passed_over(tmp_path: Path) -> None:
    script(tmp_path, "python3.13", "echo 'pyenv: python3.13: command not found' >&2; exit 127")
    script(tmp_path, "python3.12", f'exec {sys.executable} "$@"')
    assert find_python(path=f"{tmp_path}:/usr/bin:/bin").stdout.strip() == sys.executable


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("echo 'is Python 3.10'; exit 1", "is Python 3.10"),
        ("echo \"ModuleNotFoundError: No module named 'ensurepip'\" >&2; exit 1", "No module named 'ensurepip'"),
        ("exit 1", "does not run"),
    ],
)
def test_without_a_python_it_says_what_was_tried_and_what_to_do(tmp_path: Path, body: str, reason: str) -> None:
    python = script(tmp_path, "some-python", body)
    run = find_python(str(python))
    assert run.returncode == 1
    assert run.stdout == ""
    assert f"{python}: " in run.stderr
    assert reason in run.stderr
    assert "apt-get install" in run.stderr


def test_a_missing_name_is_said_to_be_missing() -> None:
    assert "no-such-python: not found" in find_python("no-such-python").stderr


def find_drift_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["/bin/sh", str(ROOT / "requirements/drift_python.sh"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


def test_a_python_that_is_too_new_for_the_drift_detector_is_told_to_be_no_harm(tmp_path: Path) -> None:
    python = script(tmp_path, "python3.13", "echo 'is Python 3.13'; exit 1")
    run = find_drift_python(str(python))
    assert (run.returncode, run.stdout) == (1, "")
    assert "Expected Python 3.11 or 3.12" in run.stderr
    assert "is Python 3.13" in run.stderr
    assert "optional" in run.stderr


def test_a_python_for_the_drift_detector_is_taken(tmp_path: Path) -> None:
    python = script(tmp_path, "python3.12", f"echo {tmp_path}/python3.12")
    assert find_drift_python(str(python)).stdout.strip() == str(python)


def test_without_such_a_python_the_other_tests_run_all_the_same(tmp_path: Path) -> None:
    python = script(tmp_path, "python3.13", "echo 'is Python 3.13'; exit 1")
    command = ["make", "drift-test", f"DRIFT_PYTHON={python}", "UV=/bin/true"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "The detector is optional" in run.stderr


@pytest.mark.parametrize(
    ("first", "again", "status"),
    [("true", "false", 0), ("false", "true", 0), ("false", "false", 2), ("exit 2 #", "true", 2)],
)
def test_tests_that_failed_get_one_more_try_and_a_run_that_broke_off_none(
    tmp_path: Path, first: str, again: str, status: int
) -> None:
    python = script(tmp_path, "python3.13", "echo 'is Python 3.13'; exit 1")
    words = [f"PYTEST={script(tmp_path, 'first', first)}", f"AGAIN={script(tmp_path, 'again', again)}"]
    command = ["make", "--assume-old=.venv/.installed", "test", f"DRIFT_PYTHON={python}", "UV=/bin/true", *words]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == status, run.stderr
    assert ("once more, alone" in run.stdout) == (first == "false")


@pytest.mark.parametrize(("words", "workspace"), [((), ".souk"), (("DATASET=simulated",), ".souk-simulated")])
def test_each_data_set_has_a_workspace_of_its_own(words: tuple[str, ...], workspace: str) -> None:
    command = ["make", "--dry-run", "--assume-old=.venv/.installed", "run", *words]
    shown = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert re.findall(r"--workspace (\S+)", shown) == [workspace, workspace]
