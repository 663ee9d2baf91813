"""What a cluster is given is valid, and chart, manifests and kserve/ say the same."""

import argparse
import importlib
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.images import image
from souk.cli import COMMANDS
from tests.kubernetes_objects import problems, read
from tests.requirements import require

ROOT = Path(__file__).parents[1]
STORIES = sorted((ROOT / "kserve").glob("*.yaml"))
RENDERED = [ROOT / "manifests/base/souk.yaml", ROOT / "manifests/overlays/production/servicemonitor.yaml"]
INSTALL = "make tools"


@pytest.mark.parametrize("path", [*STORIES, *RENDERED], ids=lambda path: str(path.relative_to(ROOT)))
def test_every_object_is_valid(path: Path) -> None:
    documents = read(path.read_text("utf-8"))
    assert documents
    assert [problem for document in documents for problem in problems(document)] == []


def test_an_unknown_field_is_found() -> None:
    [service] = read((ROOT / "kserve/default.yaml").read_text("utf-8"))
    service["spec"]["predictor"]["model"]["storageURI"] = "pvc://x"
    service["spec"]["predictor"]["minReplicas"] = "one"
    assert problems(service) == [
        "InferenceService.spec.predictor.minReplicas: expected int, received 'one'",
        "InferenceService.spec.predictor.model.storageURI: no such field in V1beta1ModelSpec",
    ]


def test_a_wrong_field_of_a_native_object_is_found() -> None:
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "a", "label": {}}}
    assert len(problems(account)) == 1


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.name)
def test_the_stories_say_what_the_chart_says(path: Path) -> None:
    chart = by_name(RENDERED[0].read_text("utf-8"))
    for story in read(path.read_text("utf-8")):
        rendered = chart[story["kind"], story["metadata"]["name"]]
        for container in rendered["spec"].get("containers", []):
            container.pop("imagePullPolicy")
        assert story["spec"] == rendered["spec"]


def test_the_image_has_the_name_that_the_pipeline_knows() -> None:
    [runtime] = read((ROOT / "kserve/servingruntime.yaml").read_text("utf-8"))
    assert runtime["spec"]["containers"][0]["image"] == image("serve")


@pytest.mark.parametrize("milvus", ["", "http://milvus:19530"])
def test_the_server_takes_the_arguments_that_it_is_given(milvus: str) -> None:
    runtime = template("--set", f"recommender.milvusUri={milvus}")["ServingRuntime", "souk"]
    command, *words = runtime["spec"]["containers"][0]["args"]
    module = importlib.import_module(COMMANDS[command][0])
    parser = argparse.ArgumentParser(exit_on_error=False)
    module.configure(parser)
    arguments = parser.parse_args(words)
    assert (arguments.host, arguments.release) == ("0.0.0.0", "/mnt/models")


def test_the_chart_passes_lint() -> None:
    helm = require("helm", INSTALL)
    subprocess.run([helm, "lint", "--strict", ROOT / "charts/souk"], check=True, capture_output=True)


def test_the_chart_refuses_an_unknown_setting() -> None:
    helm = require("helm", INSTALL)
    run = subprocess.run(
        [helm, "template", "souk", ROOT / "charts/souk", "--set", "recommender.replicas=2"],
        capture_output=True,
        text=True,
    )
    assert run.returncode != 0
    assert "replicas" in run.stderr


def test_the_chart_carries_a_dataset_config_unchanged() -> None:
    config = ROOT / "charts/souk/values-local.yaml"  # any YAML file
    rendered = template("--set-file", f"dataset.config={config}")
    assert rendered["ConfigMap", "souk-dataset"]["data"]["movielens_100k.yaml"] == config.read_text("utf-8")


def test_without_a_release_the_chart_has_no_inference_service() -> None:
    assert "InferenceService" not in {kind for kind, _ in template("--set", "recommender.storageUri=")}


def test_the_base_is_the_chart() -> None:
    assert by_name(RENDERED[0].read_text("utf-8")) == template()


@pytest.mark.parametrize("overlay", ["local", "production"])
def test_an_overlay_is_the_chart_with_the_values_of_its_name(overlay: str) -> None:
    kubectl = require("kubectl", INSTALL)
    built = subprocess.run(
        [kubectl, "kustomize", ROOT / "manifests/overlays" / overlay], check=True, capture_output=True, text=True
    )
    assert by_name(built.stdout) == template("--values", str(ROOT / f"charts/souk/values-{overlay}.yaml"))


def template(*arguments: str) -> dict[tuple[str, str], dict[str, Any]]:
    """The objects of the chart, rendered by helm."""
    helm = require("helm", INSTALL)
    command = [helm, "template", "souk", str(ROOT / "charts/souk"), "--namespace", "souk", *arguments]
    return by_name(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def by_name(text: str) -> dict[tuple[str, str], dict[str, Any]]:
    return {(document["kind"], document["metadata"]["name"]): document for document in read(text)}


def test_the_chart_has_no_dependencies() -> None:
    chart = yaml.safe_load((ROOT / "charts/souk/Chart.yaml").read_text("utf-8"))
    assert "dependencies" not in chart
