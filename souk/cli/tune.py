"""Searches better settings of towers and ranker on the validation window, within a bound, and writes them as a config.

The first of the trials is the config as it is; the test window is not read. Trials that were finished before are
reused. As in `souk run`, the user states of the data are published to the workspace. Slates of Souk's own models are
judged, as they would be served: under the objectives' weights of the config where it says some, and re-ranked as its
section `rerank` asks.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from souk import outputs
from souk.cli import options
from souk.cli.refusals import check_beam_runner, check_workspace
from souk.cli.run import tell_swept
from souk.cli.view import WIDTH, RunView
from souk.config import DatasetConfig, load_config, parse_config
from souk.errors import SoukError
from souk.folders import whole_file
from souk.workspace import Workspace

AT_ONCE = (1, 2)
UNTIL = "SOUK_TUNE_UNTIL"  # that of souk.steps.tune_trial


def configure(parser: argparse.ArgumentParser) -> None:
    options.add_data(parser)
    parser.add_argument(
        "--trials", type=options.trials, default=12, metavar="N", help="settings to try (default: %(default)s)"
    )
    parser.add_argument(
        "--parallel", type=int, choices=AT_ONCE, default=2, help="trials at once (default: %(default)s)"
    )
    parser.add_argument(
        "--minutes", type=options.positive, metavar="M", help="no trial but the first goes on after so long"
    )
    parser.add_argument("--seed", type=options.seed, default=17, help="of the draws (default: %(default)s)")
    parser.add_argument(
        "--output", default="", metavar="FILE", help="the config to write (default: NAME.tuned.yaml beside the config)"
    )
    parser.add_argument("--force", action="store_true", help="replace the file to write if it exists")
    options.add_keep_runs(parser)
    options.add_workspace(parser)


def run(arguments: argparse.Namespace) -> int:
    """Returns 0 where a trial was chosen, 1 where a step failed."""
    config = of_souk(load_config(arguments.config, arguments.data))
    text = Path(arguments.config).read_text(encoding="utf-8-sig")  # who edits it during the search changes nothing
    target = _target(arguments, config.name)
    workspace = Workspace(Path(arguments.workspace).resolve())
    check_workspace(workspace, config.name)
    check_beam_runner(arguments.beam_runner)
    began, started = time.monotonic(), datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")[:-3]
    print(f"{config.name}: {arguments.config}, {arguments.trials} trials", flush=True)
    with workspace.locked() as lock:
        log = workspace.runs / f"{started}.log"
        with log.open("w", encoding="utf-8") as file:
            view = RunView(sys.stdout, file)
            _search(arguments, config, workspace, lock, view)
        print(f"  {'total':<{WIDTH}}{time.monotonic() - began:7.1f} s", flush=True)
        tell_swept(workspace, arguments.keep_runs, view)
    chosen = view.path("tune_choose", "chosen")
    if view.failed or chosen is None:
        print("\n".join(f"  {line}" for line in view.errors), file=sys.stderr)
        print(
            f"souk tune: step {', '.join(view.failed) or 'none'} failed. Everything it printed: {log}", file=sys.stderr
        )
        return 1
    _tell(view, workspace, started)
    values = json.loads(chosen.read_text(encoding="utf-8"))
    print(f"config    {write_config(text, Path(arguments.config), target, values, arguments.epochs)}")
    return 0


def of_souk(config: DatasetConfig) -> DatasetConfig:
    """The config as the trials look at it: without classes of one's own, which the search is not of.

    Raises:
        SoukError: one ranks in the place of the model, whose settings would change nothing that is served.
    """
    if config.ranker:
        remedy = "The search fits and measures Souk's own: take `ranker` out of the config to search."
        raise SoukError("a config whose slates Souk's ranker ranks", f"ranker: {config.ranker.use}", remedy)
    if config.retrievers:
        names = ", ".join(config.retrievers)
        print(f"The search is of Souk's own models: the retrievers {names} bring nothing to its trials.", flush=True)
    return config.model_copy(update={"retrievers": {}})


def _target(arguments: argparse.Namespace, name: str) -> Path:
    """The file to write, which is known to take it before the search begins."""
    target = Path(arguments.output) if arguments.output else Path(arguments.config).with_name(f"{name}.tuned.yaml")
    if target.exists() and not target.is_dir() and not arguments.force:
        remedy = "Name another with --output, or add --force to replace it."
        raise SoukError("a new file to write", f"{target} exists", remedy)
    outputs.free_file(target, outputs.CONFIG)
    from souk.cli.training import committed_schemas  # kfp takes a second to import

    given = committed_schemas(Path(arguments.config), name)
    if given and committed_schemas(target, name) != given:
        remedy = "Copy the folder there, so that the data are read as in the search, or write beside the config."
        raise SoukError(f"{name}.schema/ of the config beside {target}, too", "none, or another", remedy)
    return target


def _search(
    arguments: argparse.Namespace, config: DatasetConfig, workspace: Workspace, lock: Path, view: RunView
) -> None:
    from souk.cli import training  # kfp takes a second to import
    from souk.cli.local import run_pipeline

    schema = training.schema_parameter(Path(arguments.config), config.name, workspace)
    values = training.data_parameters(arguments, config, str(workspace.root), schema)
    spec = at_once(training.with_code_digests(training.load_pipeline("tuning")), arguments.parallel)
    wanted = spec["root"]["inputDefinitions"]["parameters"]
    values = {name: value for name, value in values.items() if name in wanted}
    values |= {"trials": arguments.trials, "seed": arguments.seed}
    if arguments.minutes:
        os.environ[UNTIL] = str(time.time() + 60 * arguments.minutes)
    try:
        run_pipeline(spec, values, workspace.runs, lock, view)
    finally:
        os.environ.pop(UNTIL, None)


def at_once(spec: dict[str, Any], count: int) -> dict[str, Any]:
    """The pipeline with `count` trials of a round at once."""
    for task in spec["root"]["dag"]["tasks"].values():
        if "iteratorPolicy" in task:
            task["iteratorPolicy"]["parallelismLimit"] = count
    return spec


def _tell(view: RunView, workspace: Workspace, started: str) -> None:
    summary, page = view.path("tune_choose", "summary"), view.path("tune_choose", "report")
    if summary and page:
        print(f"\n{summary.read_text(encoding='utf-8').strip()}\n")
        workspace.reports.mkdir(parents=True, exist_ok=True)
        print(f"report    {shutil.copyfile(page, workspace.reports / f'tune-{started}.html')}")


def write_config(text: str, config: Path, target: Path, chosen: Mapping[str, Any], epochs: int = 0) -> Path:
    """Writes the config with the chosen settings to `target`; relative paths of the data stay where they lead.

    Args:
        text: the config as it was searched.
        config: its file.
        target: the file to write.
        chosen: of `souk.steps.tune_choose`.
        epochs: those that the trials had in place of the config's; 0 where they had these.
    """
    from souk.tuning.rewrite import with_settings

    settings = dict(chosen["settings"]) | ({"train_two_tower.epochs": epochs} if epochs else {})
    folder = parse_config(text).data.folder
    if target.resolve().parent != config.resolve().parent and "://" not in folder:
        settings["data.folder"] = str((config.resolve().parent / folder).resolve())
    head = f"# `souk tune`, trial {chosen['number']}: {chosen['verdict']}\n"
    outputs.free_file(target, outputs.CONFIG)
    with whole_file(target) as fresh:
        fresh.write_text(head + with_settings(text, settings), encoding="utf-8")
    return target
