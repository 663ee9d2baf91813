"""`souk run` over the compiled pipeline with small steps: order, cache, failures, kills, one run at a time."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.pipeline_fixtures import ALL, REFITTED, STEPS, Copy, shown, small_copy

TWIN = STEPS[:6]
CLOSED = ("--gate-margin", "1")  # nothing is promoted, so the champion stays


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return small_copy(tmp_path)


def promoted(copy: Copy) -> str:
    run = copy.run()
    assert run.returncode == 0, run.stdout + run.stderr
    assert shown(run.stdout) == dict.fromkeys(ALL, "ran")
    return released(copy)


def released(copy: Copy) -> str:
    return os.readlink(copy.workspace / "releases" / "current")


def ran(copy: Copy, *words: str) -> list[str]:
    """The steps that a run did not take from the cache."""
    run = copy.run("--keep-runs", "0", *words)
    assert run.returncode == 0, run.stdout + run.stderr
    return [step for step, end in shown(run.stdout).items() if end == "ran"]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Copy, subprocess.CompletedProcess[str], str]:
    """A copy, what its first run said, and the release that it made."""
    copy = small_copy(tmp_path_factory.mktemp("first"))
    (copy.folder / "souk" / "deep.py").write_text("DEPTH = 1\n", "utf-8")
    (copy.folder / "souk" / "middle.py").write_text("def f():\n    from souk.deep import DEPTH\n    return DEPTH\n")
    ranker = copy.folder / "souk" / "steps" / "train_ranker.py"
    ranker.write_text("from souk.middle import f\n" + ranker.read_text("utf-8"), "utf-8")
    run = copy.run()
    assert run.returncode == 0, run.stdout + run.stderr
    return copy, run, released(copy)


def test_a_run_shows_steps_progress_summary_release_and_report(first) -> None:
    copy, run, name = first
    lines = run.stdout.splitlines()
    assert [line for line in lines if line.startswith("▸")] == [f"▸ {n}/{len(ALL)} {s}" for n, s in enumerate(ALL, 1)]
    assert sum("at work" in line for line in lines) == len(ALL)
    assert lines[lines.index(f"▸ 2/{len(ALL)} build_features") + 1].endswith(" s  loading Apache Beam and TensorFlow")
    assert "| souk | 0.5 |" in lines
    assert "promote" in run.stdout
    assert shown(run.stdout) == dict.fromkeys(ALL, "ran")
    assert name in run.stdout
    reports = {path.name for path in (copy.workspace / "reports").iterdir()}
    assert reports == {f"{name}.html", f"{name}-data.html"}
    assert f"workspace/reports/{name}.html" in run.stdout
    assert run.stderr == ""


def test_a_run_leaves_a_log_and_records(first) -> None:
    copy, _, name = first
    runs = copy.workspace / "runs"
    log, record, end = (min(runs.glob(each)) for each in ("*.log", "*.steps.json", "training-*.json"))
    assert "Wrote executor output file" in log.read_text("utf-8")
    values = json.loads(record.read_text("utf-8"))
    assert [step["name"] for step in values["steps"]] == ALL
    assert all(step["peak_mib"] > 0 for step in values["steps"])
    assert values["release"] == name and Path(values["data"]["events"]).is_absolute()
    assert json.loads(end.read_text("utf-8"))["state"] == "SUCCEEDED"


@pytest.fixture(scope="module")
def warm(first) -> Copy:
    """A copy with a release, and every step in the cache under a gate that lets nothing more through."""
    assert ran(first[0], *CLOSED) == ["evaluate"]  # there is a champion now
    return first[0]


@contextmanager
def changed(path: Path, old: str, new: str) -> Iterator[None]:
    """With `old` replaced in a file, whose size and time stay as they were where `new` is as long."""
    text, before = path.read_text("utf-8"), path.stat()
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    yield
    path.write_text(text, "utf-8")


def test_an_unchanged_run_takes_all_from_the_cache(warm: Copy) -> None:
    name = released(warm)
    assert ran(warm, *CLOSED) == []
    assert released(warm) == name


def test_runs_that_nothing_uses_are_deleted_and_said(warm: Copy) -> None:
    assert ran(warm, *CLOSED) == []  # a run that made nothing
    before = {path for path in (warm.workspace / "runs").glob("training-*") if path.is_dir()}
    run = warm.run("--keep-runs", "1", *CLOSED)
    gone = {path.name for path in before if not path.is_dir()}
    assert max(before).name in gone and min(before).name not in gone, "what the cache holds is used"
    assert f"deleted from runs/ (--keep-runs 1): {', '.join(sorted(gone))}" in run.stdout
    assert ran(warm, *CLOSED) == []


@pytest.mark.parametrize("step", ["ingest", "train_ranker"])
def test_a_changed_line_reruns_its_step_and_those_after_it(warm: Copy, step: str) -> None:
    with changed(warm.folder / "souk" / "steps" / f"{step}.py", "small(", "small  ("):
        assert ran(warm, *CLOSED) == list(TWIN[TWIN.index(step) :])


def test_a_changed_line_in_a_module_reruns_the_steps_that_import_it(warm: Copy) -> None:
    """Imported within a function, by a module that the step imports."""
    with changed(warm.folder / "souk" / "deep.py", "1", "2"):
        assert ran(warm, *CLOSED) == ["train_ranker", "evaluate"]


def test_one_changed_row_in_place_reruns_all(warm: Copy) -> None:
    with changed(warm.folder / "events.csv", "u2,i2", "u2,i3"):
        assert ran(warm, *CLOSED) == list(TWIN)


@pytest.mark.parametrize(
    ("section", "rerun"),
    [
        ("load_index: {recall_bar: 0.5}", ["load_index", "evaluate"]),
        ("train_ranker: {epochs: 2}", ["train_ranker", "evaluate"]),
        ("split: {test: 0.2}", list(TWIN[1:])),
        ("deploy: {slate_size: 5}", ["evaluate"]),
    ],
)
def test_one_changed_value_reruns_the_steps_that_read_it(warm: Copy, section: str, rerun: list[str]) -> None:
    with changed(warm.folder / "small.yaml", "name: small\n", f"name: small\n{section}\n"):
        assert ran(warm, *CLOSED) == rerun


def test_a_served_release_that_is_damaged_is_made_again(warm: Copy) -> None:
    """The verdict about the whole one is in the cache, and is not taken for it; afterwards it is taken again."""
    name = released(warm)
    assert [ran(warm), ran(warm)] == [["evaluate"], []]
    victim = warm.workspace / "releases" / name / "content"
    whole = victim.read_bytes()
    victim.write_bytes(b"damaged")
    assert ran(warm) == ["evaluate", "package_release", "deploy"]
    assert (released(warm), victim.read_bytes()) == (name, whole)
    assert ran(warm) == []
    (warm.workspace / "feast" / "registry.db").unlink()
    assert [ran(warm), ran(warm)] == [["evaluate", "package_release", "deploy"], []]
    for name in ("publication.begun", "publish.lock"):
        (warm.workspace / "feast" / name).write_text("killed")
    assert [ran(warm), ran(warm)] == [["evaluate", "package_release", "deploy"], []]


def test_epochs_reach_the_towers(warm: Copy) -> None:
    assert ran(warm, *CLOSED, "--epochs", "3") == list(TWIN[2:])


def test_a_changed_slate_makes_the_release_again(warm: Copy) -> None:
    """The last test of this copy: it has another champion now."""
    name = released(warm)
    with changed(warm.folder / "small.yaml", "name: small\n", "name: small\ndeploy: {slate_size: 5}\n"):
        assert ran(warm) == ["evaluate", "package_release", "deploy"]
    assert released(warm) != name


def test_the_gate_stops_refit_and_deployment(copy: Copy) -> None:
    run = copy.run("--gate-margin", "1")
    assert run.returncode == 0
    assert list(shown(run.stdout)) == list(TWIN)
    assert "reject" in run.stdout
    assert "none yet" in run.stdout
    assert not (copy.workspace / "releases").exists()


def test_a_failed_step_tells_its_error_and_stops_the_run(copy: Copy) -> None:
    runs, seen = copy.workspace / "runs", set[Path]()
    for step in ("ingest", "train_ranker"):
        run = copy.run(SMALL_FAIL=step)
        assert run.returncode == 1
        assert "Expected a step that works. Received: one told to fail. Unset SMALL_FAIL." in run.stderr
        assert "Traceback" not in run.stdout + run.stderr
        new = {*runs.glob("*.log"), *runs.glob("training-*.json")} - seen
        [log], [end] = ([path for path in new if path.suffix == suffix] for suffix in (".log", ".json"))
        assert str(log.relative_to(copy.folder)) in run.stderr
        ends = shown(run.stdout)
        assert ends[step] == "failed"
        assert list(ends) == list(TWIN[: TWIN.index(step) + 1])
        assert json.loads(end.read_text("utf-8"))["state"] == "FAILED"
        seen |= new
    assert copy.run(*CLOSED).returncode == 0


@pytest.fixture
def reached(tmp_path: Path) -> Iterator[Path]:
    """Where the step that waits writes its process id; ends what is left of it."""
    path = tmp_path / "reached"
    yield path
    if path.exists() and alive(int(path.read_text())):
        os.kill(int(path.read_text()), signal.SIGKILL)


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(true: Callable[[], object], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.slow
def test_kills_in_every_step_leave_no_process_and_end_in_the_same_release(first, reached: Path) -> None:
    copy = replace(first[0], place="killed")
    with changed(copy.folder / "events.csv", "u2,i2", "u2,i3"):
        old = promoted(copy)
    for step in STEPS:
        process = copy.start(SMALL_WAIT=step, SMALL_REACHED=str(reached))
        wait_until(lambda: reached.exists() and reached.read_text())
        process.kill()
        output, _ = process.communicate()
        wait_until(lambda: not alive(int(reached.read_text())))
        reached.unlink()
        assert all(end == "cached" for done, end in shown(output).items() if done in before(step)), output
        assert released(copy) == old
    run = copy.run()
    assert run.returncode == 0, run.stdout + run.stderr
    assert released(copy) == first[2] != old


def before(step: str) -> tuple[str, ...]:
    """The steps that an earlier run, killed in the step before `step`, has finished."""
    return STEPS[: max(0, STEPS.index(step) - 1)]


def test_a_second_run_in_one_workspace_is_refused_and_one_that_is_interrupted_ends_quietly(
    copy: Copy, reached: Path
) -> None:
    process = copy.start(SMALL_WAIT="train_two_tower", SMALL_REACHED=str(reached))
    wait_until(lambda: reached.exists() and reached.read_text())
    second = copy.run()
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=300)
    assert second.returncode == 2
    assert f"process {process.pid}" in second.stderr
    assert "Traceback" not in second.stderr
    assert process.returncode == 130
    assert "interrupted. What is done is kept" in output
    assert "Traceback" not in output
    wait_until(lambda: not alive(int(reached.read_text())))


STILL_IMPORTS = """
import os, pathlib, subprocess, sys, time
if "kfp.dsl.executor_main" in sys.orig_argv:
    started = subprocess.Popen(["sleep", "600"])
    pathlib.Path(os.environ["SMALL_REACHED"]).write_text(f"{os.getpid()} {started.pid}")
    time.sleep(600)
"""


@pytest.mark.parametrize(("number", "told"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "ended by SIGTERM")])
def test_a_signal_to_the_run_alone_ends_its_processes(copy: Copy, tmp_path: Path, number: int, told: str) -> None:
    """The step is where it cannot see that its stdin ended, and has started a process of its own."""
    (copy.folder / "sitecustomize.py").write_text(STILL_IMPORTS, "utf-8")
    reached = tmp_path / "both"
    process = copy.start(SMALL_REACHED=str(reached))
    wait_until(lambda: reached.exists() and " " in reached.read_text())
    below = [int(each) for each in reached.read_text().split()]
    try:
        process.send_signal(number)
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 128 + number
        assert told in output
        assert "Traceback" not in output
        assert [each for each in below if alive(each)] == []
    finally:
        for each in filter(alive, below):
            os.kill(each, signal.SIGKILL)


def test_refitted_steps_have_names_of_their_own() -> None:
    assert [name for name in ALL if "(" in name] == [f"{step} (release)" for step in REFITTED]
