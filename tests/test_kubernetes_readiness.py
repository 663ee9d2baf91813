"""When a release counts as answering: the pods and the split tell, not the condition Ready alone."""

from __future__ import annotations

from typing import Any

import pytest

from souk.release.inference_service import Traffic
from souk.release.readiness import SOURCE, is_ready, reasons

OLD, NEW = "pvc://a/old", "pvc://a/new"
READY = {"conditions": [{"type": "Ready", "status": "True"}]}


def pod(uri: str, ready: bool = True, **metadata: Any) -> dict[str, Any]:
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True" if ready else "False"}]}
    return {"metadata": {"name": "p", "annotations": {SOURCE: uri}, **metadata}, "status": status}


def ended(uri: str) -> dict[str, Any]:
    return {**pod(uri, ready=False), "status": {"phase": "Failed", "reason": "Evicted"}}


@pytest.mark.parametrize(
    ("pods", "expected"),
    [
        ([], False),
        ([pod(OLD)], False),  # Ready is True while the Deployment has not begun to roll
        ([pod(OLD), pod(NEW, ready=False)], False),
        ([pod(OLD), pod(NEW)], False),  # half of the requests still go to the old one
        ([pod(OLD, deletionTimestamp="2026-01-01T00:00:00Z"), pod(NEW)], True),
        ([ended(OLD), pod(NEW)], True),
        ([pod(""), pod(NEW)], True),  # of a transformer, which has no release
        ([pod("")], False),
        ([pod(NEW), pod(NEW, ready=False)], True),
    ],
)
def test_all_requests_in_standard_mode(pods, expected):
    assert is_ready({"status": READY}, pods, Traffic(NEW), "standard") is expected
    assert is_ready({}, pods, Traffic(NEW), "standard") is False


@pytest.mark.parametrize(
    ("canary", "expected"),
    [
        (None, False),
        ({"name": "new", "ready": False, "trafficPercent": 10}, False),
        ({"name": "new", "ready": True, "trafficPercent": 5}, False),  # of the apply before
        ({"name": "other", "ready": True, "trafficPercent": 10}, False),
        ({"name": "new", "ready": True, "trafficPercent": 10}, True),
    ],
)
def test_a_canary_in_standard_mode(canary, expected):
    traffic = Traffic(OLD, percent=10, canary=NEW, canary_name="new")
    service = {"status": READY | {"canaryStatuses": [canary] if canary else []}}
    assert is_ready(service, [pod(OLD), pod(NEW)], traffic, "standard") is expected
    assert is_ready(service, [pod(OLD), pod(NEW, ready=False)], traffic, "standard") is False


@pytest.mark.parametrize(
    ("mode", "last", "new", "expected"),
    [
        ("standard", False, True, True),
        ("standard", False, False, False),
        ("standard", True, True, False),  # KServe leaves the split as it was, and so nobody knows that it has its share
        ("knative", False, True, False),
    ],
)
def test_a_canary_that_is_to_be_promoted_has_to_answer_and_no_other(mode, last, new, expected):
    traffic = Traffic(OLD, percent=10, canary=NEW, canary_name="new")
    status = {"conditions": [{"type": "Ready", "status": "False"}]}
    status |= {"canaryStatuses": [{"name": "new", "ready": True, "trafficPercent": 10}]}
    target = {"latestRevision": True, "percent": 10}
    status |= {"components": {"predictor": {"traffic": [target]}}}
    pods = [pod(OLD, ready=False), pod(NEW, ready=new)]
    assert is_ready({"status": status}, pods, traffic, mode, last) is expected


@pytest.mark.parametrize(
    ("created", "ready", "share", "percent", "expected"),
    [
        ("r2", "r2", 100, None, True),
        ("r2", "r2", 10, 10, True),
        ("r2", "r2", 0, 0, True),
        ("r2", "r2", None, 0, True),  # a share of 0 may be left out
        ("r2", "r1", 100, None, False),  # the newest is not ready: its share goes to the one before it
        ("r2", "r2", 10, None, False),
        ("r2", "r2", 100, 10, False),
    ],
)
def test_knative_mode(created, ready, share, percent, expected):
    target = {"latestRevision": True} | ({} if share is None else {"percent": share})
    predictor = {"latestCreatedRevision": created, "latestReadyRevision": ready, "traffic": [target]}
    service = {"status": READY | {"components": {"predictor": predictor}}}
    traffic = Traffic(NEW, percent=percent)
    assert is_ready(service, [pod(OLD), pod(NEW)], traffic, "knative") is expected
    assert is_ready(service, [pod(OLD)], traffic, "knative") is False


def test_reasons_name_what_kserve_and_the_newest_pods_say():
    crashed = {"name": "c", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
    crashed["lastState"] = {"terminated": {"exitCode": 2, "reason": "Error", "message": "no such release"}}
    pods = [
        pod(OLD, ready=False, creationTimestamp="2026-01-03"),
        *(pod(NEW, ready=False, name=f"p{day}", creationTimestamp=f"2026-01-0{day}") for day in (1, 2, 3, 4)),
    ]
    for each in pods:
        each["status"]["containerStatuses"] = [crashed]
    failure = {"reason": "ModelLoadFailed", "message": "checksum"}
    service = {
        "status": {"conditions": [{"type": "Ready", "status": "False"}], "modelStatus": {"lastFailureInfo": failure}}
    }
    found = reasons(service, pods, Traffic(NEW))
    assert found[:2] == ["Ready is False", "model: ModelLoadFailed, checksum"]
    assert found[2::2] == [f"pod p{day}: c waiting: CrashLoopBackOff" for day in (4, 3, 2)]
    assert found[3] == "pod p4: c ended before with exit code 2: Error, no such release"
