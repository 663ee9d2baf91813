"""What the chart takes, refuses, renders and says."""

import argparse
import importlib
import re
import subprocess
from typing import Any

import pytest
import yaml

import souk.drift.cli
from components.images import image
from souk.cli import COMMANDS
from souk.serving.protocol.token import FREE_PATHS
from tests.helm_chart import CHART, DRIFT, FIRST, INSTALL, helm_template, template
from tests.kserve_webhook import refusal
from tests.kubernetes_objects import problems
from tests.requirements import require


@pytest.mark.parametrize(
    ("milvus", "redis", "index"), [("", "", "auto"), ("http://milvus:19530", "redis://redis:6379/2", "exact")]
)
def test_the_server_takes_the_arguments_that_it_is_given(milvus: str, redis: str, index: str) -> None:
    given = f"recommender.milvusUri={milvus},recommender.redisUri={redis},recommender.index={index}"
    runtime = template("--set", given)["ServingRuntime", "souk"]
    command, *words = runtime["spec"]["containers"][0]["args"]
    module = importlib.import_module(COMMANDS[command][0])
    parser = argparse.ArgumentParser(exit_on_error=False)
    module.configure(parser)
    arguments = parser.parse_args(words)
    assert (arguments.host, arguments.release) == ("0.0.0.0", "/mnt/models")
    assert (arguments.milvus_uri, arguments.redis_uri or "", arguments.index) == (milvus, redis, index)


def test_a_secret_of_tokens_is_mounted_and_asked_for() -> None:
    runtime = template("--set", "recommender.tokenSecret=souk-token")["ServingRuntime", "souk"]
    container = runtime["spec"]["containers"][0]
    (mount,) = [mount for mount in container["volumeMounts"] if mount["name"] == "token"]
    assert f"--token-file={mount['mountPath']}/token" in container["args"] and mount["readOnly"] is True
    (volume,) = [volume for volume in runtime["spec"]["volumes"] if volume["name"] == "token"]
    assert volume["secret"] == {"secretName": "souk-token"}
    assert "token" not in str(template()["ServingRuntime", "souk"])
    assert container["readinessProbe"]["httpGet"]["path"] in FREE_PATHS


KEEP = ("helm.sh/resource-policy", "keep")
PLACES = ("s3://bucket/impressions", "kafka://broker-1:9092,broker-2:9092/impressions")


def test_impressions_go_where_the_values_say() -> None:
    escaped = ",".join(place.replace(",", r"\,") for place in PLACES)
    given = f"recommender.impressions={{{escaped}}},recommender.kafkaSecret=souk-kafka"
    runtime = template("--set", given)["ServingRuntime", "souk"]
    container = runtime["spec"]["containers"][0]
    parser = argparse.ArgumentParser(exit_on_error=False)
    importlib.import_module(COMMANDS["serve"][0]).configure(parser)
    arguments = parser.parse_args(container["args"][1:])
    assert arguments.impressions == list(PLACES)
    (mount,) = [mount for mount in container["volumeMounts"] if mount["name"] == "kafka"]
    assert arguments.kafka_config == f"{mount['mountPath']}/properties" and mount["readOnly"] is True
    (volume,) = [volume for volume in runtime["spec"]["volumes"] if volume["name"] == "kafka"]
    assert volume["secret"] == {"secretName": "souk-kafka"}
    assert not {"impressions", "kafka"} & set(re.findall("[a-z]+", str(template()["ServingRuntime", "souk"])))


def containers(part: Any) -> list[dict[str, Any]]:
    """All containers in an object, or a part of one."""
    if isinstance(part, list):
        return [each for own in part for each in containers(own)]
    if not isinstance(part, dict):
        return []
    own = [each for key in ("containers", "initContainers") for each in part.get(key) or []]
    return own + [each for value in part.values() for each in containers(value)]


def test_every_container_runs_as_nobody_and_writes_nowhere_else() -> None:
    objects = template(*DRIFT)
    found = {name: own for name, each in objects.items() if (own := containers(each))}
    assert found.keys() == {("ServingRuntime", "souk"), ("InferenceService", "souk-drift")}
    for context in (each["securityContext"] for own in found.values() for each in own):
        assert context["runAsNonRoot"] is context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False and context["capabilities"] == {"drop": ["ALL"]}
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}


@pytest.mark.parametrize(
    "arguments", [(), ("--values", "values-local.yaml"), ("--values", "values-production.yaml"), DRIFT]
)
def test_the_chart_passes_lint(arguments: tuple[str, ...]) -> None:
    helm = require("helm", INSTALL)
    command = [helm, "lint", "--strict", ".", *arguments]
    subprocess.run(command, check=True, capture_output=True, cwd=CHART)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--values", str(CHART / "values-local.yaml")),
        ("--values", str(CHART / "values-production.yaml")),
        DRIFT,
        (*DRIFT, "--set", "drift.onAlarmSecret=souk-hook,monitoring.enabled=true"),
        ("--set", "recommender.mode=knative"),
        ("--set", "recommender.env[0].name=A", "--set", "recommender.env[0].value=b"),
        ("--set", "recommender.storageUri="),
        ("--set", "recommender.tokenSecret=souk-token"),
        ("--set", "recommender.impressions={/workspace/impressions},recommender.kafkaSecret=souk-kafka"),
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
        "recommender.impressions={kafka://broker/topic}",
        "recommender.impressions={impressions}",
        "recommender.impressions={/impressions}",  # nothing else than the workspace can be written
        "recommender.impressions={/tmp/impressions}",  # or stays
        "recommender.impressions=s3://bucket",
        "image.serve=souk-serve:latest",
        "image.serv=x:1",
        "drift.enable=true",
        "drift.release=current",
        "drift.onAlarmSecret=https://hooks.example/x",
        "workspace.size=much",
        "workspace.accessMode=ReadWriteOncePod",
        "monitoring.interval=15",
        "pipeline.account=x",
        "dataset.config=x",
        "rollout=x",
    ],
)
def test_the_chart_refuses_an_unknown_or_wrong_setting(wrong: str) -> None:
    run = helm_template("--set", wrong)
    assert run.returncode != 0
    assert "values don't meet the specifications of the schema" in run.stderr


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("minReplicas=2", "recommender.minReplicas 2 is above recommender.maxReplicas 1"),
        ("index=milvus,recommender.maxReplicas=2", "recommender.milvusUri: several servers with index milvus need a"),
        ("maxReplicas=2", "recommender.redisUri: several servers need a Redis"),
    ],
)
def test_the_chart_refuses_servers_that_cannot_be(value: str, told: str) -> None:
    run = helm_template("--set", f"recommender.{value}")
    assert run.returncode != 0
    assert told in run.stderr


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


def test_the_detector_takes_the_arguments_that_it_is_given() -> None:
    [container] = template(*DRIFT)["InferenceService", "souk-drift"]["spec"]["predictor"]["containers"]
    arguments = souk.drift.cli.parser().parse_args(container["args"])
    assert (arguments.host, arguments.http_port, arguments.model_name) == ("0.0.0.0", 8080, "souk-drift")
    assert arguments.release == f"/workspace/releases/{FIRST}"


def test_a_change_stops_the_detector_before_it_starts_the_next() -> None:
    predictor = template(*DRIFT)["InferenceService", "souk-drift"]["spec"]["predictor"]
    assert (predictor["minReplicas"], predictor["maxReplicas"]) == (1, 1)
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
    assert predictor["deploymentStrategy"] == rolling


def test_the_detector_calls_the_address_of_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    def variables(*more: str) -> dict[str, Any]:
        [container] = template(*DRIFT, *more)["InferenceService", "souk-drift"]["spec"]["predictor"]["containers"]
        return {each["name"]: each.get("valueFrom") for each in container["env"]}

    given = variables("--set", "drift.onAlarmSecret=souk-hook")
    assert given[souk.drift.cli.ON_ALARM] == {"secretKeyRef": {"name": "souk-hook", "key": "url"}}
    assert souk.drift.cli.ON_ALARM not in variables()
    words = ["serve", "--release", "r", "--state", "s"]
    assert souk.drift.cli.parser().parse_args(words).on_alarm == ""
    monkeypatch.setenv(souk.drift.cli.ON_ALARM, "https://hooks.example/x\n")
    assert souk.drift.cli.parser().parse_args(words).on_alarm == "https://hooks.example/x"


def test_every_server_is_scraped_where_metrics_are_collected() -> None:
    def scraped(*more: str) -> dict[str, dict[str, str]]:
        rendered = template(*more, "--set", "monitoring.enabled=true")
        monitors = {name: each["spec"] for (kind, name), each in rendered.items() if kind == "ServiceMonitor"}
        assert {endpoint["targetPort"] for each in monitors.values() for endpoint in each["endpoints"]} == {8080}
        return {name: each["selector"]["matchLabels"] for name, each in monitors.items()}

    label = "serving.kserve.io/inferenceservice"  # of the Service that KServe makes
    assert scraped() == {"souk": {label: "souk"}}
    assert scraped(*DRIFT) == {name: {label: name} for name in ("souk", "souk-drift")}


def test_the_role_is_what_the_deploy_step_needs_and_no_more() -> None:
    rules = template()["Role", "souk-pipeline"]["rules"]
    allowed = {(resource, verb) for rule in rules for resource in rule["resources"] for verb in rule["verbs"]}
    services = {("inferenceservices", verb) for verb in ("get", "create", "patch")}
    assert allowed == services | {(resource, verb) for resource in ("pods", "events") for verb in ("get", "list")}


@pytest.mark.parametrize("account", ["", "default-editor"])
def test_the_role_is_bound_to_the_account_of_kubeflow_pipelines(account: str) -> None:
    """Whose own Role is called pipeline-runner too; an account of ours would lack what Argo and the launcher need."""
    more = ("--set", f"pipeline.serviceAccount={account}") if account else ()
    rendered = template("--namespace", "kubeflow", *more)
    [binding] = [each for (kind, _), each in rendered.items() if kind == "RoleBinding"]
    own = {"kind": "ServiceAccount", "name": account or "pipeline-runner", "namespace": "kubeflow"}
    assert (binding["subjects"], binding["roleRef"]["name"]) == ([own], "souk-pipeline")
    assert ("Role", "souk-pipeline") in rendered
    assert "ServiceAccount" not in {kind for kind, _ in rendered}


def test_a_server_that_stands_still_is_started_anew() -> None:
    """By a call that asks for no token and no store; and a server that reads a large release is left alone."""
    for container in containers(list(template(*DRIFT).values())):
        live, begun = container["livenessProbe"], container["startupProbe"]
        assert begun["httpGet"] == live["httpGet"] and live["httpGet"]["path"] in FREE_PATHS
        assert live["httpGet"] != container.get("readinessProbe", {}).get("httpGet")
        assert live["periodSeconds"] * live["failureThreshold"] >= 60
        assert begun["periodSeconds"] * begun["failureThreshold"] >= 3600


def test_several_servers_have_a_disruption_budget() -> None:
    assert ("PodDisruptionBudget", "souk") not in template()
    budget = template("--values", str(CHART / "values-production.yaml"))["PodDisruptionBudget", "souk"]
    assert budget["spec"]["maxUnavailable"] == 1


def test_notes_tell_who_owns_the_service() -> None:
    helm = require("helm", INSTALL)
    command = [helm, "install", "souk", str(CHART), "--dry-run=client", "--namespace", "souk"]
    for uri, *told in (
        ("pvc://a/b", "The chart owns the InferenceService"),
        (
            "",
            "--service-account pipeline-runner",
            "in this namespace, souk",
            "target: inference_service",
            "also to be recommender.milvusUri",
            "The logger is not there yet",
        ),
    ):
        run = subprocess.run(
            [*command, *DRIFT, "--set", f"recommender.storageUri={uri}"], capture_output=True, text=True, check=False
        )
        assert [words for words in told if words not in run.stdout] == [], run.stderr
        assert ("The logger is not there yet" in run.stdout) is (not uri)


def test_whatever_the_chart_keeps_for_others_is_read_by_somebody() -> None:
    """A ConfigMap that nothing mounts looks as if an upgrade with another one changed something."""
    rendered = template(*DRIFT, "--set", "monitoring.rules=true,monitoring.dashboard=true")
    kept = {name: each for (kind, name), each in rendered.items() if kind in ("ConfigMap", "Secret")}
    readers = str([each.get("spec") for each in rendered.values()])
    unread = [name for name in kept if name not in readers]
    assert [name for name in unread if "grafana_dashboard" not in kept[name]["metadata"]["labels"]] == []
    assert unread == ["souk-dashboard"]


def test_without_a_release_the_chart_has_no_inference_service() -> None:
    assert "InferenceService" not in {kind for kind, _ in template("--set", "recommender.storageUri=")}


def test_helm_deletes_no_service_that_answers() -> None:
    """An upgrade with an empty `storageUri` leaves it to the deploy step."""
    rendered = template(*DRIFT)
    kept = {name for name, each in rendered.items() if KEEP in (each["metadata"].get("annotations") or {}).items()}
    assert kept == {("PersistentVolumeClaim", "souk-workspace"), ("InferenceService", "souk")}


def test_the_chart_has_no_dependencies() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    assert "dependencies" not in chart
