"""What a cluster is given is valid, and chart, manifests and kserve/ say the same."""

import argparse
import importlib
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

import souk.drift.cli
from components.images import image
from souk.cli import COMMANDS
from souk.config import Rollout
from souk.release.inference_service import Traffic, inference_service, stages, traffic_of
from tests.kserve_webhook import refusal
from tests.kubernetes_objects import problems, read
from tests.requirements import require

ROOT = Path(__file__).parents[1]
STORIES = sorted((ROOT / "kserve").glob("*.yaml"))
RENDERED = [ROOT / "manifests/base/souk.yaml", *(ROOT / "manifests/overlays/production").glob("[ps]*.yaml")]
INSTALL = "make tools"
FIRST, SECOND = "movielens_100k-0123456789ab", "movielens_100k-ba9876543210"
# What the deploy step would apply for a story: the mode, and the deploys (release, percent) that lead to it, of which
# the last one's first object is meant.
DEPLOYS = {
    "default": ("standard", [(FIRST, 0)]),
    "canary-standard": ("standard", [(FIRST, 0), (SECOND, 10)]),
    "promotion-standard": ("standard", [(FIRST, 0), (SECOND, 10), (SECOND, 0)]),
    "rollback-standard": ("standard", [(FIRST, 0), (SECOND, 10), (SECOND, 0), (FIRST, 0)]),
    "canary-knative": ("knative", [(FIRST, 0), (SECOND, 10)]),
    "promotion-knative": ("knative", [(FIRST, 0), (SECOND, 10), (SECOND, 0)]),
    "rollback-knative": ("knative", [(FIRST, 0), (SECOND, 10), (FIRST, 0)]),
}
DRIFT = ("--set", "drift.enabled=true", "--set", f"drift.release={FIRST}")


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


@pytest.mark.parametrize("story", ["default", "servingruntime"])
def test_the_stories_of_an_install_say_what_the_chart_says(story: str) -> None:
    chart = by_name(RENDERED[0].read_text("utf-8"))
    [document] = read((ROOT / f"kserve/{story}.yaml").read_text("utf-8"))
    rendered = chart[document["kind"], document["metadata"]["name"]]
    for container in rendered["spec"].get("containers", []):
        container.pop("imagePullPolicy")
    assert document["spec"] == rendered["spec"]


@pytest.mark.parametrize("story", DEPLOYS)
def test_the_stories_of_a_rollout_say_what_the_deploy_step_applies(story: str) -> None:
    mode, deploys = DEPLOYS[story]
    rollout = Rollout.model_validate({"target": "inference_service", "mode": mode})
    before = None
    for release, percent in deploys:
        applied = stages(rollout, release, percent, before)
        # A promotion first waits for the canary, which stays as it is; the story tells what comes then.
        shown = applied[-1] if applied[0] == before else applied[0]
        before = applied[-1]
    expected = inference_service(rollout, shown)
    del expected["metadata"]["namespace"]  # kubectl apply -n
    assert read((ROOT / f"kserve/{story}.yaml").read_text("utf-8")) == [expected]


def test_every_story_is_compared_and_told() -> None:
    compared = {"servingruntime", "drift", *DEPLOYS}
    readme = (ROOT / "kserve/README.md").read_text("utf-8")
    for path in STORIES:
        assert path.stem in compared
        assert f"| `{path.name}` |" in readme
        head = path.read_text("utf-8").split("apiVersion")[0]
        assert all(f"# {word}:" in head for word in ("When", "Command", "You see")), path


@pytest.mark.parametrize("mode", ["standard", "knative"])
@pytest.mark.parametrize("percent", [None, 0, 10])
def test_what_is_applied_is_valid_and_can_be_read_back(mode: str, percent: int | None) -> None:
    rollout = Rollout.model_validate({"mode": mode, "min_replicas": 2, "max_replicas": 3})
    traffic = Traffic("pvc://a/b", (2, 3), percent=percent)
    if mode == "standard" and percent is not None:
        traffic = Traffic("pvc://a/b", (2, 3), "one", percent, "pvc://a/c", "two")
    document = inference_service(rollout, traffic)
    assert problems(document) == []
    assert refusal(document, None) == ""
    assert traffic_of(document) == traffic


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


@pytest.mark.parametrize(
    "arguments", [(), ("--values", "values-local.yaml"), ("--values", "values-production.yaml"), DRIFT]
)
def test_the_chart_passes_lint(arguments: tuple[str, ...]) -> None:
    helm = require("helm", INSTALL)
    command = [helm, "lint", "--strict", ".", *arguments]
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT / "charts/souk")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--values", str(ROOT / "charts/souk/values-local.yaml")),
        ("--values", str(ROOT / "charts/souk/values-production.yaml")),
        DRIFT,
        ("--set", "recommender.mode=knative"),
        ("--set", "recommender.env[0].name=A", "--set", "recommender.env[0].value=b"),
        ("--set", "recommender.storageUri="),
    ],
    ids=str,
)
def test_what_the_chart_renders_is_valid(arguments: tuple[str, ...]) -> None:
    rendered = template(*arguments)
    assert [problem for document in rendered.values() for problem in problems(document)] == []
    services = [document for (kind, _), document in rendered.items() if kind == "InferenceService"]
    assert [refusal(service, None) for service in services] == [""] * len(services)


@pytest.mark.parametrize(
    "wrong",
    [
        "recommender.replicas=2",
        "recommender.mode=serverless",
        "recommender.storageUri=/releases",
        "recommender.resources.request.cpu=1",
        "recommender.env[0].nam=A",
        "image.serve=souk-serve:latest",
        "image.serv=x:1",
        "drift.enable=true",
        "drift.release=current",
        "workspace.size=much",
        "monitoring.interval=15",
        "pipeline.account=x",
        "rollout=x",
    ],
)
def test_the_chart_refuses_an_unknown_or_wrong_setting(wrong: str) -> None:
    run = helm_template("--set", wrong)
    assert run.returncode != 0
    assert "values don't meet the specifications of the schema" in run.stderr


def test_drift_wants_a_release_to_compare_with() -> None:
    run = helm_template("--set", "drift.enabled=true")
    assert run.returncode != 0
    assert "drift.release: the name of the release to compare with" in run.stderr


def test_the_logger_sends_to_the_drift_detector() -> None:
    rendered = template(*DRIFT)
    detector = rendered["InferenceService", "souk-drift"]
    url = rendered["InferenceService", "souk"]["spec"]["predictor"]["logger"]["url"]
    # KServe's service of a predictor in Standard mode is <name>-predictor; the model has the name of souk-drift serve.
    assert url == "http://souk-drift-predictor.souk.svc.cluster.local/v1/models/souk-drift:predict"
    assert detector["spec"]["predictor"]["containers"][0]["image"] == image("drift")
    assert "logger" not in template()["InferenceService", "souk"]["spec"]["predictor"]


def test_the_drift_story_is_what_the_chart_renders() -> None:
    rendered = template(*DRIFT)
    detector, recommender = read((ROOT / "kserve/drift.yaml").read_text("utf-8"))
    expected = rendered["InferenceService", "souk-drift"]
    for container in expected["spec"]["predictor"]["containers"]:
        del container["imagePullPolicy"]
    assert detector["spec"] == expected["spec"]
    logger = rendered["InferenceService", "souk"]["spec"]["predictor"]["logger"]
    assert recommender["spec"] == {"predictor": {"logger": logger}}  # what the deploy step does not manage


def test_the_detector_takes_the_arguments_that_it_is_given() -> None:
    [container] = template(*DRIFT)["InferenceService", "souk-drift"]["spec"]["predictor"]["containers"]
    arguments = souk.drift.cli.parser().parse_args(container["args"])
    assert (arguments.host, arguments.http_port, arguments.model_name) == ("0.0.0.0", 8080, "souk-drift")
    assert arguments.release == f"/workspace/releases/{FIRST}"


def test_the_role_is_what_the_deploy_step_needs_and_no_more() -> None:
    rules = template()["Role", "souk-pipeline"]["rules"]
    allowed = {(resource, verb) for rule in rules for resource in rule["resources"] for verb in rule["verbs"]}
    services = {("inferenceservices", verb) for verb in ("get", "list", "watch", "create", "patch")}
    assert allowed == services | {(resource, verb) for resource in ("pods", "events") for verb in ("get", "list")}


def test_several_servers_have_a_disruption_budget() -> None:
    assert ("PodDisruptionBudget", "souk") not in template()
    budget = template("--set", "recommender.minReplicas=2")["PodDisruptionBudget", "souk"]
    assert budget["spec"]["maxUnavailable"] == 1


def test_notes_tell_who_owns_the_service() -> None:
    helm = require("helm", INSTALL)
    command = [helm, "install", "souk", str(ROOT / "charts/souk"), "--dry-run=client", "--namespace", "souk"]
    for uri, words in (("pvc://a/b", "The chart owns the InferenceService"), ("", "target: inference_service")):
        run = subprocess.run(
            [*command, "--set", f"recommender.storageUri={uri}"], capture_output=True, text=True, check=False
        )
        assert words in run.stdout, run.stderr


def test_without_helm_make_says_what_to_do_and_writes_nothing(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "manifests/base").mkdir(parents=True)
    make = require("make", "apt-get install make")
    run = subprocess.run(
        [make, "manifests"], cwd=tmp_path, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False
    )
    assert run.returncode != 0
    assert "Expected helm, to render charts/souk. Received: none on PATH. Run make tools" in run.stderr
    assert not list((tmp_path / "manifests/base").iterdir())


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


def helm_template(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What helm says to values that may be wrong."""
    helm = require("helm", INSTALL)
    command = [helm, "template", "souk", str(ROOT / "charts/souk"), "--namespace", "souk", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def by_name(text: str) -> dict[tuple[str, str], dict[str, Any]]:
    return {(document["kind"], document["metadata"]["name"]): document for document in read(text)}


def test_the_chart_has_no_dependencies() -> None:
    chart = yaml.safe_load((ROOT / "charts/souk/Chart.yaml").read_text("utf-8"))
    assert "dependencies" not in chart
