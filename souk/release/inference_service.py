"""What an InferenceService has to say for a release to get its share of the requests: pure functions, no cluster.

KServe 0.21 splits traffic in two ways, and each mode silently ignores or refuses the other's:

- Standard (Deployments, Gateway API): `spec.canary[]`, a second predictor with a name and `trafficPercent`. Promotion
  gives the stable predictor the canary's name and model, and its pods go on serving.
- Knative (revisions): `predictor.canaryTrafficPercent` of the newest revision; the revision that last had all the
  traffic keeps the rest.

Labels and annotations of an InferenceService reach its pods, so none here changes with the release.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from souk.config import Rollout

GROUP, VERSION, PLURAL = "serving.kserve.io", "v1beta1", "inferenceservices"
MODES = {"standard": "Standard", "knative": "Knative"}
ENDING_SECONDS = 60  # 5 until no new call comes, 20 for those in flight, 15 for impressions; Kubernetes' own is 30
IMAGE_GROUP = 1000  # of the images' user, who writes impressions to the workspace


@dataclass(frozen=True)
class Traffic:
    """Who answers the requests of an InferenceService.

    Args:
        uri: storage URI of the predictor: in Standard mode of the stable release, in Knative mode of the newest.
        replicas: fewest and most servers of it; None where no most is given, in Knative mode as many as it takes.
        name: Standard mode, the predictor's name, part of its Deployment's; "" before the first promotion.
        percent: share of the canary; None where one release has all requests.
        canary: Standard mode, storage URI of the canary.
        canary_name: Standard mode, its predictor's name.
    """

    uri: str
    replicas: tuple[int, int | None] = (1, 1)
    name: str = ""
    percent: int | None = None
    canary: str = ""
    canary_name: str = ""

    @property
    def newest(self) -> str:
        """Storage URI of the release that came last."""
        return self.canary or self.uri


def storage_uri(rollout: Rollout, release: str) -> str:
    """Where KServe finds a release."""
    return f"{rollout.storage}/{release}"


def release_of(uri: str) -> str:
    """The release that lies at a storage URI."""
    return uri.rpartition("/")[2]


def releases_of(live: dict[str, Any] | None) -> list[str]:
    """The releases that an InferenceService of the cluster names, a canary included."""
    traffic = traffic_of(live) if live else None
    return [release_of(uri) for uri in (traffic.uri, traffic.canary) if uri] if traffic else []


def inference_service(rollout: Rollout, traffic: Traffic) -> dict[str, Any]:
    """The object to apply: every field that Souk manages, and no other."""
    predictor: dict[str, Any] = {
        "securityContext": {"fsGroup": IMAGE_GROUP},
        "minReplicas": traffic.replicas[0],
        "model": _model(rollout, traffic.uri),
    }
    if traffic.replicas[1]:
        predictor["maxReplicas"] = traffic.replicas[1]
    if rollout.mode == "standard":  # Knative refuses it, and gives a pod the time of its longest request
        predictor["terminationGracePeriodSeconds"] = ENDING_SECONDS
    if traffic.name:
        predictor["name"] = traffic.name
    spec: dict[str, Any] = {"predictor": predictor}
    if traffic.percent is not None and rollout.mode == "knative":
        predictor["canaryTrafficPercent"] = traffic.percent
    elif traffic.percent is not None:
        # Everything that is not here comes from the stable predictor. KServe derives the replicas from the percentage.
        canary = {"name": traffic.canary_name, "model": _model(rollout, traffic.canary)}
        spec["canary"] = [{"trafficPercent": traffic.percent, "predictor": canary}]
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "InferenceService",
        "metadata": {
            "name": rollout.name,
            "namespace": rollout.namespace,
            "annotations": {f"{GROUP}/deploymentMode": MODES[rollout.mode]},
        },
        "spec": spec,
    }


def _model(rollout: Rollout, uri: str) -> dict[str, Any]:
    return {
        "runtime": rollout.runtime,
        "modelFormat": {"name": "souk", "version": "1"},
        "protocolVersion": "v1",
        "storageUri": uri,
    }


def traffic_of(live: dict[str, Any]) -> Traffic | None:
    """Reads an InferenceService of the cluster; None where it has no model yet."""
    spec: dict[str, Any] = live.get("spec", {})
    predictor = spec.get("predictor", {})
    uri = predictor.get("model", {}).get("storageUri", "")
    if not uri:
        return None
    traffic = Traffic(
        uri=uri,
        replicas=(predictor.get("minReplicas", 1), predictor.get("maxReplicas") or None),
        name=predictor.get("name", ""),
        percent=predictor.get("canaryTrafficPercent"),
    )
    for canary in spec.get("canary", [])[:1]:
        other = canary["predictor"]
        traffic = replace(
            traffic,
            percent=canary.get("trafficPercent", 0),
            canary=other.get("model", {}).get("storageUri", ""),
            canary_name=other.get("name", ""),
        )
    return traffic


def stages(rollout: Rollout, release: str, percent: int, before: Traffic | None) -> list[Traffic]:
    """What to apply, one after the other; each is ready before the next is applied.

    Args:
        rollout: mode, storage and replicas; where it says none, they stay as they are.
        release: its name.
        percent: its share of the requests, 0 for all of them.
        before: what the cluster does now; None where it has no release, and then there is nothing to split with.

    Returns:
        One or two states; the last is the wanted one.
    """
    uri, replicas = storage_uri(rollout, release), rollout.replicas or (before.replicas if before else (1, 1))
    whole = Traffic(uri, replicas, name=before.name if before else "")
    if before is None:
        return [whole]
    if rollout.mode == "knative":
        return _knative_stages(whole, percent, before)
    if before.uri == uri:  # it has the rest of the traffic already: a canary of another release ends here
        return [whole]
    if percent:
        stable = replace(before, replicas=replicas)
        return [replace(stable, percent=percent, canary=uri, canary_name=_canary_name(release, before.name))]
    if before.canary == uri:
        # The old Deployment goes away with the promotion, so the canary has to be ready before it.
        return [before, replace(whole, name=before.canary_name)]
    return [whole]  # a rolling update of the same Deployment; under another name the old one would be deleted at once


def _knative_stages(whole: Traffic, percent: int, before: Traffic) -> list[Traffic]:
    if before.uri == whole.uri:
        if before.percent is None:
            return [whole]
        return [replace(whole, percent=percent)] if percent else [replace(whole, percent=before.percent), whole]
    last = replace(whole, percent=percent or None)
    if before.percent is None:
        return [last]
    # "Latest" is the newest revision that is ready: until this release is, any share would go to the canary before it.
    return [replace(whole, percent=0), last]


def _canary_name(release: str, stable: str) -> str:
    """The digest in the release's name; KServe wants another than the stable predictor's."""
    name = release.rpartition("-")[2]
    return name if name != stable else f"{name}-2"
