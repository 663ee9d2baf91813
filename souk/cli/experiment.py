"""Checks experiments, puts them into a workspace, and tells who is in which arm and what came of them
(docs/experiments.md)."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from souk.cli import options
from souk.cli.json_text import json_text
from souk.config.experiments import SPEC, Experiment, Experiments, read_experiments
from souk.errors import SoukError
from souk.experiments import assigned, held_out
from souk.folders import placed
from souk.release.manifest import verify
from souk.spec import read_spec
from souk.workspace import Workspace

SUSPICIOUS = 0.001  # a sample ratio below it
ONE_LOOK = (
    "Each interval is for one look, at an end that was fixed before the start: who looks each day and stops when one\n"
    "  leaves out 0 finds a difference between equal arms far more often than one time in twenty (docs/experiments.md)"
)


def configure(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    check = actions.add_parser(
        "check",
        help="say what a file of experiments holds, or what is wrong with it",
        description="Says what a file of experiments holds, or what is wrong with it. Needs no workspace and changes "
        "nothing.",
    )
    apply = actions.add_parser(
        "apply",
        help="put a file into the workspace: its servers take it within seconds",
        description="Checks a file of experiments against the releases of the workspace, and puts it there in the "
        "place of the one before. Servers take it within seconds; a user's arm follows from the id alone.",
    )
    stop = actions.add_parser(
        "stop",
        help="end all experiments of the workspace",
        description="Takes the workspace's file of experiments away: within seconds every user gets the current "
        "release as it is. What was logged stays, and `results --file` reads it.",
    )
    assign = actions.add_parser(
        "assign",
        help="which arms a user is in",
        description="Tells which arm of each experiment a user is in, by the same hash as the servers.",
    )
    show = actions.add_parser(
        "results",
        help="units and events by arm, and whether the arms came out as planned",
        description="Joins the impressions with the events that followed: units and events by arm, their differences "
        "with intervals, and whether the arms have the sizes that were planned (sample ratio). Exit code 1 where one "
        "has not.",
    )
    for action in (check, apply):
        action.add_argument("file", metavar="FILE", help="YAML (docs/experiments.md)")
    for action in (apply, stop, assign, show):
        options.add_workspace(action)
    for action in (assign, show):
        action.add_argument("--file", metavar="FILE", help="experiments, instead of the workspace's")
        action.add_argument("--json", action="store_true", help="print JSON")
    assign.add_argument("--user", required=True, metavar="ID", help="the user")
    assign.add_argument("--request", default="", metavar="ID", help="the request, for experiments by request")
    show.add_argument("--log", metavar="DIR", help="folder or URL of the impressions, instead of the workspace's")
    show.add_argument(
        "--events", metavar="PATH", help="events with request_id: a file, or a folder, instead of the workspace's"
    )


def run(arguments: argparse.Namespace) -> int:
    """Returns 0, or 1 where a sample ratio is off."""
    if arguments.action == "check":
        print(_described(read_experiments(Path(arguments.file))))
        return 0
    place = Workspace(Path(arguments.workspace))
    if arguments.action == "stop":
        there = place.experiments.exists()
        place.experiments.unlink(missing_ok=True)
        print(f"{'stopped all' if there else 'there were no'} experiments of {place.root}")
        return 0
    if arguments.action == "apply":
        return _apply(place, Path(arguments.file))
    plan = read_experiments(Path(arguments.file) if arguments.file else place.experiments)
    return _assign(plan, arguments) if arguments.action == "assign" else _results(plan, place, arguments)


def _apply(place: Workspace, file: Path) -> int:
    plan = read_experiments(file)
    folders = {name: place.release_folder(name) for name in plan.releases}
    current = place.current_release()
    if current:
        _check(plan, file, current, place.current, folders)
    with placed(place.experiments) as fresh:
        fresh.write_bytes(file.read_bytes())
    print(_described(plan))
    for where, heads in _idle(plan, place.current).items():
        print(f"Note: {where} may change no order: the twin that {current} was judged by did not learn {heads}.")
    return 0


def _idle(plan: Experiments, folder: Path) -> dict[str, str]:
    """The arms that differ by weights alone, of heads that the release's twin has the same for every item."""
    try:
        text = (folder / "evaluation" / "metrics.json").read_text(encoding="utf-8")
    except OSError:  # of a release without an evaluation nobody knows
        return {}
    unlearned = json.loads(text).get("not_learned", {})
    return {
        f"{name}.{arm}": " and ".join(sorted(each.weights))
        for name, experiment in plan.experiments.items()
        for arm, each in experiment.arms.items()
        if each.changes == {"weights"} and each.weights.keys() <= unlearned.keys()
    }


def _check(plan: Experiments, file: Path, current: str, folder: Path, folders: Mapping[str, Path]) -> None:
    """What a server would refuse of a file, which binds the arms to the current release and to those in `folders`."""
    for release in (folder, *folders.values()):
        verify(release, only=("bundle.json", "spec.json"))
    settings, spec = _settings(folder), read_spec(folder / "spec.json")
    plan.check_weights(settings["objectives"], current, str(file))
    plan.check_caps(spec.columns.cappable, current, str(file))
    for name, other in folders.items():
        if (found := read_spec(other / "spec.json").of_states.hash) != (own := spec.of_states.hash):
            raise SoukError(f"specification {own}, that of {current}", f"{found} in {name}", SPEC)


def _settings(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "bundle.json").read_text(encoding="utf-8")))


def _assign(plan: Experiments, arguments: argparse.Namespace) -> int:
    arms = assigned(plan, arguments.user, arguments.request)
    held = held_out(plan, arguments.user)
    if arguments.json:
        print(json.dumps({"user_id": arguments.user, "held_out": held, "arms": arms}))
        return 0
    if held:
        print(f"{arguments.user} is held out of all experiments")
    for name, experiment in {} if held else plan.experiments.items():
        if experiment.unit == "request" and not arguments.request:
            print(f"{name}: by request")
        else:
            print(f"{name}: {arms.get(name, 'not in it')}")
    return 0


def _results(plan: Experiments, place: Workspace, arguments: argparse.Namespace) -> int:
    from souk.serving.events.log import every_file
    from souk.serving.experiments.results import event_rows, results

    log = arguments.log or str(place.impressions)
    told: dict[str, Any] = {}
    damaged: dict[Path, int] = {}
    for name, experiment in plan.experiments.items():
        path = arguments.events or (str(place.events) if every_file(place.events) else "")
        told[name] = results(name, experiment, log, event_rows(path, damaged) if path else ()).to_json()
    if damaged:
        lines, files = sum(damaged.values()), ", ".join(map(str, damaged))
        print(f"{lines:,} damaged lines of the event log are passed over: {files}", file=sys.stderr)
    if arguments.json:
        print(json_text(told))
    else:
        print("\n\n".join(_table(name, plan.experiments[name], each) for name, each in told.items()))
    return int(any(each["sample_ratio_p"] < SUSPICIOUS for each in told.values()))


def _described(plan: Experiments) -> str:
    lines = [f"held out: {plan.holdout:.2%} of users"] if plan.holdout else []
    if plan.exploration.slots:
        lines.append(f"explored: the last {plan.exploration.slots} places, {plan.exploration.method}")
    for name, experiment in plan.experiments.items():
        lines.append(f"{name}: {experiment.traffic:.2%} of {experiment.unit}s")
        for arm_name, arm in sorted(experiment.arms.items()):
            lines.append(f"  {arm_name:<16} {arm.share:>7.2%}  {', '.join(sorted(arm.changes)) or 'as released'}")
    return "\n".join(lines or ["no experiments"])


def _table(name: str, experiment: Experiment, told: Mapping[str, Any]) -> str:
    p, total = told["sample_ratio_p"], sum(arm["units"] for arm in told["arms"].values())
    lines = [f"{name}: {total:,} {experiment.unit}s; sample ratio p = {p:.4g}"]
    if p < SUSPICIOUS:
        lines[0] += ": the arms are not as large as planned. Find out why before you believe a difference"
    if told["mixed"]:
        lines.append(f"  {told['mixed']:,} were seen in two arms and count in none")
    for arm, each in told["arms"].items():
        share = each["units"] / total if total else 0.0
        lines.append(f"  {arm:<16} {each['units']:>9,} units {share:>7.2%}  {each['slates']:>9,} slates")
        for kind, values in each["events"].items():
            text = f"    {kind:<14} {values['mean']:>9.4f} a unit"
            if "difference" in values:
                text += f"  {values['difference']:+.4f} to {told['control']} ({_bounds(values['low'], values['high'])})"
            lines.append(text)
    if any("difference" in values for each in told["arms"].values() for values in each["events"].values()):
        lines.append(f"  {ONE_LOOK}")
    return "\n".join(lines)


def _bounds(low: float, high: float) -> str:
    """In words; whether there is anything to tell, `to_json` of the results knows."""
    return "95%: too little to tell" if math.isnan(low) else f"95%: {low:+.4f} to {high:+.4f}"
