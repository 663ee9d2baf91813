"""KServe's controller and the kubelets, as a rollout sees them, over HTTP against a Kubernetes API.

Deployments, revisions and traffic follow KServe 0.21 (pkg/controller/v1beta1/inferenceservice of kserve/kserve): in
Standard mode a rolling update keeps old pods until new ones are ready, a Deployment of another name is deleted at
once, and a canary gets its share only when it is ready; in Knative mode "latest" is the newest revision that is ready,
and the one that last had everything keeps the rest. A pod is ready one look after it was made, or never.
"""

from __future__ import annotations

import hashlib
import json
import threading
import urllib.error
import urllib.request
from typing import Any

SOURCE = "internal.serving.kserve.io/storage-initializer-sourceuri"
NAME_LABEL = "serving.kserve.io/inferenceservice"


class Client:
    """Plain JSON requests with a token."""

    def __init__(self, url: str, token: str) -> None:
        self.url, self.token = url, token

    def __call__(self, method: str, path: str, body: Any = None, content: str = "application/merge-patch+json") -> Any:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": content}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())


class KServe:
    """Reconciles every InferenceService of a namespace until `stop`.

    Args:
        client: with every right.
        namespace: which.

    Attributes:
        broken: release -> the reason why its pods wait for ever.
        shares: each split of the requests that there was, in order: release -> percent.
    """

    def __init__(self, client: Client, namespace: str) -> None:
        self.client, self.namespace = client, namespace
        self.broken: dict[str, str] = {}
        self.shares: list[dict[str, int]] = []
        self._revisions: list[str] = []  # Knative: storage URIs
        self._rolled_out = 0  # Knative: number of the revision that last had everything; 0 for none
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        while not self._done.wait(0.01):
            try:
                path = f"/apis/serving.kserve.io/v1beta1/namespaces/{self.namespace}/inferenceservices"
                for service in self.client("GET", path)["items"]:
                    self._reconcile(service, f"{path}/{service['metadata']['name']}/status")
            except urllib.error.URLError:
                continue  # the API is away for a moment

    def stop(self) -> None:
        self._done.set()
        self._thread.join()

    def _reconcile(self, service: dict[str, Any], path: str) -> None:
        mode = service["metadata"]["annotations"]["serving.kserve.io/deploymentMode"]
        status, shares = (self._standard if mode == "Standard" else self._knative)(service)
        ready = sum(shares.values()) == 100
        condition = {"type": "Ready", "status": "True" if ready else "False"}
        if not ready:
            condition |= {"reason": "PredictorNotReady", "message": "no pod is ready"}
        status |= {"deploymentMode": mode, "conditions": [condition]}
        if not self.shares or self.shares[-1] != shares:
            self.shares.append(shares)
        if service.get("status") != status:
            self.client("PATCH", path, {"status": status})

    def _standard(self, service: dict[str, Any]) -> tuple[dict[str, Any], dict[str, int]]:
        name, spec = service["metadata"]["name"], service["spec"]
        canary = (spec.get("canary") or [None])[0]
        stable = _deployment(name, spec["predictor"])
        wanted = {stable: spec["predictor"]["model"]["storageUri"]}
        if canary:
            wanted[_deployment(name, canary["predictor"])] = canary["predictor"]["model"]["storageUri"]
        for pod in self._pods(name):
            if pod["metadata"]["labels"]["app"] not in wanted:
                self._delete(pod)
        serving = {deployment: self._rolled(name, deployment, uri) for deployment, uri in wanted.items()}
        shares: dict[str, int] = {}
        rest, statuses = 100, []
        if canary:
            ready = bool(serving[_deployment(name, canary["predictor"])])
            percent = canary["trafficPercent"]
            statuses = [{"name": canary["predictor"]["name"], "ready": ready, "trafficPercent": percent}]
            if ready:
                shares[_release(canary["predictor"]["model"]["storageUri"])] = percent
                rest -= percent
        if serving[stable]:
            shares[serving[stable]] = shares.get(serving[stable], 0) + rest
        return {"canaryStatuses": statuses}, shares

    def _rolled(self, name: str, deployment: str, uri: str) -> str:
        """A look of a Deployment at its pods; returns the release that answers from it, or nothing."""
        pods = [pod for pod in self._pods(name) if pod["metadata"]["labels"]["app"] == deployment]
        fresh = [pod for pod in pods if pod["metadata"]["annotations"][SOURCE] == uri]
        old = [pod for pod in pods if pod not in fresh]
        ready = self._pod(name, deployment, uri, fresh)
        if not ready:
            return next((_release(pod["metadata"]["annotations"][SOURCE]) for pod in old if _is_ready(pod)), "")
        for pod in old:
            self._delete(pod)
        return _release(uri)

    def _knative(self, service: dict[str, Any]) -> tuple[dict[str, Any], dict[str, int]]:
        name, predictor = service["metadata"]["name"], service["spec"]["predictor"]
        if not self._revisions or self._revisions[-1] != predictor["model"]["storageUri"]:
            self._revisions.append(predictor["model"]["storageUri"])
        ready = []
        for number, uri in enumerate(self._revisions, 1):
            revision = f"{name}-predictor-{number:05}"
            pods = [pod for pod in self._pods(name) if pod["metadata"]["labels"]["app"] == revision]
            if self._pod(name, revision, uri, pods):
                ready.append(number)
        latest = max(ready, default=0)
        percent = predictor.get("canaryTrafficPercent")
        targets = [{"latestRevision": True, "percent": 100}]
        if percent is not None and self._rolled_out:
            previous = {"revisionName": f"{name}-predictor-{self._rolled_out:05}", "percent": 100 - percent}
            targets = [
                {"latestRevision": True, "percent": percent},
                {"latestRevision": False, "tag": "prev"} | previous,
            ]
        elif latest == len(self._revisions):
            self._rolled_out = latest
        shares: dict[str, int] = {}
        for number, share in zip((latest, self._rolled_out), (t["percent"] for t in targets), strict=False):
            if number and share:
                release = _release(self._revisions[number - 1])
                shares[release] = shares.get(release, 0) + int(share)
        status = {
            "latestCreatedRevision": f"{name}-predictor-{len(self._revisions):05}",
            "latestReadyRevision": f"{name}-predictor-{latest:05}",
            "traffic": targets,
        }
        return {"components": {"predictor": status}}, shares

    def _pods(self, name: str) -> list[dict[str, Any]]:
        path = f"/api/v1/namespaces/{self.namespace}/pods?labelSelector={NAME_LABEL}={name}"
        found: list[dict[str, Any]] = self.client("GET", path)["items"]
        return found

    def _pod(self, name: str, owner: str, uri: str, pods: list[dict[str, Any]]) -> bool:
        """Makes the one pod of an owner, or looks after it; returns whether it is ready."""
        path = f"/api/v1/namespaces/{self.namespace}/pods"
        if not pods:
            self.client("POST", path, self._new_pod(name, owner, uri), "application/json")
            return False
        reason = self.broken.get(_release(uri), "")
        status = _status(reason)
        if pods[0].get("status") != status:
            self.client("PATCH", f"{path}/{pods[0]['metadata']['name']}/status", {"status": status})
            if reason:
                self._event(pods[0], reason)
        return not reason

    def _new_pod(self, name: str, owner: str, uri: str) -> dict[str, Any]:
        digest = hashlib.sha256(uri.encode()).hexdigest()[:6]
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": f"{owner}-{digest}",
                "namespace": self.namespace,
                "labels": {NAME_LABEL: name, "component": "predictor", "app": owner},
                "annotations": {SOURCE: uri},
            },
            "spec": {"containers": [{"name": "kserve-container", "image": "localhost/souk-serve:dev"}]},
        }

    def _event(self, pod: dict[str, Any], reason: str) -> None:
        name = pod["metadata"]["name"]
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{name}.1", "namespace": self.namespace},
            "involvedObject": {"kind": "Pod", "name": name, "namespace": self.namespace},
            "type": "Warning",
            "reason": "Failed" if reason != "Unschedulable" else "FailedScheduling",
            "message": f"told by the kubelet: {reason}",
            "lastTimestamp": "2026-01-01T00:00:00Z",
        }
        self.client("POST", f"/api/v1/namespaces/{self.namespace}/events", event, "application/json")

    def _delete(self, pod: dict[str, Any]) -> None:
        self.client("DELETE", f"/api/v1/namespaces/{self.namespace}/pods/{pod['metadata']['name']}")


def _deployment(name: str, predictor: dict[str, Any]) -> str:
    return f"{name}-{predictor['name']}-predictor" if predictor.get("name") else f"{name}-predictor"


def _release(uri: str) -> str:
    return uri.rpartition("/")[2]


def _is_ready(pod: dict[str, Any]) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod.get("status", {}).get("conditions", []))


def _status(reason: str) -> dict[str, Any]:
    """Of a pod that answers; or that waits, for a reason."""
    if reason == "Unschedulable":
        why = {"reason": reason, "message": "0/3 nodes are available: 3 Insufficient memory."}
        return {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False"} | why]}
    state = {"waiting": {"reason": reason, "message": f"about {reason}"}} if reason else {"running": {}}
    container = {
        "name": "kserve-container",
        "image": "localhost/souk-serve:dev",
        "imageID": "",
        "ready": not reason,
        "restartCount": 0,
        "state": state,
    }
    ready = {"type": "Ready", "status": "False" if reason else "True"}
    return {"phase": "Running", "conditions": [ready], "containerStatuses": [container]}
