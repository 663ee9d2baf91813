"""A run killed inside its tasks, with the real steps: the next ends in the same release, and the old one serves all the
while."""

import json
import os
import signal
import subprocess
import urllib.request
from collections.abc import Iterator

import pytest
import yaml

from tests.marketplace import write_marketplace
from tests.pipeline_fixtures import Copy, real_copy, shown

GUARDRAILS = ("worst_slice", "cold_items", "coverage", "popularity_bias", "calibration", "latency", "size")
QUICK = {  # promoted whatever its worth: a fit of one epoch is no judge of the machinery
    "train_two_tower": {"epochs": 1, "refresh_epochs": 1, "consistency": 0},
    "train_ranker": {"epochs": 1},
    "evaluate": dict.fromkeys(GUARDRAILS),
}
ARGUMENTS = ("--gate-margin", "-1")
# The one that makes a release, and those that write elsewhere than into their outputs: Feast, checkpoints, the pointer.
# tests/test_pipeline_run.py kills within every task, of small steps.
KILLED = ("build_features", "train_two_tower", "package_release", "deploy")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    folder = tmp_path_factory.mktemp("faults")
    copy = real_copy(folder)
    config = write_marketplace(folder).config
    values = yaml.safe_load(config.read_text("utf-8"))
    for section, changes in QUICK.items():
        values[section] = values.get(section, {}) | changes
    (folder / "small.yaml").write_text(yaml.safe_dump(values), "utf-8")
    return copy


@pytest.fixture(scope="module")
def server(copy: Copy) -> Iterator[str]:
    """`souk serve` on the first release."""
    first = copy.run(*ARGUMENTS)
    assert first.returncode == 0, first.stdout + first.stderr
    words = ("serve", "--workspace", "workspace", "--http-port", "0", "--grpc-port", "0")
    process = subprocess.Popen(
        copy.command(*words), cwd=copy.folder, env=copy.environment(), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    ready = next(line for line in process.stdout if " answers: " in line)
    yield ready.partition(" answers: ")[2].split()[0]
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)


def served(address: str) -> str:
    """The release that answers a request."""
    body = json.dumps({"instances": [{"user_id": "someone", "k": 3}]}).encode()
    request = urllib.request.Request(f"{address}/v1/models/souk:predict", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        [slate] = json.load(answer)["predictions"]
    assert len(slate["items"]) == 3
    return str(slate["release"])


def kill_within(copy: Copy, task: str) -> dict[str, str]:
    """Starts a run and kills it once `task` is at its work; returns how the tasks before it ended."""
    process = copy.start(*ARGUMENTS)
    assert process.stdout is not None
    lines, within = [], False
    for line in process.stdout:
        lines.append(line)
        if (within and " s  loading " not in line) or line.startswith("✗"):
            break
        within = within or (line.startswith("▸") and line.rstrip().endswith(f" {task}"))
    process.kill()
    rest, _ = process.communicate()
    assert within, "".join(lines) + rest
    return shown("".join(lines))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_an_unchanged_run_reuses_every_step(copy: Copy, server: str) -> None:
    again = copy.run(*ARGUMENTS)
    assert again.returncode == 0, again.stdout + again.stderr
    assert [step for step, end in shown(again.stdout).items() if end != "cached"] == ["evaluate"]
    assert "unchanged" in again.stdout
    third = copy.run(*ARGUMENTS)
    assert set(shown(third.stdout).values()) == {"cached"}


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_kills_within_tasks_end_in_the_same_release_and_the_old_one_serves(copy: Copy, server: str) -> None:
    old = os.readlink(copy.workspace / "releases" / "current")
    events = copy.folder / "events.jsonl"
    events.write_text("".join(events.read_text("utf-8").splitlines(keepends=True)[1:]), "utf-8")  # so every task runs
    for task in KILLED:
        before = kill_within(copy, task)
        assert set(before.values()) <= {"cached", "ran"}, before
        assert served(server) == old
        assert os.readlink(copy.workspace / "releases" / "current") == old or task == "deploy"
    last = copy.run(*ARGUMENTS)
    assert last.returncode == 0, last.stdout + last.stderr
    new = os.readlink(copy.workspace / "releases" / "current")
    assert new != old
    assert copy.souk("release", "verify", new, "--workspace", "workspace").returncode == 0
    whole = copy.souk("run", "--config", "small.yaml", "--workspace", "whole", *ARGUMENTS)
    assert whole.returncode == 0, whole.stdout + whole.stderr
    assert os.readlink(copy.folder / "whole" / "releases" / "current") == new
