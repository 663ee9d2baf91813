"""What KServe 0.21's validating webhook refuses of an InferenceService, in its words.

From the cases of pkg/apis/serving/v1beta1/inference_service_validation_test.go of kserve/kserve.
"""

from __future__ import annotations

import re
from typing import Any

NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
MODE = "serving.kserve.io/deploymentMode"


def refusal(service: dict[str, Any], before: dict[str, Any] | None) -> str:
    """Why the webhook refuses the object; empty where it does not.

    Args:
        service: as it would be.
        before: as it is, for an update.
    """
    spec = service["spec"]
    predictor, canaries = spec["predictor"], spec.get("canary", [])
    mode = service["metadata"].get("annotations", {}).get(MODE, "Knative")
    names = [canary["predictor"].get("name", "") for canary in canaries]
    fewest = predictor.get("minReplicas", 1)
    rules = [
        (not NAME.fullmatch(service["metadata"]["name"]), "the InferenceService name is invalid"),
        (predictor.get("model", {}).get("name"), "the 'name' field is not allowed in standard predictor"),
        (
            predictor.get("maxReplicas") and predictor["maxReplicas"] < fewest,
            "MaxReplicas cannot be less than MinReplicas",
        ),
        (canaries and mode != "Standard", "canary is only supported in Standard deployment mode"),
        (canaries and "canaryTrafficPercent" in predictor, "canary and canaryTrafficPercent are mutually exclusive"),
        (canaries and "model" not in predictor, "canary requires a stable predictor with a model"),
        ("" in names, "predictor.name is required"),
        (len(set(names)) < len(names), "predictor.name is duplicated"),
        (names and predictor.get("name") in names, "predictor.name conflicts with stable"),
        (sum(canary.get("trafficPercent", 0) for canary in canaries) > 100, "trafficPercent must be <= 100"),
    ]
    for canary in canaries:
        rules += [
            (key in canary["predictor"], f"canary must not set {key}")
            for key in ("maxReplicas", "scaleTarget", "scaleMetric", "autoScaling", "workerSpec")
        ]
        rules.append((canary["predictor"].get("minReplicas", 0) > fewest, "canary minReplicas must not exceed stable"))
    if before:
        old = before["spec"]["predictor"]
        same_model = old.get("model", {}).get("storageUri") == predictor.get("model", {}).get("storageUri")
        renamed = old.get("name") != predictor.get("name")
        running = before.get("status", {}).get("deploymentMode")
        rules += [
            (renamed and same_model, "predictor.name change requires a model change"),
            (running and running != mode, f"deploymentMode cannot be changed from '{running}' to '{mode}'"),
        ]
    return next((why for broken, why in rules if broken), "")
