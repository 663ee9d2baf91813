"""Runs the whole training pipeline on this machine: ingest, features, towers, index, ranker, evaluation and, if the
gate lets it through, refit, release and deployment. Steps whose code, config and data did not change are reused."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import shutil
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from souk.cli import options
from souk.cli.refusals import check_beam_runner, check_workspace
from souk.cli.view import HIDDEN, WIDTH, RunView
from souk.config import DatasetConfig, load_config
from souk.errors import SoukError, of_disk, shown
from souk.evaluation.verdict import CHAMPION, better_but, fallen_short
from souk.folders import whole_file
from souk.metrics import LEAST_USERS
from souk.release.condition import condition, without_states
from souk.release.pointer import history, rolled_back
from souk.workspace import Workspace

ERROR_LINES = 40
MEANING = {
    "promote": "passed the gate, and deployed",
    "unchanged": "the same model, data and settings as those of the served release; nothing to deploy",
    "not_comparable": "no common window to compare on with the one that is served; nothing was deployed",
}
ALLOWED = " (what is allowed: section evaluate of the config, docs/evaluation.md); nothing was deployed"
BEFORE = " (the one from before this run; it has the items of then: souk items upsert brings newer ones{})"
USERS = (
    ". Where its features are those of this run, it has the users of this run's data: build_features published them, "
    "or souk users publish does"
)
NO_USERS = "WARNING: {}: who is not in them is an unknown user. souk users publish writes the states of the newest run"
CLUSTER = "where the section rollout changed, `souk deploy --config FILE --release {}` brings that to the cluster"
EQUAL = "an equal model is not promoted: who trains anew each week, and wants it, sets evaluate.margin below 0"
FINEST = 0.0001  # the least that is told of such a margin


def configure(parser: argparse.ArgumentParser) -> None:
    options.add_pipeline(parser)
    options.add_keep_runs(parser)
    options.add_workspace(parser)


def run(arguments: argparse.Namespace) -> int:
    """Returns 0 where every step went well, 1 where one failed."""
    config = load_config(arguments.config, arguments.data)
    workspace = Workspace(Path(arguments.workspace).resolve())
    began, started = time.monotonic(), datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")[:-3]
    check_workspace(workspace, config.name)
    check_beam_runner(arguments.beam_runner)
    print(f"{config.name}: {arguments.config}, workspace {arguments.workspace}", flush=True)
    with workspace.locked() as lock:
        if config.online_store.uri:
            from souk.store.publish import try_redis  # Feast takes seconds to import

            try_redis(workspace.feast, config.online_store.uri)  # which the last step needs, whatever is cached
        _tell_other_data(workspace, config)
        log = workspace.runs / f"{started}.log"
        with log.open("w", encoding="utf-8") as file:
            view = RunView(sys.stdout, file)
            _train(arguments, config, workspace, lock, view)
        print(f"  {'total':<{WIDTH}}{time.monotonic() - began:7.1f} s", flush=True)
        tell_swept(workspace, arguments.keep_runs, view)  # first: it makes room
        report = None
        try:
            report = _keep_report(view, workspace, started)
            _write_record(view, workspace.runs / f"{started}.steps.json", config, time.monotonic() - began)
        except OSError as error:  # what became of the run is told all the same
            print(f"  what is kept of this run lacks its report or record: {of_disk(error)}", file=sys.stderr)
    if view.outputs and not {*view.failed} - {HIDDEN}:  # how a run ended is a record of what is done already
        _tell_success(view, workspace, report, log, _share(config), config.rollout.target == "inference_service")
    return _tell_failure(view, log) if view.failed or not view.outputs else 0


def _paths(config: DatasetConfig) -> dict[str, str]:
    sources = {"events": config.data.events, "items": config.data.items, "users": config.data.users}
    return {table: shown(source.path) for table, source in sources.items() if source}


def _tell_other_data(workspace: Workspace, config: DatasetConfig) -> None:
    """Says that the last run of this name read other files: of another data set, it would go on from that one's
    release, states and schemas. It may as well be a new export of the same, which is no error."""
    for record in sorted(workspace.runs.glob("*.steps.json"), reverse=True):
        with contextlib.suppress(OSError, ValueError):  # of a run that was killed as it wrote
            before = json.loads(record.read_text(encoding="utf-8"))
            if before.get("config") == config.name and "data" in before:
                break
    else:
        return
    known = before["data"]
    others = [
        f"{t} from {path}, not {shown(known[t])}"
        for t, path in _paths(config).items()
        if shown(known.get(t, path)) != path  # runs of earlier versions kept whole addresses
    ]
    if others:
        remedy = (
            f"If this is another data set, stop: it needs a name and a --workspace ({workspace.root}-2) of its own."
        )
        print(
            f"  Other data than in the last run of {config.name} here: {', '.join(others)}. {remedy}", file=sys.stderr
        )


def _train(
    arguments: argparse.Namespace, config: DatasetConfig, workspace: Workspace, lock: Path, view: RunView
) -> None:
    from souk.cli import training  # kfp takes a second to import
    from souk.cli.local import run_pipeline

    schema = training.schema_parameter(Path(arguments.config), config.name, workspace)
    served = workspace.current_release()
    found = condition(workspace, served)
    values = training.parameters(arguments, config, str(workspace.root), served, schema, found)
    pipeline = training.with_verdicts_cached(training.with_code_digests(training.load_pipeline(), config))
    view.planned = len(pipeline["deploymentSpec"]["executors"]) - 1  # but for the exit task, HIDDEN
    run_pipeline(pipeline, values, workspace.runs, lock, view)


def _keep_report(view: RunView, workspace: Workspace, started: str) -> Path | None:
    """Copies the HTML reports to `reports/`, named by the release, or by the run where there is none."""
    name = view.outputs.get("package_release", {}).get("Output") or f"run-{started}"
    kept = None
    for task, suffix in (("ingest", "-data"), ("evaluate", "")):
        source = view.path(task, "report")
        if source and source.is_file():
            workspace.reports.mkdir(parents=True, exist_ok=True)
            kept = workspace.reports / f"{name}{suffix}.html"
            with whole_file(kept) as fresh:
                shutil.copyfile(source, fresh)
    return kept


def _write_record(view: RunView, path: Path, config: DatasetConfig, seconds: float) -> None:
    """What ran, how long and with how much memory; read by benchmarks."""
    values = {
        "config": config.name,
        "data": _paths(config),
        "seconds": round(seconds, 3),
        "steps": [asdict(step) for step in view.steps],
        "verdict": view.outputs.get("evaluate", {}).get("Output", ""),
        "release": view.outputs.get("package_release", {}).get("Output", ""),
    }
    with whole_file(path) as fresh:
        fresh.write_text(json.dumps(values, indent=1), encoding="utf-8")


def tell_swept(workspace: Workspace, keep: int, view: RunView) -> None:
    """Deletes the runs that are not kept, and says so."""
    from souk.release.runs import sweep

    try:
        swept = sweep(workspace, keep, view.used)
    except SoukError as error:  # of a damaged release: what it came of is not known
        print(f"  nothing is deleted from runs/: {error}", flush=True)
    else:
        print(f"  deleted from runs/ (--keep-runs {keep}): {', '.join(swept)}\n" if swept else "", end="", flush=True)


def _tell_failure(view: RunView, log: Path) -> int:
    for line in view.errors[:ERROR_LINES]:
        print(f"  {line}", file=sys.stderr)
    what = f"step {view.failed[0]} failed" if view.failed else "no step ran"
    print(f"souk run: {what}. Everything it printed: {_short(log)}", file=sys.stderr)
    return 1


def _share(config: DatasetConfig) -> int:
    """The percentage of the requests that a new release gets; 100 where it is no canary."""
    return (config.rollout.canary_percent if config.rollout.target == "inference_service" else 0) or 100


def _tell_success(
    view: RunView, workspace: Workspace, report: Path | None, log: Path, share: int = 100, cluster: bool = False
) -> None:
    summary = view.path("evaluate", "summary")
    if summary and summary.is_file():
        print(f"\n{summary.read_text(encoding='utf-8').strip()}\n")
    verdict = view.outputs["evaluate"]["Output"]
    packaged = view.outputs.get("package_release", {}).get("Output", "")
    kept_back = _kept_back(packaged, workspace, share, _verdict(view), cluster) if packaged else ""
    print(f"verdict   {verdict}: {kept_back or _meaning(view)}")
    if margin := _margin_for_equals(view):
        print(f"          {EQUAL} ({margin}; docs/evaluation.md)")
    for rule in _verdict(view).get("rules", ()):
        if rule.get("warning"):  # a step of before knew none
            print(f"          WARNING: the slate is {rule['detail']} (docs/evaluation.md)")
    served = workspace.current_release()
    if verdict == "unchanged" and cluster:
        print(f"          {CLUSTER.format(served)}")
    gone = without_states(workspace) if served else ""
    before = BEFORE.format("" if gone else USERS) if served not in ("", packaged) else ""
    print(f"release   {served or 'none yet'}{before}")
    if gone:
        print(f"          {NO_USERS.format(gone)}")
    for head, why in _not_learned(view).items():
        print(f"          {head} is not learned in {packaged}: {why}")
    if report:
        print(f"report    {_short(report)}")
    print(f"log       {_short(log)}")


def _kept_back(packaged: str, workspace: Workspace, share: int, verdict: dict[str, Any], cluster: bool) -> str:
    """Why the release of this run is not current; "" where it is."""
    current = workspace.current_release()
    if packaged == current:
        return ""
    every = f"souk deploy --config FILE --release {packaged}"
    if packaged in rolled_back(workspace):
        again = every if cluster else f"souk rollback {packaged}"
        return f"{packaged} was rolled back before, and is not made current again; `{again}` does it all the same"
    judged = (verdict.get("replaces"), verdict.get("champion"))
    if None not in judged and current not in judged and packaged not in history(workspace):
        since = f"not compared with {current}, which has become current since the run began"
        return f"passed the gate, but {packaged} was {since}: the next run does that"
    if share < 100:
        return f"passed the gate, and {packaged} has {share}% of the requests; `{every}` gives it all of them"
    return "passed the gate, and deployed, but somebody made another release current"


def _not_learned(view: RunView) -> dict[str, str]:
    """Why heads of the new release serve the same for everything; the summary is of its twin, with another window."""
    ranker = view.path("train_ranker (release)", "ranker")
    record = ranker / "training.json" if ranker else None
    trained = json.loads(record.read_text(encoding="utf-8")) if record and record.is_file() else {}
    return dict(trained.get("not_learned", {}))


def _verdict(view: RunView) -> dict[str, Any]:
    """What `verdict.json` has; nothing where there is none."""
    told = view.path("evaluate", "evaluation")
    found = told / "verdict.json" if told else None
    return json.loads(found.read_text(encoding="utf-8")) if found and found.is_file() else {}


def _margin_for_equals(view: RunView) -> str:
    """The margin that would have promoted a challenger that may be as good as the champion, and what it means; "" where
    the challenger is surely worse or better, a margin below 0 was asked for already, or no margin would have."""
    first, *others = _verdict(view).get("rules") or [{}]
    numbers = first.get("numbers", {})
    low, margin, high = (numbers.get(name, math.nan) for name in ("low", "margin", "high"))
    if first.get("name") != f"beats_{CHAMPION}" or not low <= 0.0 <= margin < high:
        return ""
    if numbers.get("users", LEAST_USERS) < LEAST_USERS or not all(rule["passed"] for rule in others):
        return ""
    least = _just_below(low)
    share = f", {-least / numbers[CHAMPION]:.0%} of the champion's" if numbers.get(CHAMPION) else ""
    return (
        f"{least:g} would have promoted this one: surely not worse by more than {-least:g} of {numbers['metric']}"
        f"{share}, which each such promotion may lose"
    )


def _just_below(low: float) -> float:
    """The greatest number of two digits below `low`, which is at most 0."""
    if low > -FINEST:
        return -FINEST
    digits = 1 - math.floor(math.log10(-low))
    least = round(math.floor(low * 10**digits) / 10**digits, digits)
    return least if least < low else round(least - 10**-digits, digits)


def _meaning(view: RunView) -> str:
    """Of the verdict; a rejection says whether the challenger was no better, or what stopped a better one."""
    verdict, outcome = _verdict(view), view.outputs["evaluate"]["Output"]
    if outcome != "reject":
        return MEANING[outcome]
    broken = verdict.get("broken", ())  # a step of before knew none
    first, *_ = verdict.get("rules") or [{}]
    return f"{better_but(broken)}{ALLOWED}" if broken else f"{fallen_short(first)}; nothing was deployed"


def _short(path: Path) -> str:
    """Relative to where the reader stands, if the path lies below."""
    try:
        return str(path.relative_to(os.getcwd()))
    except ValueError:
        return str(path)
