"""Asks a release what was asked of another one, and tells what would be different: the shadow test before any canary
(docs/experiments.md)."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from souk import outputs
from souk.cli import options
from souk.cli.json_text import json_text
from souk.cli.quiet import one_thread, quiet_loading
from souk.errors import SoukError, shown
from souk.folders import whole_file
from souk.release.manifest import verify
from souk.workspace import Workspace

if TYPE_CHECKING:
    from souk.serving.replay import Side

REPORT = outputs.json_with("log", "records", "release", "against", "requests")
EVERY = 500  # requests between two words of progress


def configure(parser: argparse.ArgumentParser) -> None:
    options.add_workspace(parser)
    parser.add_argument(
        "--log", default="", metavar="PLACE", help="impressions: a folder, a file or a URL (default: the workspace's)"
    )
    parser.add_argument(
        "--release", required=True, metavar="R", help="what is asked: a release's name or folder, or `current`"
    )
    parser.add_argument(
        "--against", default="", metavar="R", help="another release to ask, instead of comparing with the logged slates"
    )
    parser.add_argument(
        "--requests",
        type=options.at_least_one,
        default=10_000,
        metavar="N",
        help="at most so many, evenly from the whole log (default: %(default)s)",
    )
    parser.add_argument("--output", default="", metavar="FILE", help="write the report as JSON too")
    parser.add_argument(
        "--min-overlap",
        type=options.share,
        default=0.0,
        metavar="X",
        help="end with 1 where the mean overlap of the first ten places, or as many as most requests have, is below it "
        "(default: %(default)g)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Returns 0, or 1 where the slates overlap less than was asked for."""
    if arguments.output:
        outputs.free_file(arguments.output, REPORT)
    place = Workspace(Path(arguments.workspace))
    names = [name for name in (arguments.release, arguments.against) if name]
    folders = [place.served_folder("" if name == "current" else name) for name in names]
    for folder in folders:
        verify(folder)
    one_thread()  # as a server, for the latency
    with quiet_loading():
        from souk.serving.replay import records, replay

    where = arguments.log or str(place.impressions)
    total, logged = records(where, arguments.requests)
    release, *others = [_side(place, folder) for folder in folders]
    wanted, began = min(total, arguments.requests), time.monotonic()

    def progress(done: int) -> None:
        if done % EVERY == 0:
            rate = done / (time.monotonic() - began)
            print(f"{done:,} of about {wanted:,} requests, {rate:,.0f} a second", file=sys.stderr, flush=True)

    found = replay(logged, release, others[0] if others else None, progress)
    told = {
        "log": shown(where),
        "records": total,
        "release": folders[0].name,
        "against": folders[1].name if others else "the log",
        **found,
    }
    if not found["requests"]["compared"]:
        raise SoukError(f"requests in {shown(where)} that can be asked again", _left_out(found), REMEDY)
    print(_table(told))
    if arguments.output:
        outputs.free_file(arguments.output, REPORT)
        with whole_file(Path(arguments.output)) as fresh:
            fresh.write_text(json_text(told) + "\n", encoding="utf-8")
    if not arguments.min_overlap:
        return 0
    k, value, having = judged(found)
    which = f"@{k}, which {having:,} of {found['requests']['compared']:,} requests have"
    print(f"  --min-overlap {arguments.min_overlap:g}: {value:.3f} of {which}")
    return int(value < arguments.min_overlap)


def judged(found: Mapping[str, Any]) -> tuple[int, float, int]:
    """The most places, up to ten, that more than half of the requests have, the mean overlap there of those that have
    them, and how many these are: one long slate does not speak for many short ones."""
    having = {int(k): count for k, count in found["overlap_requests"].items()}
    k = max(k for k, count in having.items() if k <= 10 and 2 * count > max(having.values()))
    return k, found["overlap"][str(k)], having[k]


REMEDY = "Records have their requests since this version of souk serve: check what it has written since."


def _side(place: Workspace, folder: Path) -> Side:
    from souk.release.bundle import Bundle
    from souk.serving.beside import here
    from souk.serving.past import Past
    from souk.serving.recommender import Recommender
    from souk.serving.replay import Side
    from souk.serving.request import RequestParser
    from souk.serving.served import open_store, with_logs

    print(f"loading {folder.name}", file=sys.stderr, flush=True)
    bundle = Bundle.load(folder)
    store, run = Past(open_store(place, bundle)), quiet_loading()(here)  # of upserted items where a tower is no graph
    loaded = Recommender.load(bundle, None, store)
    recommender = with_logs(place, bundle, loaded, lambda: time.time_ns() // 1_000_000, run=run)[0].current
    return Side(recommender, store, RequestParser.of(bundle))


def _left_out(told: Mapping[str, Any]) -> str:
    requests = told["requests"]
    refused = sum(requests["refused"].values())
    return f"{requests['without_request']:,} records without a request, {refused:,} that do not fit the release"


def _table(told: Mapping[str, Any]) -> str:
    tau, score = told["kendall_tau"], told["score"]
    lines = [
        f"{told['release']} against {told['against']}: {told['requests']['compared']:,} of {told['records']:,} records",
        f"  left out          {_left_out(told)}",
        *(f"    {count:,}: expected {why}" for why, count in told["requests"]["refused"].items()),
        f"  in the same state {told['same_features']:.1%}",
        f"  identical slates  {told['identical']:.1%}",
        "  overlap           " + "  ".join(f"@{k} {value:.3f}" for k, value in told["overlap"].items()),
    ]
    if tau["requests"]:
        lines.append(f"  Kendall's tau     {tau['mean']:.3f} ({tau['requests']:,} requests)")
    if score["items"]:
        changes = ", ".join(f"{name} {value:.4f}" for name, value in score["absolute_change"].items())
        mean = f"{score['mean_before']:.4f} {score['mean_change']:+.4f} ({score['items']:,} items)"
        lines.append(f"  score             {mean}; absolute change {changes}")
    else:
        lines.append("  no slate has an item in common with the other: is it the log of another data set?")
    for name, values in told["latency_ms"].items():
        lines.append(f"  ms, {name:<13} " + ", ".join(f"{q} {value:.1f}" for q, value in values.items()))
    for name, shares in told["degraded"].items():
        text = ", ".join(f"{reason} {share:.1%}" for reason, share in shares.items())
        lines.append(f"  degraded, {name:<8}" + (text or "none"))
    for group in told["by_logged"] if len(told["by_logged"]) > 1 else ():
        at = "  ".join(f"@{k} {value:.3f}" for k, value in group["overlap"].items())
        lines.append(f"  logged by {group['release']} {group['arm']}: {group['requests']:,} requests, overlap {at}")
    return "\n".join(lines)
