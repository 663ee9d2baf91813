"""A cluster that is not there, not ready or not ours: a clear error, and nothing done."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import nullcontext
from typing import Any

import pytest

from souk.config import OnlineStore, parse_config
from souk.errors import SoukError
from souk.release.cluster import Unavailable, connect
from souk.release.inference_service import Traffic, inference_service, storage_uri
from souk.release.rollout import check_kept
from tests.certificate_fixtures import *  # noqa: F403
from tests.kubernetes_api import Failure, KubernetesApi, serving
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


class Proxy(KubernetesApi):
    """Answers the same text to everything, as a proxy or a login page does."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__({})
        self.answer = Failure(code, "", text)

    def handle(self, *_: Any) -> dict[str, Any]:
        raise self.answer


@pytest.mark.parametrize(
    ("code", "text", "shown"),
    [
        (200, "<html><title>Log in</title></html>", "'Log in'"),
        (200, "[]", "'[]'"),
        (200, "", "''"),
        (302, "", "'302 "),
        (400, "Client sent an HTTP request to an HTTPS server.", "400 Client sent"),
        (404, "<h1>404 Not Found</h1>", "'404 404 Not Found'"),
        (404, '{"details": null}', "404 "),
        (200, "<title>Zugang verweigert f\udcfcr Sie</title>", "'Zugang verweigert für Sie'"),  # in ISO 8859-1
        (403, "<title>Zugang verweigert f\udcfcr Sie</title>", "'Zugang verweigert für Sie'"),
    ],
)
def test_what_answers_is_no_kubernetes(tmp_path, code, text, shown):
    with serving(Proxy(code, text)) as url:
        cluster = connect(rollout(), {"KUBECONFIG": str(kubeconfig(tmp_path / "config", url, "x"))})
        for call in (cluster.service, cluster.pods, lambda: cluster.apply({})):
            with pytest.raises(SoukError, match=rf"a Kubernetes API at {url}\..*another kind.*A proxy") as error:
                call()
            assert shown in error.value.received
            assert "<" not in error.value.received


def test_a_certificate_that_is_not_known_here(tmp_path, certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def greet() -> None:
            connection, _ = listening.accept()
            with connection, pytest.raises(ssl.SSLError):
                context.wrap_socket(connection, server_side=True)

        server = threading.Thread(target=greet)
        server.start()
        config = kubeconfig(tmp_path / "config", f"https://127.0.0.1:{listening.getsockname()[1]}", "x")
        with pytest.raises(SoukError, match=r"a certificate of .* trusted here.*self.signed.*certificate-authority"):
            connect(rollout(), {"KUBECONFIG": str(config)}).service()
        server.join(10)


def test_a_server_that_never_answers_is_asked_once_for_one_call(tmp_path, monkeypatch):
    monkeypatch.setattr("souk.release.cluster.TIMEOUTS", (5, 0.05))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        config = kubeconfig(tmp_path / "config", f"http://127.0.0.1:{silent.getsockname()[1]}", "x")
        with pytest.raises(Unavailable, match="Read timed out"):
            connect(rollout(), {"KUBECONFIG": str(config)}).service()
        silent.setblocking(False)
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):  # a second connection would be another wait
            silent.accept()


@pytest.mark.parametrize("token", ["secret\n", "secr\u20act"])
def test_a_token_that_no_header_can_carry_is_not_shown(tmp_path, token):
    config = kubeconfig(tmp_path / "config", "http://127.0.0.1:9", token)
    with pytest.raises(SoukError, match="a token of one line of visible ASCII characters") as error:
        connect(rollout(), {"KUBECONFIG": str(config)}).service()
    assert "secr" not in str(error.value)
    assert error.value.__suppress_context__


def test_a_token_that_expires_while_the_step_waits_ends_the_waiting(cluster):
    handle = cluster.api.handle

    def expiring(method: str, *more: Any) -> dict[str, Any]:
        answer = handle(method, *more)
        if method == "PATCH":
            del cluster.api.tokens["deployer"]
        return answer

    cluster.kserve.stop()
    cluster.api.handle = expiring
    with pytest.raises(SoukError, match=r"to answer from .*401 Unauthorized.*kubectl auth whoami.*Nothing was changed"):
        cluster.roll_out(rollout(), OLD)


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


def test_a_cluster_does_not_take_milvus_lite():
    section = "rollout: {target: inference_service}\nload_index: {uri: ''}"
    with pytest.raises(SoukError, match=r"Milvus server in load_index\.uri.*one process holds its file"):
        parse_config(CONFIG + section)
    assert parse_config(f"{CONFIG}rollout: {{target: inference_service}}\nload_index: {{uri: '{MILVUS}'}}")
    assert parse_config(f"{CONFIG}load_index: {{uri: ''}}")


def test_several_servers_do_not_take_sqlite():
    cluster = f"{CONFIG}load_index: {{uri: '{MILVUS}'}}\nrollout: {{target: inference_service, max_replicas: 2}}\n"
    with pytest.raises(SoukError, match=r"Redis in online_store\.uri.*max_replicas is 2.*sqlite"):
        parse_config(cluster)
    assert parse_config(f"{cluster}online_store: {{uri: 'redis://cache:6379/0'}}")
    assert parse_config(cluster.replace("max_replicas: 2", "max_replicas: 1"))
    with pytest.raises(SoukError, match=r"online_store\.uri"):
        parse_config(f"{cluster}online_store: {{uri: 'redis://user:secret@cache'}}")


@pytest.mark.parametrize(
    ("mode", "replicas", "several"),
    [
        ("standard", (3, 12), True),
        ("standard", (2, None), True),
        ("standard", (1, None), False),  # KServe takes the fewest for the most
        ("knative", (1, None), True),
        ("knative", (0, 1), False),
    ],
)
def test_which_services_have_several_servers_to_keep(mode, replicas, several):
    settings = rollout(mode=mode)
    live = inference_service(settings, Traffic(storage_uri(settings, OLD), replicas))
    with pytest.raises(SoukError, match="may have several") if several else nullcontext():
        check_kept(settings, OnlineStore(), live)
    check_kept(settings, OnlineStore(uri="redis://cache"), live)
    check_kept(settings, OnlineStore(), None)
    check_kept(settings.model_copy(update={"max_replicas": 1}), OnlineStore(), live)


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
