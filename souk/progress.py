"""What a step tells while it runs: marked lines on stdout, which `souk run` shows and a cluster's log keeps.

A line starts with one of the marks: `SAY` for the reader, `FAIL` for an error that a user can mend, `PEAK` for the
step's greatest memory in MiB. Everything else that a step prints goes to the run's log alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from souk.errors import FULL, MAKE_ROOM, SoukError, cut

SAY = "souk| "
FAIL = "souk! "
PEAK = "souk^ "
# Errors by name, for their packages are slow to import, and a text that is in the message.
DAMAGED = {"ArrowInvalid": "Parquet", "BadZipFile": "", "DataLossError": ""}
FULL_WORDS = (*map(os.strerror, FULL), "database or disk is full")  # the last is of sqlite
MOST_TOLD = 500  # characters of a library's error: of a folder it may name every file
WORD_SECONDS = 30.0  # between two words of long work on its way
LOCK = "SOUK_RUN_LOCK"  # set by `souk run`: the workspace's lock file, and a promise that stdin ends with the run


def report(text: str) -> None:
    """Prints `text` for the reader of a running step, at once."""
    print("\n".join(SAY + line for line in text.splitlines()), flush=True)


def seldom() -> Callable[[], bool]:
    """A function that says whether it is time for a word of long work: WORD_SECONDS after the last one."""
    last = time.monotonic()

    def due() -> bool:
        nonlocal last
        now = time.monotonic()
        found = now - last > WORD_SECONDS
        last = now if found else last
        return found

    return due


def record(artifact: Any, values: Mapping[str, float]) -> None:
    """Puts `values` into a KFP Metrics artifact: its metadata, for the UI, and its file, for the cache.

    What could not be measured (NaN) is left out of the metadata, whose format has no such number.
    """
    artifact.metadata.update({name: value for name, value in values.items() if math.isfinite(value)})
    path = Path(artifact.path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dict(values), sort_keys=True, indent=1), encoding="utf-8")


def record_roc(artifact: Any, training: str) -> None:
    """Puts the ROC points of the engaged head, from a ranker's `training.json`, into a KFP ClassificationMetrics."""
    points = json.loads(Path(training, "training.json").read_text(encoding="utf-8"))["roc"]["engaged"]
    artifact.log_roc_curve(points["fpr"], points["tpr"], points["threshold"])
    record(artifact, {})


@contextlib.contextmanager
def step_process(loading: str = "") -> Iterator[None]:
    """Around the work of a step's process: it ends with `souk run`, and a SoukError is told without a traceback.

    Args:
        loading: what is imported first, where a busy machine takes long for it; told, so that nobody sees a silence.
    """
    lock = os.environ.get(LOCK)
    held = _end_with_run(lock) if lock else None
    if loading:
        report(f"loading {loading}")
    try:
        yield
    except SoukError as error:
        _tell(str(error))
        sys.exit(1)
    except Exception as error:
        _tell(str(_full(error) or _damaged(error) or f"A fault of Souk, not of yours: {type(error).__name__}: {error}"))
        raise
    finally:
        print(f"{PEAK}{peak_mib():.0f}", flush=True)
        if held is not None:
            os.close(held)


def _full(error: Exception) -> SoukError | None:
    """What is told of a full disk: TensorFlow, Beam and `shutil` raise errors of their own for it, with its words."""
    if not any(word in str(error) for word in FULL_WORDS):
        return None
    return SoukError("free space on the disk", cut(str(error), MOST_TOLD), MAKE_ROOM)


def _damaged(error: Exception) -> SoukError | None:
    """What a library says of a file that is cut short: that of an earlier step would be reused again and again."""
    name = type(error).__name__
    if name not in DAMAGED or DAMAGED[name] not in str(error):
        return None
    remedy = "Remove the folder of that run from runs/ in the workspace: the next `souk run` makes its files anew."
    return SoukError("the files of earlier steps to be whole", f"{name}: {str(error).rstrip('.')}", remedy)


def peak_mib() -> float:
    """The greatest memory of this program so far, MiB.

    Not `getrusage`, where the kernel tells of it: what that counts starts with the program that started this one.
    """
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _tell(error: str) -> None:
    print("\n".join(FAIL + line for line in error.strip().splitlines()), flush=True)


def _end_with_run(lock: str) -> int:
    """Holds the workspace's lock, and ends this process when stdin does: a killed run leaves no writer behind."""
    held = os.open(lock, os.O_RDWR)
    fcntl.flock(held, fcntl.LOCK_SH)

    def wait() -> None:
        while os.read(0, 1):
            pass
        os._exit(1)

    threading.Thread(target=wait, name="end-with-run", daemon=True).start()
    return held
