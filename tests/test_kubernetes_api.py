"""What the rollout tests take for granted of a Kubernetes API: server-side apply, status, versions, selectors, rights.

Each test speaks HTTP to a base URL, so that a real API server with KServe's definitions can stand in for the one here.
"""

from __future__ import annotations

import copy
import json
import urllib.error
import urllib.request
from typing import Any

import pytest

from souk.release.inference_service import Traffic, inference_service
from tests.kubernetes_fixtures import NAMESPACE, SERVICES, rollout, running

APPLY = "application/apply-patch+yaml"
URI = ("spec", "predictor", "model", "storageUri")


@pytest.fixture
def cluster(tmp_path):
    with running(tmp_path) as cluster:
        cluster.kserve.stop()
        yield cluster


def service(**predictor: Any) -> dict[str, Any]:
    document = inference_service(rollout(), Traffic("pvc://a/one"))
    document["spec"]["predictor"] |= predictor
    return document


def apply(cluster, document, manager="souk", force=False):
    query = f"fieldManager={manager}&force={str(force).lower()}"
    return cluster.admin("PATCH", f"{SERVICES}/{document['metadata']['name']}?{query}", document, APPLY)


def failure(error: urllib.error.HTTPError) -> dict[str, Any]:
    status: dict[str, Any] = json.loads(error.read())
    assert (status["kind"], status["status"], status["code"]) == ("Status", "Failure", error.code)
    return status


def test_apply_creates_and_the_same_again_changes_nothing(cluster):
    first = apply(cluster, service())
    assert first["metadata"]["generation"] == 1
    [entry] = first["metadata"]["managedFields"]
    assert (entry["manager"], entry["operation"]) == ("souk", "Apply")
    assert entry["fieldsV1"]["f:spec"]["f:predictor"]["f:model"]["f:storageUri"] == {}
    again = apply(cluster, service())
    assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


def test_a_field_that_is_no_longer_applied_goes_away_and_one_of_another_manager_stays(cluster):
    apply(cluster, service(canaryTrafficPercent=10, timeout=5))
    apply(cluster, {**service(), "spec": {"predictor": {"timeout": 5}}}, manager="other")
    left = apply(cluster, service())["spec"]["predictor"]
    assert "canaryTrafficPercent" not in left
    assert left["timeout"] == 5


def test_a_list_is_one_field(cluster):
    document = service()
    canary = {"predictor": {"name": "x", "model": document["spec"]["predictor"]["model"]}}
    document["spec"]["canary"] = [{"trafficPercent": 10, **canary}]
    apply(cluster, document)
    document["spec"]["canary"] = [{"trafficPercent": 20, **canary}]
    assert apply(cluster, document)["spec"]["canary"] == document["spec"]["canary"]
    assert "canary" not in apply(cluster, service())["spec"]


def test_another_value_conflicts_and_force_takes_the_field(cluster):
    apply(cluster, service())
    other = service()
    other["spec"]["predictor"]["model"]["storageUri"] = "pvc://a/two"
    with pytest.raises(urllib.error.HTTPError) as refused:
        apply(cluster, other, manager="other")
    status = failure(refused.value)
    assert (status["code"], status["reason"]) == (409, "Conflict")
    [cause] = status["details"]["causes"]
    assert (cause["reason"], cause["field"]) == ("FieldManagerConflict", "." + ".".join(URI))
    assert 'conflict with "souk"' in cause["message"]
    assert apply(cluster, other, "other", force=True)["spec"]["predictor"]["model"]["storageUri"] == "pvc://a/two"
    with pytest.raises(urllib.error.HTTPError):
        apply(cluster, service())


def test_a_patch_takes_what_it_changes(cluster):
    apply(cluster, service())
    cluster.edit({"spec": {"predictor": {"minReplicas": 1, "maxReplicas": 4}}}, "kubectl-edit")
    changed = service()
    changed["spec"]["predictor"]["maxReplicas"] = 5
    with pytest.raises(urllib.error.HTTPError) as refused:
        apply(cluster, changed)
    fields = [cause["field"] for cause in failure(refused.value)["details"]["causes"]]
    assert fields == [".spec.predictor.maxReplicas"]  # minReplicas was sent, but is as it was


def test_status_is_written_apart_and_counts_no_generation(cluster):
    apply(cluster, service())
    conditions = {"conditions": [{"type": "Ready", "status": "True"}]}
    written = cluster.admin("PATCH", f"{SERVICES}/souk/status", {"status": conditions, "spec": {"predictor": {}}})
    assert written["status"] == conditions
    assert (written["metadata"]["generation"], written["spec"]) == (1, service()["spec"])
    cluster.admin("PATCH", f"{SERVICES}/souk", {"status": {}})
    assert cluster.admin("GET", f"{SERVICES}/souk")["status"] == conditions


def test_an_old_version_is_refused(cluster):
    version = apply(cluster, service())["metadata"]["resourceVersion"]
    cluster.edit({"spec": {"predictor": {"timeout": 5}}}, "a")
    with pytest.raises(urllib.error.HTTPError) as refused:
        cluster.edit({"metadata": {"resourceVersion": version}, "spec": {"predictor": {"timeout": 6}}}, "b")
    assert failure(refused.value)["reason"] == "Conflict"


def test_lists_by_label_and_field(cluster):
    for name in ("one", "two"):
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": {"serving.kserve.io/inferenceservice": name}},
            "spec": {"containers": [{"name": "c", "image": "i:1"}]},
        }
        cluster.admin("POST", f"/api/v1/namespaces/{NAMESPACE}/pods", copy.deepcopy(pod), "application/json")
    for query in ("labelSelector=serving.kserve.io/inferenceservice=one", "fieldSelector=metadata.name=one"):
        found = cluster.admin("GET", f"/api/v1/namespaces/{NAMESPACE}/pods?{query}")
        assert (found["kind"], [item["metadata"]["name"] for item in found["items"]]) == ("PodList", ["one"])


def test_what_is_no_valid_object_is_refused(cluster):
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": "none"}}
    with pytest.raises(urllib.error.HTTPError) as refused:
        cluster.admin("POST", f"/api/v1/namespaces/{NAMESPACE}/pods", pod, "application/json")
    assert failure(refused.value)["reason"] == "Invalid"
    with pytest.raises(urllib.error.HTTPError, match="500"):
        apply(cluster, service(storageURI="x"))
    with pytest.raises(urllib.error.HTTPError) as refused:
        apply(cluster, service(canaryTrafficPercent=10) | {"metadata": {**service()["metadata"], "name": "Souk"}})
    assert "denied the request" in failure(refused.value)["message"]


@pytest.mark.parametrize(
    ("token", "path", "code", "reason"),
    [
        ("expired", SERVICES, 401, "Unauthorized"),
        ("nobody", SERVICES, 403, "Forbidden"),
        ("admin", f"{SERVICES}/none", 404, "NotFound"),
    ],
)
def test_refusals_are_status_objects(cluster, token, path, code, reason):
    request = urllib.request.Request(cluster.url + path, headers={"Authorization": f"Bearer {token}"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)
    status = failure(refused.value)
    assert (status["code"], status["reason"]) == (code, reason)
