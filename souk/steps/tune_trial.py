"""One trial of a search: towers and ranker with some settings, measured on the validation window.

It is measured in a process of its own, so that one that crashes, or takes all memory, is a trial without a figure and
no more. What is tried is what the training pipeline runs, up to the first boundary: the towers are fitted on nothing
from `validation_start` on, the ranker on the validation window. A fifth of the window's users, told by a hash of their
ids, is kept apart and measures the trial: the ranker is not fitted on them, and neither the passes of either model nor
the weight of satisfaction are chosen by them. Nothing from `test_start` on is looked at, but that what was taken then
had been on offer, where the items file says that it is no more (`souk.models.retrieve.never_to_be_had`). The slate is
the one that would be served: under the weights of the config where it says some, and re-ranked where it says so
(`rerank`).
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess  # nosec B404: this program starts itself, with arguments as a list
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from souk.config import with_value
from souk.errors import SoukError
from souk.folders import remove
from souk.progress import report, step_process
from souk.tuning.trials import Trial, read_trial
from souk.workspace import Workspace

UNTIL = "SOUK_TUNE_UNTIL"  # set by `souk tune --minutes`: seconds since the epoch; it is no argument, so no trial that
# was finished is tried again because there was more time or less


def tune_trial(
    train_two_tower_config: str,
    train_ranker_config: str,
    package_release_config: str,
    trial: str,
    epochs: int,
    workspace: str,
    features: str,
    result: str,
) -> dict[str, float] | None:
    """Tries settings.

    Args:
        train_two_tower_config: `DatasetConfig.for_step("train_two_tower")`.
        train_ranker_config: `DatasetConfig.for_step("train_ranker")`.
        package_release_config: `DatasetConfig.for_step("package_release")`: how slates are served.
        trial: from `tune_draw`.
        epochs: of the towers; 0 for those of the config.
        workspace: holds the checkpoints of fits under way, and beside them the trial's own folder while it runs.
        features: the folder of `build_features`.
        result: the file to write (`souk.tuning.trials.Trial`).

    Returns:
        `ndcg@10` and what towers and ranker reported; None where the trial has no figure.
    """
    given = json.loads(trial)
    number, began = given["number"], time.time()
    configs = (train_two_tower_config, train_ranker_config, package_release_config)
    scratch = _scratch(workspace, *configs, trial, epochs, features)
    words = (*configs, trial, str(epochs), workspace, features, result, str(scratch))
    remove(scratch)  # of a run that was killed
    left = float(os.environ.get(UNTIL, "inf")) - began if number else float("inf")  # the config as it is always runs
    try:
        command = [sys.executable, "-m", "souk.steps.tune_trial", *words]
        error = _run(command, left) if left > 0 else "not started: no time"
    finally:
        remove(scratch)  # the process may have been killed
    found = read_trial(result) if not error else Trial(number, given["settings"], error=error)
    found = Trial(**{**found.__dict__, "seconds": time.time() - began})
    found.write(result)
    report(f"trial {number}: " + (f"ndcg@10 {found.score:.4f}" if found.gains else found.error))
    return {"ndcg@10": found.score, **found.metrics} if found.gains else None


def _scratch(workspace: str, *inputs: str | int) -> Path:
    """Where a trial works: among the fits under way, so that whoever clears these clears it too."""
    digest = hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:12]
    return Workspace(Path(workspace)).checkpoints / f"trial-{digest}"


def _run(command: list[str], seconds: float) -> str:
    """Runs the trial's process; why it failed, or ""."""
    try:
        code = subprocess.run(command, check=False, timeout=min(seconds, 1e9)).returncode  # nosec B603
    except subprocess.TimeoutExpired:
        return "stopped: the time was up"
    if code < 0:
        return f"killed by signal {-code}; out of memory, perhaps"
    return f"crashed with exit code {code}; see the log" if code else ""


def measure(
    train_two_tower_config: str,
    train_ranker_config: str,
    package_release_config: str,
    trial: str,
    epochs: str,
    workspace: str,
    features: str,
    result: str,
    scratch: str,
) -> None:
    """What the process of a trial does: fits, measures, writes the file; a SoukError is the trial's error."""
    given = json.loads(trial)
    report(f"trial {given['number']}: loading TensorFlow")
    try:
        towers = _with_settings("train_two_tower", train_two_tower_config, given["settings"])
        ranker = _with_settings("train_ranker", train_ranker_config, given["settings"])
        metrics, gains = _fit(towers, ranker, package_release_config, int(epochs), workspace, features, scratch)
    except SoukError as error:
        Trial(given["number"], given["settings"], error=str(error)).write(result)
    else:
        Trial(given["number"], given["settings"], metrics=metrics, gains=gains).write(result)


def _fit(
    towers_config: str, ranker_config: str, served: str, epochs: int, workspace: str, features: str, folder: str
) -> tuple[dict[str, float], dict[str, float]]:
    """The metrics of both models, and NDCG@10 of the slate by user that measures."""
    import pyarrow.parquet as pq

    from souk.steps.train_ranker import SLATES, train_ranker
    from souk.steps.train_two_tower import train_two_tower

    towers, ranker = f"{folder}/towers", f"{folder}/ranker"
    metrics = train_two_tower(towers_config, "trial", epochs, workspace, features, towers)
    metrics |= train_ranker(ranker_config, "trial", workspace, features, towers, ranker, served=served)
    slates = pq.read_table(f"{ranker}/{SLATES}").to_pandas().groupby("user_id")["ndcg@10"].mean()
    return metrics, {str(user): float(gain) for user, gain in slates.items()}


def _with_settings(section: str, config: str, settings: Mapping[str, Any]) -> str:
    for name, value in settings.items():
        if name.startswith(f"{section}."):
            config = with_value(config, section, name.partition(".")[2], value)
    return config


if __name__ == "__main__":
    with step_process():
        measure(*sys.argv[1:])
