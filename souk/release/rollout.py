"""A release gets requests in a cluster: apply, wait until it answers, or go back and say why it did not."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from souk.config import OnlineStore, Rollout
from souk.errors import SoukError
from souk.progress import report
from souk.release.cluster import Cluster, Unavailable, connect
from souk.release.in_use import say_needed
from souk.release.inference_service import Traffic, inference_service, release_of, stages, traffic_of
from souk.release.manifest import verify
from souk.release.pointer import history, point, refuse, release_folder, rollback, rolled_back
from souk.release.readiness import SHOWN, event_text, is_ready, reasons, serves, source
from souk.workspace import Workspace

POLL_SECONDS = 2.0


def roll_out(
    cluster: Cluster,
    rollout: Rollout,
    release: str,
    percent: int,
    force: bool = False,
    poll_seconds: float | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> bool:
    """Gives a release its share of the requests of the InferenceService, and waits until it answers them.

    Without a release that answers there is nothing to split with: the first one gets all requests. A release that has
    all requests already keeps them, and a canary beside it ends. Where somebody else gives out the requests anew
    meanwhile, that stays.

    Args:
        cluster: the service.
        rollout: how it is deployed.
        release: the name of a release that lies in `rollout.storage`.
        percent: its share, 0 for all.
        force: take over fields that another manager owns.
        poll_seconds: time between two looks; `POLL_SECONDS` by default.
        clock: seconds, for the deadline.

    Returns:
        Whether the release has all requests now.

    Raises:
        SoukError: the API refuses; the release does not answer in `rollout.deadline_seconds`, and what was before has
            been applied again; or somebody else changed who gets how much.
    """
    live = cluster.service()
    before = traffic_of(live) if live else None
    answered = any(serves(pod) and source(pod) for pod in cluster.pods())
    plan = stages(rollout, release, percent if answered else 0, before)
    for traffic in plan:
        applied = traffic_of(cluster.apply(inference_service(rollout, traffic), force)) or traffic
        report(f"{rollout.name}: {_text(traffic)}; waiting until it answers")
        last = traffic is plan[-1]
        stuck = _wait(cluster, rollout, traffic, applied, last, poll_seconds or POLL_SECONDS, clock)
        if stuck:
            raise SoukError(
                f"InferenceService {rollout.name} in namespace {rollout.namespace} to answer from {release} within "
                f"{rollout.deadline_seconds:g} s",
                "; ".join(stuck),
                _go_back(cluster, rollout, before if before != traffic else None, applied),
            )
    report(f"{rollout.name}: {_text(plan[-1])}")
    return plan[-1].percent is None


def check_kept(rollout: Rollout, store: OnlineStore, live: dict[str, Any] | None) -> None:
    """The servers that a service keeps need a store of user states that they share.

    Args:
        rollout: how it is deployed.
        store: where the states are published.
        live: the service as it is in the cluster, if it is there.

    Raises:
        SoukError: they may be several, and the states are in sqlite.
    """
    traffic = traffic_of(live) if live else None
    fewest, most = traffic.replicas if traffic else (1, 1)
    unbounded = most is None and rollout.mode == "knative"
    rollout.check_store(store, kept=unbounded or max(fewest, most or 1) > 1)


def deploy_text(
    workspace: Workspace, rollout: Rollout, store: OnlineStore, release: str, percent: int, force: bool = False
) -> str:
    """`souk deploy`: promotes a release of the workspace, or rolls a canary of it forward or back, and says so.

    `current` moves with all requests, never with a part of them. A canary that ends without a promotion, also where
    another takes its place, counts as rolled back, as does the current release when an earlier one takes its place.
    """
    if rollout.target != "inference_service":
        raise SoukError(
            "a config whose rollout.target is inference_service",
            rollout.target,
            "Without a cluster, `souk run` deploys and `souk rollback` goes back.",
        )
    folder = release_folder(workspace, release)
    release = folder.name  # "current" is no name that a cluster finds
    verify(folder)
    say_needed(workspace, release)
    cluster = connect(rollout)
    live = cluster.service()
    check_kept(rollout, store, live)
    before = traffic_of(live) if live else None
    whole = roll_out(cluster, rollout, release, percent, force)
    if before and release_of(before.newest) != release and before.percent is not None:
        refuse(workspace, release_of(before.newest))
    if not whole:
        return f"{release}: {percent}% of requests; current stays {workspace.current_release() or 'nothing'}"
    if release in (*history(workspace), *rolled_back(workspace)):
        rollback(workspace, release)
    else:
        point(workspace, release)
    return f"{release}: all requests; it is current"


def _wait(
    cluster: Cluster,
    rollout: Rollout,
    traffic: Traffic,
    applied: Traffic,
    last: bool,
    poll_seconds: float,
    clock: Callable[[], float],
) -> list[str]:
    """Waits for `traffic`, the `last` stage or one before it; returns why it did not come, or nothing. `applied` is
    what the cluster made of it."""
    end = clock() + rollout.deadline_seconds
    found = ["no answer of the Kubernetes API"]
    while True:
        late = clock() + poll_seconds > end  # asked before the look, so that what is told is how it stands at the end
        try:
            service, pods = cluster.service() or {}, cluster.pods()
            if other := _by_somebody_else(service, applied):
                return [other]
            if is_ready(service, pods, traffic, rollout.mode, last):
                return []
            found = reasons(service, pods, traffic)
        except Unavailable as error:  # a control plane that restarts is no reason to give up
            found = [error.received]
        except SoukError as error:  # a token that expired, rights that were taken away: no use in waiting
            return [str(error)]
        if late:
            return found + _events(cluster, traffic)
        time.sleep(poll_seconds)


def _events(cluster: Cluster, traffic: Traffic) -> list[str]:
    """The last events of the service and of the release's pods."""
    try:
        pods = [pod["metadata"]["name"] for pod in cluster.pods() if source(pod) == traffic.newest]
        about = [("InferenceService", cluster.name), *(("Pod", name) for name in pods[-SHOWN:])]
        events = [
            event for kind, name in about for event in cluster.events(kind, name) if event.get("type") != "Normal"
        ]
    except SoukError as error:
        return [f"its events could not be read: {error.received}"]
    return [event_text(event) for event in events[-SHOWN:]]


def _by_somebody_else(service: dict[str, Any], applied: Traffic) -> str:
    """What another one than this rollout made of the requests; "" where they go as it applied last."""
    now = traffic_of(service)
    if now and replace(now, replicas=applied.replicas) == applied:  # who scales it takes no requests away
        return ""
    return f"somebody else changed it meanwhile: {_text(now) if now else 'it has no release any more'}"


def _go_back(cluster: Cluster, rollout: Rollout, before: Traffic | None, applied: Traffic) -> str:
    """Applies what was before, unless nothing was, or somebody else changed what this rollout applied; says so."""
    try:
        if _by_somebody_else(cluster.service() or {}, applied):  # since the last look, it may be
            return "It is left as it is now; `souk deploy --config FILE --release NAME` gives a release its share."
        if before:
            cluster.apply(inference_service(rollout, before))
            return f"Applied again: {_text(before)}."
    except SoukError as error:
        if before:
            return f"What was before could not be applied again: {error.received}"
    return "Nothing was changed back: it is the first release, or the one that was there."


def _text(traffic: Traffic) -> str:
    newest = release_of(traffic.newest)
    return f"all requests to {newest}" if traffic.percent is None else f"{traffic.percent}% of requests to {newest}"
