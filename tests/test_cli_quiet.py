"""Loading in silence: nothing reaches the terminal, unless it fails."""

import os
import subprocess
import sys

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


@pytest.mark.skipif(sys.platform != "linux", reason="threads are told by /proc")
def test_a_server_computes_in_one_thread_and_says_so_before_numpy_is_there() -> None:
    """TensorFlow too, where a model needs it after all."""
    script = """
import sys
import souk.cli.serve
from souk.cli.quiet import load_tensorflow, one_thread
assert "numpy" not in sys.modules, "its threads are counted when it is imported"
one_thread()
load_tensorflow()
import os, tensorflow as tf
tf.function(lambda x: tf.matmul(x, x) + tf.matmul(x, x + 1))(tf.ones([500, 500]))
names = [open(f"/proc/self/task/{task}/comm").read().strip() for task in os.listdir("/proc/self/task")]
print(names.count("tf_Compute"), os.environ["OPENBLAS_NUM_THREADS"], os.environ["OMP_NUM_THREADS"])
"""
    told = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    assert told.split() == ["1"] * 3
