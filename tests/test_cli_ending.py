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
SOUK = "import sys; from souk.cli import COMMANDS, main; COMMANDS['items'] = ('command', ''); sys.exit(main(['items']))"


@pytest.mark.parametrize(("number", "how"), [(signal.SIGTERM, "ended by SIGTERM"), (signal.SIGINT, "interrupted")])
def test_the_exit_code_is_the_signals_where_a_text_was_executed(tmp_path, number, how):
    (tmp_path / "command.py").write_text(COMMAND)
    (tmp_path / "ended.py").write_text(SOUK)
    path = os.pathsep.join([str(tmp_path), os.getcwd()])
    environment = os.environ | {"PYTHONPATH": path, "SIGNAL": str(int(number))}
    words = [sys.executable, "-m", "ended"]  # Python itself ends otherwise after `-m` than after a file
    run = subprocess.run(words, env=environment, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    assert (run.returncode, run.stderr) == (128 + number, f"\nsouk items: {how}\n")
