"""A cluster that is not there, not ready or not ours: a clear error, and nothing done."""

from __future__ import annotations

import pytest

from souk.config import parse_config
from souk.errors import SoukError
from souk.release.cluster import Unavailable, connect
from tests.kubernetes_api import KubernetesApi, serving
from tests.kubernetes_fixtures import MILVUS, NEW, OLD, kubeconfig, rollout, running

CONFIG = """
name: tiny
data: {events: {path: events.csv}}
objectives: {engaged: {events: [purchase]}, satisfied: {events: [purchase]}}
"""


@pytest.fixture
def cluster(tmp_path):
    with running(tmp_path) as cluster:
        yield cluster


def untouched(cluster) -> bool:
    return not any(method in ("PATCH", "POST") and "inferenceservices" in path for method, path in cluster.api.requests)


def test_neither_a_pod_nor_a_kubeconfig(tmp_path):
    with pytest.raises(SoukError, match=r"those of a pod, or a kubeconfig.*Service host.*in .*absent.*set KUBECONFIG"):
        connect(rollout(), {"KUBECONFIG": str(tmp_path / "absent")})


@pytest.mark.parametrize("text", ["", "[]", "a: {", "kind: Config", "contexts: [{name: a}]\ncurrent-context: a"])
def test_a_kubeconfig_that_is_none(tmp_path, text):
    (tmp_path / "config").write_text(text)
    with pytest.raises(SoukError, match="a kubeconfig"):
        connect(rollout(), {"KUBECONFIG": str(tmp_path / "config")})


def test_no_cluster(tmp_path):
    with serving(KubernetesApi({})) as url:
        pass
    settings = rollout()
    cluster = connect(settings, {"KUBECONFIG": str(kubeconfig(tmp_path / "config", url, "x"))})
    with pytest.raises(Unavailable, match=rf"a Kubernetes API at {url}.*Connection refused.*kubectl cluster-info"):
        cluster.service()


def test_an_expired_token(cluster):
    with pytest.raises(SoukError, match=r"401 Unauthorized.*expired.*kubectl auth whoami"):
        cluster.connect(rollout(), "expired").service()


@pytest.mark.parametrize(
    ("missing", "verb", "resource"),
    [
        (("inferenceservices", "get"), "get", r"inferenceservices\.serving\.kserve\.io"),
        (("inferenceservices", "patch"), "patch", r"inferenceservices\.serving\.kserve\.io"),
        (("inferenceservices", "create"), "patch", r"inferenceservices\.serving\.kserve\.io"),
        (("pods", "list"), "list", "pods"),
    ],
)
def test_no_permission(cluster, missing, verb, resource):
    for rule in cluster.api.tokens["deployer"]:
        if missing[0] in rule["resources"]:
            rule["verbs"] = [each for each in rule["verbs"] if each != missing[1]]
    expected = rf"the right to {verb} {resource}.*403.*kubectl auth can-i {verb} {resource} --namespace souk"
    with pytest.raises(SoukError, match=expected):
        cluster.roll_out(rollout(), OLD)
    assert not cluster.exists()


def test_events_that_may_not_be_read_are_said_to_be_so(cluster):
    rule = next(rule for rule in cluster.api.tokens["deployer"] if "events" in rule["resources"])
    rule["resources"] = ["pods"]
    told = cluster.breaks(OLD, "ImagePullBackOff")
    with pytest.raises(SoukError, match=r"ImagePullBackOff.*events could not be read: 403"):
        cluster.roll_out(rollout(), OLD, clock=told)


def test_kserve_is_not_installed(tmp_path):
    with serving(KubernetesApi({"x": []}, kserve=False)) as url:
        cluster = connect(rollout(), {"KUBECONFIG": str(kubeconfig(tmp_path / "config", url, "x"))})
        with pytest.raises(SoukError, match=r"KServe in the cluster.*404.*kubectl get crd inferenceservices"):
            cluster.service()


def test_no_such_namespace(cluster):
    with pytest.raises(SoukError, match=r"namespace elsewhere.*not found.*kubectl create namespace elsewhere"):
        cluster.roll_out(rollout(namespace="elsewhere"), OLD)


def test_an_api_that_cannot_answer(cluster):
    cluster.api.outage = 503
    with pytest.raises(Unavailable, match=r"503 the server is currently unable.*Try again"):
        cluster.roll_out(rollout(), OLD)
    assert untouched(cluster)


def test_what_the_webhook_refuses_is_told_in_its_words(cluster):
    cluster.roll_out(rollout(mode="standard"), OLD)
    with pytest.raises(SoukError, match="deploymentMode cannot be changed from 'Standard' to 'Knative'"):
        cluster.roll_out(rollout(mode="knative"), NEW)
    assert cluster.serves({OLD: 100})


@pytest.mark.parametrize("uri", ["", "/workspace/milvus.db"])
def test_a_cluster_does_not_take_milvus_lite(uri):
    section = f"rollout: {{target: inference_service}}\nload_index: {{uri: '{uri}'}}"
    with pytest.raises(SoukError, match=r"Milvus server in load_index\.uri.*one process holds its file"):
        parse_config(CONFIG + section)
    assert parse_config(f"{CONFIG}rollout: {{target: inference_service}}\nload_index: {{uri: '{MILVUS}'}}")
    assert parse_config(f"{CONFIG}load_index: {{uri: '{uri}'}}")


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ("{canary_percent: 100}", "canary_percent"),
        ("{canary_percent: 0.5}", "canary_percent"),
        ("{mode: serverless}", "standard"),
        ("{name: Souk}", "name"),
        ("{storage: /releases}", "storage"),
        ("{storage: 'pvc://volume/releases/'}", "storage"),
        ("{deadline_seconds: 0}", "deadline_seconds"),
        ("{min_replicas: 3}", "max_replicas 1 is below min_replicas 3"),
        ("{canary: 10}", "canary_percent"),
    ],
)
def test_a_section_that_cannot_be(settings, named):
    with pytest.raises(SoukError, match=named):
        parse_config(f"{CONFIG}rollout: {settings}")
