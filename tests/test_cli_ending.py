"""A signal ends a command with the exit code that says which, wherever in the code it comes."""

import os
import signal
import subprocess
import sys

import pytest

COMMAND = """
import os
from souk.cli.ending import processes_end_first

def run(arguments):
    with processes_end_first():
        exec(f"os.kill(os.getpid(), {os.environ['SIGNAL']})")  # as the imports make dataclasses

def configure(parser):
    pass
"""
PLAIN = """
import os

def run(arguments):
    try:
        exec(f"os.kill(os.getpid(), {os.environ['SIGNAL']})")
    finally:
        print("cleared")

def configure(parser):
    pass
"""
SOUK = "import sys; from souk.cli import COMMANDS, main; COMMANDS['items'] = ('command', ''); sys.exit(main(['items']))"


@pytest.mark.parametrize(("number", "how"), [(signal.SIGTERM, "ended by SIGTERM"), (signal.SIGINT, "interrupted")])
def test_the_exit_code_is_the_signals_where_a_text_was_executed(tmp_path, number, how):
    run = ended(tmp_path, COMMAND, number)
    assert (run.returncode, run.stderr) == (128 + number, f"\nsouk items: {how}\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_who_is_asked_to_end_clears_what_is_half_made(tmp_path, number):
    run = ended(tmp_path, PLAIN, number)
    assert (run.returncode, run.stdout) == (128 + number, "cleared\n")
    assert run.stderr == f"\nsouk items: ended by {number.name}\n"


def ended(folder, command, number):
    (folder / "command.py").write_text(command)
    (folder / "ended.py").write_text(SOUK)
    path = os.pathsep.join([str(folder), os.getcwd()])
    environment = os.environ | {"PYTHONPATH": path, "SIGNAL": str(int(number))}
    words = [sys.executable, "-m", "ended"]  # Python itself ends otherwise after `-m` than after a file
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=60)
