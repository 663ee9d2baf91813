"""TensorFlow in a process beside: the same numbers, and what happens when it ends."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
import tensorflow as tf

from souk.errors import SoukError
from souk.serving.beside import Beside, Ended, here

SQUARE = {"x": np.array([1.0, 3.0], np.float32)}


class Square(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def explain(self, x):
        return {"y": x * x}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("square") / "model"
    module = Square()
    tf.saved_model.save(module, str(folder), {"explain": module.explain})
    return folder


@contextmanager
def beside(patience=60.0):
    process = Beside(patience)
    try:
        yield process
    finally:
        process.close()


def gone(process_id):
    """Waits until a process has ended."""
    for _ in range(1000):
        try:
            os.kill(process_id, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.01)
    return False


@pytest.mark.slow
def test_it_answers_as_this_process_does_and_goes_on_after_it_was_killed(model, tmp_path):
    with beside() as run:
        run.prepare(model, "explain")
        assert run.process_id is None, "who explains nothing pays nothing"
        np.testing.assert_array_equal(run(model, "explain", SQUARE)["y"], here(model, "explain", SQUARE)["y"])
        run.prepare(tmp_path, "explain")
        first = run.process_id
        with pytest.raises(SoukError, match=r"a SavedModel at .* Received: none"):
            run(tmp_path, "explain", SQUARE)
        assert run.process_id == first, "a model that cannot explain is no reason to end"
        with pytest.raises(ValueError, match=r"TypeError|ValueError"):
            run(model, "explain", {"x": np.array(["no number"], object)})
        os.kill(first, signal.SIGKILL)
        assert run(model, "explain", SQUARE)["y"].tolist() == [1, 9]
        assert run.process_id != first
        last = run.process_id
        with ThreadPoolExecutor() as pool:
            os.kill(last, signal.SIGSTOP)
            waiting = pool.submit(run, model, "explain", SQUARE)
            while not waiting.running():
                time.sleep(0.01)
            run.close()
            with pytest.raises(Ended, match="the end of the server"):
                waiting.result(60)
    assert gone(last) and gone(first)


def test_the_end_of_the_server_does_not_wait_for_a_process_that_was_just_started(model):
    started = []

    class Starting(Beside):
        def _started(self):
            there = super()._started()
            os.kill(there[0].pid, signal.SIGSTOP)
            started.append(there[0].pid)
            ending.start()
            while not self._closed:
                time.sleep(0.001)
            return there

    run = Starting(patience=60)
    ending = threading.Thread(target=run.close)
    with pytest.raises(Ended, match="the end of the server"):
        run(model, "explain", SQUARE)
    ending.join(60)
    assert not ending.is_alive() and gone(*started)


def test_both_attempts_of_a_call_have_one_time(model, monkeypatch):
    """The first process is killed in the midst of it, the second hangs."""
    waits, timer = [], threading.Timer

    def late(seconds, act):
        waits.append(seconds)
        return timer(seconds, act)

    class Starting(Beside):
        def _started(self):
            there = super()._started()
            os.kill(there[0].pid, signal.SIGSTOP)
            if self.starts == 1:
                timer(0.5, there[0].kill).start()
            return there

    run = Starting(patience=0.4, starting=0.6)
    monkeypatch.setattr(threading, "Timer", late)
    with pytest.raises(Ended, match="nothing in 1 s"):
        run(model, "explain", SQUARE)
    assert run.starts == 2 and 0.9 < waits[0] <= 1 and waits[1] < waits[0] - 0.4


def test_a_call_that_finds_a_killed_process_has_the_time_to_start_another(model, monkeypatch):
    waits, timer = [], threading.Timer

    class Starting(Beside):
        def _started(self):
            there = super()._started()
            os.kill(there[0].pid, signal.SIGSTOP if self.starts > 1 else signal.SIGKILL)
            return there

    run = Starting(patience=0.4, starting=0.6)
    run._there = run._started()
    run._there[0].join(60)
    monkeypatch.setattr(threading, "Timer", lambda seconds, act: waits.append(seconds) or timer(seconds, act))
    with pytest.raises(Ended, match="nothing in 1 s"):
        run(model, "explain", SQUARE)
    assert waits[0] <= 0.4 < waits[1] and run.starts == 2


@pytest.mark.slow
def test_one_that_hangs_is_ended_whatever_it_is_sent(model):
    with beside(patience=60) as run:
        run(model, "explain", SQUARE)
        number = run.process_id
        os.kill(number, signal.SIGSTOP)
        run._patience = 0.1
        with pytest.raises(Ended, match="Ask again"):
            run(model, "explain", {"x": np.zeros(1 << 20, np.float32)})  # more than a pipe holds
        assert run.process_id is None and gone(number)


@pytest.mark.slow
def test_it_ends_with_the_process_that_asks(model, tmp_path):
    """Even if that is killed."""
    program = f"""
import sys, time
from pathlib import Path
import numpy as np
from souk.serving.beside import Beside
if __name__ == "__main__":
    run = Beside()
    run(Path({str(model)!r}), 'explain', {{"x": np.ones(1, np.float32)}})
    print(run.process_id, flush=True)
    time.sleep(600)
"""
    script = tmp_path / "asks.py"
    script.write_text(program)
    asking = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    number = int(asking.stdout.readline())
    asking.kill()
    asking.wait()
    assert gone(number)


@pytest.mark.slow
def test_a_model_that_is_let_go_is_read_again_and_what_tensorflow_fails_at_is_no_fault_of_the_inputs(model, tmp_path):
    mine = tmp_path / "mine"
    shutil.copytree(model, mine)
    with beside() as run:
        run.hold([model, mine])
        run(mine, "explain", SQUARE)
        shutil.rmtree(mine / "variables")
        (mine / "saved_model.pb").write_bytes(b"none")
        assert run(mine, "explain", SQUARE)["y"].tolist() == [1, 9], "it is in memory"
        run.let_go([mine])
        assert run(model, "explain", SQUARE)["y"].tolist() == [1, 9]
        with pytest.raises((Ended, ValueError), match=r"Expected|Error"):
            run(mine, "explain", SQUARE)
        assert run.starts == 1
