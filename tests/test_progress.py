"""What a step's process tells: marked lines, errors without a traceback, memory."""

import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest

from souk import progress


def step(body: str, loading: str = "") -> subprocess.CompletedProcess[str]:
    """A process whose step does `body`."""
    program = f"""if True:
        from souk.errors import SoukError
        from souk.progress import report, step_process
        with step_process({loading!r}):
            {body}
    """
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, stdin=subprocess.DEVNULL)


def lines(run: subprocess.CompletedProcess[str], mark: str) -> list[str]:
    return [line.removeprefix(mark) for line in run.stdout.splitlines() if line.startswith(mark)]


def test_reports_are_marked_line_by_line() -> None:
    run = step("report('one\\ntwo'); print('noise')")
    assert run.returncode == 0
    assert lines(run, progress.SAY) == ["one", "two"]
    assert float(lines(run, progress.PEAK)[0]) > 1


def test_what_takes_long_to_import_is_told_before() -> None:
    run = step("print('work'); raise ImportError('no such wheel')", "Apache Beam")
    assert run.stdout.startswith(f"{progress.SAY}loading Apache Beam\nwork\n")
    assert lines(run, progress.FAIL) == ["A fault of Souk, not of yours: ImportError: no such wheel"]


def test_an_error_to_mend_has_no_traceback() -> None:
    run = step("raise SoukError('a', 'b\\nand more', 'Do c.')")
    assert run.returncode == 1
    assert lines(run, progress.FAIL) == ["Expected a. Received: b", "and more. Do c."]
    assert "Traceback" not in run.stdout + run.stderr


def test_a_fault_of_ours_is_named_and_keeps_its_traceback() -> None:
    run = step("{}['missing']")
    assert run.returncode == 1
    assert lines(run, progress.FAIL) == ["A fault of Souk, not of yours: KeyError: 'missing'"]
    assert "Traceback" in run.stderr


@pytest.mark.parametrize(
    ("read", "error"),
    [
        ("import pyarrow.parquet; pyarrow.parquet.read_table({!r})", "ArrowInvalid"),
        ("import zipfile; zipfile.ZipFile({!r})", "BadZipFile"),
        ("import tensorflow; next(iter(tensorflow.data.TFRecordDataset({!r})))", "DataLossError"),
    ],
)
def test_a_damaged_file_of_an_earlier_step_is_no_fault_of_ours(tmp_path: Path, read: str, error: str) -> None:
    path = tmp_path / "damaged"
    path.write_bytes(b"cut short" * 9)
    run = step(read.format(str(path)))
    told = " ".join(lines(run, progress.FAIL))
    assert told.startswith(f"Expected the files of earlier steps to be whole. Received: {error}: ")
    assert told.endswith(
        "Remove the folder of that run from runs/ in the workspace: the next `souk run` makes its files anew."
    )
    assert "Traceback" in run.stderr


@pytest.mark.parametrize(
    "write",
    [
        "open('/dev/full', 'wb', buffering=0).write(b'x')",
        "import tensorflow; tensorflow.io.write_file('/dev/full', b'x' * (1 << 20))",
        "import shutil; raise shutil.Error([('a', 'b', '[Errno 28] No space left on device')])",
        "import sqlite3; raise sqlite3.OperationalError('database or disk is full')",
    ],
)
def test_a_full_disk_is_no_fault_of_ours_whichever_library_says_it(write: str) -> None:
    run = step(write)
    told = " ".join(lines(run, progress.FAIL))
    assert run.returncode == 1 and told.startswith("Expected free space on the disk. Received: ")
    assert told.endswith("Make room, as by `souk release prune`, and do it again.")


def test_without_a_run_around_it_a_closed_stdin_does_not_end_a_step() -> None:
    assert lines(step("import time; time.sleep(0.2); report('done')"), progress.SAY) == ["done"]


def test_a_step_ends_with_the_run_around_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = tmp_path / "lock"
    lock.touch()
    monkeypatch.setenv(progress.LOCK, str(lock))
    run = step("import threading; threading.Event().wait()")
    assert run.returncode == 1


def test_record_fills_the_artifact_and_its_file(tmp_path: Path) -> None:
    class Artifact:
        metadata: ClassVar[dict[str, float]] = {}
        path = str(tmp_path / "new" / "metrics")

    progress.record(Artifact, {"loss": 0.5})
    assert Artifact.metadata == {"loss": 0.5}
    assert Path(Artifact.path).read_text("utf-8") == '{\n "loss": 0.5\n}'


def test_what_could_not_be_measured_does_not_reach_the_metadata(tmp_path: Path) -> None:
    """kfp cannot write NaN: a step whose metric has no answer must not end in kfp's own error."""

    class Artifact:
        metadata: ClassVar[dict[str, float]] = {}
        path = str(tmp_path / "metrics")

    progress.record(Artifact, {"auc": float("nan"), "loss": 0.5})
    assert Artifact.metadata == {"loss": 0.5}


def test_memory_is_that_of_the_step_and_not_of_its_parent() -> None:
    held = bytearray(400 << 20)
    held[::4096] = b"x" * len(held[::4096])
    told = float(lines(step("pass"), progress.PEAK)[0])
    assert 5 < told < 200
    assert len(held)
