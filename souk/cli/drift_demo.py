"""Shows drift detection on the current release: quiet on requests like those it was made for, an alarm on the same
requests with a planted shift. Needs the drift detector's environment (make drift-demo)."""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from souk import outputs
from souk.cli import options
from souk.cli.quiet import load_tensorflow, quiet_loading
from souk.errors import SoukError
from souk.spec import Entity, Feature, FeatureSpec, Role
from souk.workspace import Workspace

if TYPE_CHECKING:
    from souk.release.bundle import Bundle
    from souk.release.golden import GoldenRequest

SHIFTED_SHARE = 0.2
QUIET, ALARM = 0, 3
PARTS = {"real", "shifted", "state-real", "state-shifted"}  # of what a demo leaves
BLOCK = 100
FEWEST = 800  # requests for two windows and their tests


def configure(parser: argparse.ArgumentParser) -> None:
    options.add_workspace(parser)
    parser.add_argument("--souk-drift", default="souk-drift", metavar="FILE", help="the detector's command")
    parser.add_argument(
        "--requests", type=options.at_least_one, default=3000, metavar="N", help="in each stream (3000)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the draw of requests (%(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Returns 0 when the detector was quiet, then alarmed, and named the planted shift first."""
    detector = shutil.which(arguments.souk_drift)
    if detector is None:
        raise SoukError("the drift detector's command", f"no {arguments.souk_drift}", "Start it with make drift-demo.")
    workspace = Workspace(Path(arguments.workspace).resolve())
    folder = workspace.served_folder()
    _try(detector, folder)
    load_tensorflow()
    with quiet_loading():
        from souk.release.bundle import Bundle
    bundle = Bundle.load(folder)
    requests = _requests(workspace, folder, bundle, arguments.requests, random.Random(arguments.seed))
    feature, category = to_shift(bundle.spec, requests)
    planted = shifted(requests, feature, category)
    place = workspace.root / "drift-demo"
    outputs.free_artifact(place, lambda at: {path.name for path in at.iterdir()} <= PARTS, "the streams of a demo")
    shutil.rmtree(place, ignore_errors=True)
    print(f"{bundle.name}: {len(requests)} requests of the last weeks that it learned from, in random order")
    _answer(bundle, {place / "real": requests, place / "shifted": planted})
    window = min(1000, len(requests) // 2)
    report = workspace.reports / f"{bundle.name}-drift.html"
    print("\nthe real stream")
    quiet = _check(detector, folder, place / "real", place / "state-real", window)
    print(f"\nthe same, with {feature.source} = {category!r} in {SHIFTED_SHARE:.0%} of the requests")
    alarm = _check(detector, folder, place / "shifted", place / "state-shifted", window, "--report", str(report))
    first = _first_named(place / "state-shifted")
    right = (quiet, alarm, first) == (QUIET, ALARM, feature.name)
    print(f"\nquiet on the real stream: {'yes' if quiet == QUIET else 'no'}")
    print(f"alarm on the planted shift: {'yes' if alarm == ALARM else 'no'}, first named: {first or 'nothing'}")
    return 0 if right else 1


def _requests(
    workspace: Workspace, folder: Path, bundle: Bundle, count: int, draw: random.Random
) -> list[GoldenRequest]:
    """Moments of the test window that the reference does not hold, or all of them where the window is small."""
    from souk.release.moments import asked_moments
    from souk.release.reference import REQUESTS, reference_requests

    tables, features = _artifacts(workspace, folder)
    size = bundle.settings.slate_size
    moments = asked_moments(tables, features, bundle.spec)
    found = reference_requests(moments, tables, bundle.spec, size, 2 * count, skip=REQUESTS)
    if len(found) < FEWEST:
        found = reference_requests(moments, tables, bundle.spec, size, 2 * count)
    if len(found) < FEWEST:
        raise SoukError(f"at least {FEWEST} engagements in the test window", f"{len(found)}", "Train on more data.")
    return draw.sample(found, min(count, len(found)))


def _artifacts(workspace: Workspace, release: Path) -> tuple[Path, Path]:
    """The tables and features that the release was made from: of one run, or of two where a later one took the tables
    from the cache."""
    from souk.release.runs import artifacts_of

    tables, features = artifacts_of(workspace, release)
    if tables is None or features is None:
        what = f"the {'tables' if tables is None else 'features'} that {release.name} was made from"
        raise SoukError(f"{what} in {workspace.runs}", "none", "Make a release in this workspace: make run.")
    return tables, features


def to_shift(spec: FeatureSpec, requests: Sequence[GoldenRequest]) -> tuple[Feature, str]:
    """A categorical feature of the request or else of the user, and its second most frequent value."""
    for feature in (*spec.context, *spec.of(Entity.USER)):
        if feature.role is Role.CATEGORY:
            values = Counter(str(_given(feature, request).get(feature.source) or "") for request in requests)
            common = [value for value, _ in values.most_common() if value]
            if len(common) > 1:
                return feature, common[1]
    raise SoukError("a categorical column of users or events, to shift", "none", "Declare one in the dataset config.")


def _given(feature: Feature, request: GoldenRequest) -> Any:
    return request.context if feature.entity is Entity.QUERY else request.state.profile


def shifted(requests: Sequence[GoldenRequest], feature: Feature, category: str) -> list[GoldenRequest]:
    """The same requests, every fifth with `category`."""
    every = round(1 / SHIFTED_SHARE)
    return [_with(r, feature, category) if number % every == 0 else r for number, r in enumerate(requests)]


def _with(request: GoldenRequest, feature: Feature, category: str) -> GoldenRequest:
    values = {**_given(feature, request), feature.source: category}
    if feature.entity is Entity.QUERY:
        return replace(request, context=values)
    return replace(request, state=replace(request.state, profile=values))


def _answer(bundle: Bundle, streams: dict[Path, list[GoldenRequest]]) -> None:
    """Answers each stream with the release's own models, into an impression log of its own."""
    with quiet_loading():
        from souk.serving.impressions.log import ImpressionLog
        from souk.serving.impressions.sinks import PartFiles
        from souk.serving.recommender import Recommender
        from souk.serving.request import Request
        from souk.serving.server import now
    recommender = Recommender.load(bundle, None, None)
    for folder, requests in streams.items():
        log = ImpressionLog(PartFiles(folder, "demo"), now, capacity=len(requests))
        for start in range(0, len(requests), BLOCK):
            block = enumerate(requests[start : start + BLOCK], start)
            asked = [Request(r.user_id, r.k, r.timestamp, str(n), context=r.context, state=r.state) for n, r in block]
            log.record(recommender.recommend(asked))
            log.flush()


def _try(detector: str, release: Path) -> None:
    """Has the detector look at no requests: what it lacks is told before any are answered.

    Raises:
        SoukError: it does not run.
    """
    with tempfile.TemporaryDirectory() as empty:
        words = [detector, "check", "--release", str(release), "--impressions", empty]
        done = subprocess.run(words, check=False, capture_output=True, text=True)
    if done.returncode != QUIET:
        said = done.stderr.strip().splitlines()[-1:] or [f"it ended with {done.returncode}"]
        raise SoukError(f"{detector} to run", said[0], "Start it with make drift-demo, which makes its environment.")


def _check(detector: str, release: Path, impressions: Path, state: Path, rows: int, *more: str) -> int:
    words = [detector, "check", "--release", str(release), "--impressions", str(impressions), "--state", str(state)]
    words += ["--rows", str(rows), "--min-rows", str(min(200, rows)), *more]
    return subprocess.run(words, check=False).returncode


def _first_named(state: Path) -> str:
    """The feature that `alarm.json` names first."""
    path = state / "alarm.json"
    return str(json.loads(path.read_text("utf-8"))["features"][0]["feature"]) if path.exists() else ""
