"""Why a user is shown an item: what each past event and each feature adds to its score (docs/serving.md)."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from souk.cli import options
from souk.cli.plain import plain
from souk.cli.quiet import load_tensorflow, quiet_loading
from souk.workspace import Workspace

SHOWN = 12  # features in the table
SMALL = 0.0005  # a contribution that the table would show as 0
PLACES = {
    f"{name}_rank": name for name in ("co_visitation", "ease", "again", "popularity")
}  # a value and the place by it


def configure(parser: argparse.ArgumentParser) -> None:
    options.add_workspace(parser)
    parser.add_argument("--user", required=True, metavar="ID", help="the user, known or not")
    parser.add_argument("--item", default="", metavar="ID", help="the item (default: the first of the user's slate)")
    parser.add_argument("--at", type=int, metavar="MS", help="the moment, UTC epoch milliseconds (default: now)")
    for name, what in (("profile", "the user, in the place of what is stored"), ("context", "the moment")):
        parser.add_argument(
            f"--{name}",
            action="append",
            default=[],
            metavar="NAME=VALUE",
            help=f"a declared column of {what}; repeat it",
        )
    parser.add_argument("--json", action="store_true", help="the whole explanation as JSON, as :explain answers")
    parser.add_argument(
        "--release", default="", metavar="R", help="a release's name or folder, instead of the current one"
    )


def run(arguments: argparse.Namespace) -> int:
    folder = Workspace(Path(arguments.workspace)).served_folder(arguments.release)
    print(f"loading {folder.name}", file=sys.stderr, flush=True)
    load_tensorflow()
    with quiet_loading():
        from souk.serving.explain.user import explain_user

        found = explain_user(
            workspace=arguments.workspace,
            user=arguments.user,
            item=arguments.item,
            at=arguments.at if arguments.at is not None else time.time_ns() // 1_000_000,
            release=arguments.release,
            profile=arguments.profile,
            context=arguments.context,
        )
    print(json.dumps(found, ensure_ascii=False, indent=1) if arguments.json else "\n".join(_page(found)))
    return 0


def _page(found: dict[str, Any]) -> Iterator[str]:
    """The sentences, and what they come from."""
    yield from map(plain, found["sentences"])
    place = "in no slate" if found["position"] is None else f"place {found['position'] + 1}, from {found['source']}"
    score = f"score {found['score']:.4g} ({place}); {found['baseline']:.4g} if nothing were known"
    yield f"\n{plain(found['item_id'])}: {score}\n"
    if found["degraded"]:
        yield f"degraded: {', '.join(found['degraded'])}\n"
    if found["events"]:
        yield f"{'adds':>8}  past event"
    width = max((len(plain(event["item_id"])) for event in found["events"]), default=0)
    for event in reversed(found["events"]):
        when = datetime.fromtimestamp(event["timestamp"] / 1000, UTC)
        item = f"{plain(event['item_id']):<{width}}  {plain(event['title'])}".rstrip()
        yield f"{event['contribution']:+8.3f}  {when:%Y-%m-%d %H:%M}  {event['event_type']:<9} {item}"
    features = [part for part in _with_places(found["features"]) if abs(part["contribution"]) >= SMALL]
    yield f"\n{'adds':>8}  feature"
    for part in features[:SHOWN]:
        yield f"{part['contribution']:+8.3f}  {part['meaning']}: {plain(_value(part['value']))}"
    if rest := features[SHOWN:]:
        yield f"{sum(part['contribution'] for part in rest):+8.3f}  {len(rest)} others"
    share, steps = found["completeness_share"], found["steps"]
    yield f"\nall these add up to log(score / score if nothing were known), but for {share:.1%}; {steps} steps"


def _with_places(features: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """With one line for a value and the place by it, greatest first: a model sets the one against the other, so that
    the place alone of what is the most popular may be against it."""
    lines = {part["name"]: part for part in features}
    for rank, name in PLACES.items():
        if rank in lines and name in lines:
            place, part = lines.pop(rank), lines[name]
            added = part["contribution"] + place["contribution"]
            lines[name] = {**part, "value": f"{_value(part['value'])}, place {place['value']:g}", "contribution": added}
    return sorted(lines.values(), key=lambda part: -abs(part["contribution"]))


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(str(entry) for entry in value) or "none"
    return "not known" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
