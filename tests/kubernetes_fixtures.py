"""A cluster to deploy to: the API, KServe's controller on it, and a client with the rights that the chart gives."""

from __future__ import annotations

import threading
import urllib.error
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from souk.config import Rollout
from souk.release.cluster import Cluster, connect
from souk.release.rollout import roll_out
from tests.kserve_controller import Client, KServe
from tests.kubernetes_api import EVERYTHING, KubernetesApi, serving

ROOT = Path(__file__).parents[1]
NAMESPACE = "souk"
SERVICES = f"/apis/serving.kserve.io/v1beta1/namespaces/{NAMESPACE}/inferenceservices"
MILVUS = "http://milvus:19530"
OLD, NEW, NEXT = (f"tiny-{digit * 12}" for digit in "abc")


def chart_rules() -> list[dict[str, Any]]:
    """What the chart lets the deploy step do."""
    documents = yaml.safe_load_all((ROOT / "manifests/base/souk.yaml").read_text("utf-8"))
    rules: list[dict[str, Any]] = next(document["rules"] for document in documents if document["kind"] == "Role")
    return rules


def rollout(**settings: Any) -> Rollout:
    return Rollout.model_validate({"target": "inference_service", "deadline_seconds": 20, **settings})


def kubeconfig(path: Path, url: str, token: str) -> Path:
    """A kubeconfig for one server and one token."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "clusters": [{"name": "test", "cluster": {"server": url}}],
        "users": [{"name": "test", "user": {"token": token}}],
    }
    path.write_text(yaml.safe_dump(content), "utf-8")
    return path


class TestCluster:
    """One cluster of a test.

    Attributes:
        api: the state behind the fake server; a test that uses it cannot run against a real one.
        kserve: the controller.
        admin: a client with every right.
    """

    __test__ = False

    def __init__(self, url: str, api: KubernetesApi, folder: Path) -> None:
        self.url, self.api, self.folder = url, api, folder
        self.admin = Client(url, "admin")
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        self.admin("POST", "/api/v1/namespaces", namespace, "application/json")
        self.kserve = KServe(self.admin, NAMESPACE)

    def kubeconfig(self, token: str = "deployer") -> str:
        return str(kubeconfig(self.folder / f"{token}.yaml", self.url, token))

    def connect(self, settings: Rollout, token: str = "deployer") -> Cluster:
        return connect(settings, {"KUBECONFIG": self.kubeconfig(token)})

    def roll_out(self, settings: Rollout, release: str, percent: int = 0, **more: Any) -> bool:
        return roll_out(self.connect(settings), settings, release, percent, poll_seconds=0.01, **more)

    def spec(self, name: str = "souk") -> dict[str, Any]:
        spec: dict[str, Any] = self.admin("GET", f"{SERVICES}/{name}")["spec"]
        return spec

    def edit(self, patch: dict[str, Any], manager: str) -> None:
        """Changes the service as somebody else."""
        self.admin("PATCH", f"{SERVICES}/souk?fieldManager={manager}", patch)

    def exists(self, name: str = "souk") -> bool:
        try:
            return bool(self.spec(name))
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            return False

    def breaks(self, release: str, reason: str) -> Callable[[], float]:
        """The release's pods stop answering, or never do.

        Returns:
            A clock that stands at 0 when it is first asked; the second time it waits until the kubelet has told of it,
            and stands at the end of time.
        """
        path = f"/api/v1/namespaces/{NAMESPACE}/events"
        before = len(self.admin("GET", path)["items"])
        self.kserve.broken[release] = reason
        asked = iter([True])

        def clock() -> float:
            if next(asked, False):
                return 0.0
            assert until(lambda: len(self.admin("GET", path)["items"]) > before)
            return 1e9

        return clock

    def serves(self, shares: dict[str, int]) -> bool:
        """Whether the requests are, or shortly become, split so."""
        return until(lambda: self.kserve.shares[-1:] == [shares])

    def pods(self) -> set[str]:
        return {pod["metadata"]["uid"] for pod in self.admin("GET", f"/api/v1/namespaces/{NAMESPACE}/pods")["items"]}


def until(condition: Callable[[], bool]) -> bool:
    """Waits for another thread, 20 seconds at most; returns whether the condition came true."""
    pause = threading.Event()
    return any(condition() or pause.wait(0.01) for _ in range(2000))


@contextmanager
def running(folder: Path, kserve: bool = True) -> Iterator[TestCluster]:
    """A cluster with a namespace, on a free port of 127.0.0.1, and nothing deployed."""
    api = KubernetesApi({"admin": EVERYTHING, "deployer": chart_rules(), "nobody": []}, kserve)
    with serving(api) as url:
        cluster = TestCluster(url, api, folder)
        cluster.kserve.start()
        try:
            yield cluster
        finally:
            cluster.kserve.stop()
