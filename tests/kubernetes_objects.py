"""Strict reading of Kubernetes objects: KServe's against the models of its Python package, the rest against schemas."""

import re
from collections.abc import Iterator
from typing import Any

import kserve.models
import kubernetes.client
import kubernetes_validate
import yaml

KSERVE_MODELS = {
    "InferenceService": "V1beta1InferenceService",
    "ServingRuntime": "V1alpha1ServingRuntime",
    "ClusterServingRuntime": "V1alpha1ClusterServingRuntime",
}
SCALARS: dict[str, type | tuple[type, ...]] = {"str": str, "int": int, "bool": bool, "float": (int, float)}


def read(text: str) -> list[dict[str, Any]]:
    """The objects of a YAML stream."""
    return [document for document in yaml.safe_load_all(text) if document]


def problems(document: dict[str, Any]) -> list[str]:
    """What is wrong with one object: unknown fields and, for Kubernetes' own kinds, every violation of the schema."""
    group = document["apiVersion"].partition("/")[0]
    if group == "serving.kserve.io":
        return list(_unknown_fields(document, KSERVE_MODELS[document["kind"]], document["kind"]))
    if "." in group and not group.endswith(".k8s.io"):
        return []  # an object of some operator, whose schema is not at hand
    try:
        kubernetes_validate.validate(document, "1.31", strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"{document['kind']}.{'.'.join(map(str, error.path))}: {error.message}"]
    return []


def _unknown_fields(value: Any, type_name: str, path: str) -> Iterator[str]:
    """Walks `value` along the OpenAPI types of the generated models; yields the path of every field they lack."""
    inner = re.fullmatch(r"(list\[|dict\(str, )(.+)[\])]", type_name)
    if inner:
        members = value.items() if isinstance(value, dict) else enumerate(value)
        for key, member in members:
            yield from _unknown_fields(member, inner.group(2), f"{path}.{key}")
        return
    model = getattr(kserve.models, type_name, None) or getattr(kubernetes.client, type_name, None)
    if model is None:
        expected = SCALARS.get(type_name)
        if expected and not isinstance(value, expected):
            yield f"{path}: expected {type_name}, received {value!r}"
        return
    if not isinstance(value, dict):
        yield f"{path}: expected {type_name}, received {value!r}"
        return
    types = {json: model.openapi_types[name] for name, json in model.attribute_map.items()}
    for key, member in value.items():
        if key in types:
            yield from _unknown_fields(member, types[key], f"{path}.{key}")
        else:
            yield f"{path}.{key}: no such field in {type_name}"
