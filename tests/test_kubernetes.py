"""What a cluster is given is valid, and chart, manifests and kserve/ say the same."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from components.images import image
from souk.config import Rollout
from souk.release.inference_service import Traffic, inference_service, stages, traffic_of
from tests.helm_chart import DRIFT, FIRST, INSTALL, ROOT, by_name, template
from tests.kserve_webhook import refusal
from tests.kubernetes_objects import problems, read
from tests.requirements import require

STORIES = sorted((ROOT / "kserve").glob("*.yaml"))
RENDERED = [ROOT / "manifests/base/souk.yaml", *(ROOT / "manifests/overlays/production").glob("[ps]*.yaml")]
SECOND = "movielens_100k-ba9876543210"
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
@pytest.mark.parametrize("most", [3, None])
def test_what_is_applied_is_valid_and_can_be_read_back(mode: str, percent: int | None, most: int | None) -> None:
    rollout = Rollout.model_validate({"mode": mode})
    traffic = Traffic("pvc://a/b", (2, most), percent=percent)
    if mode == "standard" and percent is not None:
        traffic = Traffic("pvc://a/b", (2, most), "one", percent, "pvc://a/c", "two")
    document = inference_service(rollout, traffic)
    assert problems(document) == []
    assert refusal(document, None) == ""
    assert traffic_of(document) == traffic


def test_the_image_has_the_name_that_the_pipeline_knows() -> None:
    [runtime] = read((ROOT / "kserve/servingruntime.yaml").read_text("utf-8"))
    assert runtime["spec"]["containers"][0]["image"] == image("serve")


def test_the_drift_story_is_what_the_chart_renders() -> None:
    rendered = template(*DRIFT)
    detector, recommender = read((ROOT / "kserve/drift.yaml").read_text("utf-8"))
    expected = rendered["InferenceService", "souk-drift"]
    for container in expected["spec"]["predictor"]["containers"]:
        del container["imagePullPolicy"]
    assert detector["metadata"]["name"] == expected["metadata"]["name"]
    assert detector["metadata"]["annotations"] == expected["metadata"]["annotations"]
    assert detector["spec"] == expected["spec"]
    assert recommender["metadata"] == {"name": "souk"}
    logger = rendered["InferenceService", "souk"]["spec"]["predictor"]["logger"]
    assert recommender["spec"] == {"predictor": {"logger": logger}}  # what the deploy step does not manage


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


def test_the_base_is_the_chart() -> None:
    assert by_name(RENDERED[0].read_text("utf-8")) == template()


@pytest.mark.parametrize("overlay", ["local", "production"])
def test_an_overlay_is_the_chart_with_the_values_of_its_name(overlay: str) -> None:
    kubectl = require("kubectl", INSTALL)
    built = subprocess.run(
        [kubectl, "kustomize", ROOT / "manifests/overlays" / overlay], check=True, capture_output=True, text=True
    )
    assert by_name(built.stdout) == template("--values", str(ROOT / f"charts/souk/values-{overlay}.yaml"))


def test_an_overlay_of_ones_own_is_the_chart_without_a_release_and_with_one(tmp_path: Path) -> None:
    """As the README of manifests/ writes it: its default names a release that nobody has."""
    kubectl = require("kubectl", INSTALL)
    shutil.copytree(ROOT / "manifests", tmp_path, dirs_exist_ok=True)
    without, named = re.findall(r"```yaml\n(.*?)```", (tmp_path / "README.md").read_text("utf-8"), re.S)
    mine = tmp_path / "overlays/mine"
    mine.mkdir()
    for text, uri in (
        (without, ""),
        (without.replace("      $patch: delete\n", named), "pvc://souk-workspace/releases/NAME"),
    ):
        (mine / "kustomization.yaml").write_text(text)
        built = subprocess.run([kubectl, "kustomize", mine], check=True, capture_output=True, text=True)
        values = ("--values", str(ROOT / "charts/souk/values-local.yaml"), "--set", f"recommender.storageUri={uri}")
        assert by_name(built.stdout) == template(*values)
