"""Whether a release answers, and why not: read from an InferenceService and its pods.

KServe's condition Ready stays True while a Deployment rolls, and its `observedGeneration` counts the generations of
another object (kserve/kserve issues 4626 and 6081). So what counts is the pods, which carry their storage URI.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from souk.release.inference_service import Traffic

SOURCE = "internal.serving.kserve.io/storage-initializer-sourceuri"
SHOWN = 3  # pods and events that a reason names


def is_ready(
    service: dict[str, Any], pods: list[dict[str, Any]], traffic: Traffic, mode: str, last: bool = True
) -> bool:
    """Whether the cluster does what `traffic` says.

    The condition Ready is of the stable predictor too, and without it KServe leaves a split as it was. A promotion
    first waits for the canary in the split that there is, and does so without: the stable release may be what is down.

    Args:
        service: the InferenceService.
        pods: all of it.
        traffic: what was applied.
        mode: "standard" or "knative".
        last: whether nothing is applied after it.
    """
    status = service.get("status", {})
    alive = [pod for pod in pods if source(pod) and not _is_over(pod)]
    if (last or mode == "knative") and not is_true(status, "Ready"):
        return False
    if not any(serves(pod) and source(pod) == traffic.newest for pod in alive):
        return False
    if mode == "knative":
        return _revision_has(status.get("components", {}).get("predictor", {}), traffic.percent)
    if traffic.percent is None:
        return {source(pod) for pod in alive} == {traffic.uri}
    canaries = {canary.get("name"): canary for canary in status.get("canaryStatuses", [])}
    canary = canaries.get(traffic.canary_name, {})
    return bool(canary.get("ready")) and canary.get("trafficPercent") == traffic.percent


def is_true(status: dict[str, Any], condition: str) -> bool:
    """Whether a condition of that type holds."""
    return any(c["type"] == condition and c["status"] == "True" for c in status.get("conditions", []))


def serves(pod: dict[str, Any]) -> bool:
    """Whether a pod answers requests."""
    return is_true(pod.get("status", {}), "Ready")


def _is_over(pod: dict[str, Any]) -> bool:
    """Whether a pod is being deleted, was evicted or ended."""
    return bool(pod["metadata"].get("deletionTimestamp")) or pod.get("status", {}).get("phase") in (
        "Failed",
        "Succeeded",
    )


def source(pod: dict[str, Any]) -> str:
    """The storage URI of the release in a pod; "" in one without, of a transformer for instance."""
    uri: str = pod["metadata"].get("annotations", {}).get(SOURCE, "")
    return uri


def reasons(service: dict[str, Any], pods: list[dict[str, Any]], traffic: Traffic) -> list[str]:
    """Why it is not ready: the service's conditions, the model's last failure, the newest pods of the release."""
    status = service.get("status", {})
    found = [
        f"{condition['type']} is {condition['status']}{_because(condition)}"
        for condition in status.get("conditions", [])
        if condition["status"] != "True"
    ]
    if not status.get("conditions"):
        found.append("the service has no status: does KServe's controller run?")
    failure = status.get("modelStatus", {}).get("lastFailureInfo")
    found += [f"model{_because(failure)}"] if failure else []
    newest = sorted(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp")), reverse=True)
    newest = [pod for pod in newest if source(pod) == traffic.newest]
    found += [f"pod {pod['metadata']['name']}: {why}" for pod in newest[:SHOWN] for why in _troubles(pod)]
    return found or [f"{len(newest)} pods of the release, none ready"]


def event_text(event: dict[str, Any]) -> str:
    """One event in a line."""
    about = event.get("involvedObject", {})
    return f"event of {about.get('kind')} {about.get('name')}{_because(event)}"


def _revision_has(predictor: dict[str, Any], percent: int | None) -> bool:
    """Whether the newest revision is ready and gets its share."""
    created, ready = predictor.get("latestCreatedRevision"), predictor.get("latestReadyRevision")
    targets = [target for target in predictor.get("traffic", []) if target.get("latestRevision")]
    return created == ready and [target.get("percent") or 0 for target in targets] == [
        100 if percent is None else percent
    ]


def _troubles(pod: dict[str, Any]) -> Iterator[str]:
    status = pod.get("status", {})
    for condition in status.get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            yield f"not scheduled{_because(condition)}"
    for container in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
        for state in ("waiting", "terminated"):
            if detail := container.get("state", {}).get(state):
                yield f"{container['name']} {state}{_because(detail)}"
        if ended := container.get("lastState", {}).get("terminated"):
            yield f"{container['name']} ended before with exit code {ended.get('exitCode')}{_because(ended)}"


def _because(detail: dict[str, Any]) -> str:
    """A reason and message, as ": Reason, message"."""
    words = [str(detail[key]).strip() for key in ("reason", "message") if detail.get(key)]
    return f": {', '.join(words)}" if words else ""
