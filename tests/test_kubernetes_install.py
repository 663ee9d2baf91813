"""What an install may be given beside its values, and what it is told."""

import argparse
import importlib
import json
import re
import shlex
import subprocess

import pytest
import yaml

from components.images import image
from souk.cli import COMMANDS
from souk.config import Rollout
from souk.release.inference_service import IMAGE_GROUP
from tests.helm_chart import CHART, DRIFT, INSTALL, ROOT, helm_template, template
from tests.kubernetes_objects import problems
from tests.requirements import require


def serve_arguments(*words: str) -> argparse.Namespace:
    """What `souk serve` takes its arguments in the chart for."""
    container = template(*words)["ServingRuntime", "souk"]["spec"]["containers"][0]
    parser = argparse.ArgumentParser(exit_on_error=False)
    importlib.import_module(COMMANDS["serve"][0]).configure(parser)
    return parser.parse_args(container["args"][1:])


def test_further_flags_of_the_server_can_be_given() -> None:
    """They come last, so that one may also say otherwise."""
    plain = serve_arguments()
    assert (plain.log_format, plain.stale_hours) == ("json", 168)
    given = serve_arguments("--set", "recommender.args={--stale-hours=72,--user-cache-seconds=0,--log-format=text}")
    assert (given.stale_hours, given.user_cache_seconds, given.log_format) == (72, 0, "text")
    assert (given.host, given.release, given.drain_seconds) == ("0.0.0.0", "/mnt/models", 5)


def test_what_a_value_gives_is_no_further_flag() -> None:
    """All that the chart itself may write is refused among them; the format of logs alone may be said again."""
    full = "recommender.index=exact,recommender.milvusUri=http://m:1,recommender.redisUri=redis://r,"
    full += "recommender.tokenSecret=t,recommender.impressions={/workspace/impressions},recommender.kafkaSecret=k"
    runtime = template("--set", full)["ServingRuntime", "souk"]
    own = [word.partition("=")[0] for word in runtime["spec"]["containers"][0]["args"][1:]]
    assert len(own) == 13
    for flag in own:
        run = helm_template("--set", f"recommender.args={{{flag}=1}}")
        assert (run.returncode == 0) is (flag == "--log-format"), flag


@pytest.mark.parametrize("wrong", ["{stale-hours=72}", "{--stale-hours}", "{--stale-hours=}", "--stale-hours=72"])
def test_the_chart_refuses_what_is_no_flag_with_its_value(wrong: str) -> None:
    run = helm_template("--set", f"recommender.args={wrong}")
    assert run.returncode != 0
    assert "values don't meet the specifications of the schema" in run.stderr


def install(name: str, *words: str) -> str:
    """What helm prints of an install whose InferenceService is the deploy step's: its objects and the notes."""
    helm, own = require("helm", INSTALL), ("--dry-run=client", "--namespace", "n", "--set", "recommender.storageUri=")
    command = [helm, "install", name, str(CHART), *own, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("name", ["souk", "shop"])
def test_notes_name_the_claim_that_the_chart_makes(name: str) -> None:
    text = install(name)
    [command] = [line for line in text.splitlines() if "souk submit" in line]
    assert f"--volume-claim {name}-workspace " in command
    assert f"kind: PersistentVolumeClaim\nmetadata:\n  name: {name}-workspace\n" in text


@pytest.mark.parametrize("place", ["notes", "manifests"])
def test_a_pod_makes_the_fresh_volume_writable_for_the_steps(place: str) -> None:
    """They run in pods of Kubeflow Pipelines, which have no fsGroup; the kubelet makes the volume that of this pod."""
    name = "shop" if place == "notes" else "souk"
    text = install(name) if place == "notes" else (ROOT / "manifests/README.md").read_text("utf-8")
    [command] = re.findall(r"kubectl run .*?\}'", text, re.S)
    words = shlex.split(command)
    given = {word.partition("=")[0]: word.partition("=")[2] for word in words}
    spec = json.loads(given["--overrides"])["spec"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": words[2]}, "spec": spec}
    assert problems(pod) == []
    assert spec["securityContext"]["fsGroup"] == IMAGE_GROUP
    assert given["--pod-running-timeout"] == "30m"  # an image of gigabytes is pulled, and --rm deletes what is too late
    assert given["--labels"] == "sidecar.istio.io/inject=false"  # beside a proxy it would never end
    [volume], [container] = spec["volumes"], spec["containers"]
    assert volume["persistentVolumeClaim"]["claimName"] == words[2] == f"{name}-workspace"
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == container["command"][2:] == ["/workspace"]
    assert container["image"] == given["--image"] == (image("serve") if place == "notes" else "IMAGE")


@pytest.mark.parametrize(
    ("more", "replicas"), [(["--values", str(CHART / "values-production.yaml")], (3, 12)), ([], (1, 1))]
)
def test_notes_print_a_rollout_with_the_replicas_of_the_values(more: list[str], replicas: tuple[int, int]) -> None:
    [section] = re.findall(r"^  rollout: (\{.*?\})$", install("shop", *more), re.M | re.S)
    rollout = Rollout.model_validate(yaml.safe_load(section))
    assert (rollout.replicas, rollout.name, rollout.namespace) == (replicas, "shop", "n")


def test_what_a_prometheus_reads_has_the_labels_that_it_asks_for() -> None:
    """That of kube-prometheus-stack reads no other, and says nothing of those that it leaves."""
    on = (*DRIFT, "--set", "monitoring.enabled=true,monitoring.rules=true")
    kinds = ("ServiceMonitor", "PrometheusRule")
    labelled, plain = (
        {name: each["metadata"]["labels"] for name, each in template(*on, *more).items() if name[0] in kinds}
        for more in (("--set", "monitoring.labels.release=prom"), ())
    )
    assert len(labelled) == 3
    assert labelled == {name: {**labels, "release": "prom"} for name, labels in plain.items()}
    assert "kube-prometheus-stack wants monitoring.labels.release" in install("souk", *on)


def test_the_readme_names_every_template() -> None:
    text = (ROOT / "charts/README.md").read_text("utf-8")
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    assert [path.name for path in CHART.glob("templates/*.yaml") if not any(path.name in row for row in rows)] == []
