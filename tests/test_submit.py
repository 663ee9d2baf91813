"""`souk submit`: what it sends, what it finds again, what it prints. The server follows the published API."""

from pathlib import Path

import pytest

from souk.cli.training import load_pipeline, with_data_read_anew, with_verdicts_cached
from souk.ingest.packed import unpacked
from tests.kfp_openapi import Invalid, check, find, operations
from tests.kfp_server import Kubeflow, serve
from tests.submit_fixtures import *  # noqa: F403
from tests.submit_fixtures import asked, submit


def containers(spec: dict) -> list[dict]:
    return [executor["container"] for executor in spec["deploymentSpec"]["executors"].values()]


def test_the_api_is_read_from_the_generated_client() -> None:
    assert len(operations()) == len({operation.name for operation in operations()}) > 30
    upload, _ = find("POST", "/apis/v2beta1/pipelines/upload_version")
    assert (upload.upload, upload.query["pipelineid"], upload.answer) == (True, "str", "V2beta1PipelineVersion")
    by_name, parameters = find("GET", "/apis/v2beta1/pipelines/names/x")
    assert (by_name.name, parameters) == ("pipeline_service_get_pipeline_by_name", {"name": "x"})
    with pytest.raises(Invalid, match="no operation GET /apis/v1beta1/runs"):
        find("GET", "/apis/v1beta1/runs")
    check({"display_name": "a", "runtime_config": {"parameters": {"epochs": 3}}}, "V2beta1Run")
    with pytest.raises(Invalid, match=r'unknown field "name" of V2beta1Run'):
        check({"name": "a"}, "V2beta1Run")
    with pytest.raises(Invalid, match=r"mode is none of .*'SOMETIMES'"):
        check({"mode": "SOMETIMES"}, "V2beta1RecurringRun")


def test_a_version_of_the_pipeline_is_uploaded_and_run(
    kubeflow: Kubeflow, url: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = ("--registry", "ghcr.io/us", "--tag", "1")
    given = ("--epochs", "3", "--champion", "small-1", "--run-name", "nightly", "--service-account", "souk")
    assert submit(url, config, *images, *given, "--pipeline-root", "s3://artifacts") == 0
    [pipeline], [version], [run] = kubeflow.pipelines, kubeflow.versions, kubeflow.runs
    assert pipeline["name"] == "souk-training"
    assert version["name"].startswith("souk-0.1.0-")
    assert {c["image"].rpartition("/")[0] for c in containers(version["pipeline_spec"])} == {"ghcr.io/us"}
    codes = {container["env"][0]["value"] for container in containers(version["pipeline_spec"])}
    assert "dev" not in codes
    assert len(codes) > 1
    reference = run["pipeline_version_reference"]
    assert reference["pipeline_version_id"] == version["pipeline_version_id"]
    assert (run["display_name"], run["experiment_id"], run["service_account"]) == ("nightly", "e0", "souk")
    assert run["runtime_config"]["pipeline_root"] == "s3://artifacts"
    values = run["runtime_config"]["parameters"]
    assert (values["epochs"], values["champion"], values["workspace"]) == (3, "small-1", "/workspace")
    assert len(values["fingerprint"]) == 64
    shown = capsys.readouterr().out
    assert f"{url}/#/runs/details/{run['run_id']}" in shown
    assert f"{url}/#/pipelines/details/{pipeline['pipeline_id']}/version/{version['pipeline_version_id']}" in shown


def test_who_has_no_schema_beside_the_config_is_told_which_hold(
    kubeflow: Kubeflow, url: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert submit(url, config) == 0
    assert "small.schema/ beside the config" in capsys.readouterr().err
    config.with_name("small.schema").mkdir()
    config.with_name("small.schema").joinpath("events.pbtxt").write_text("as reviewed")
    assert submit(url, config) == 0
    assert "small.schema" not in capsys.readouterr().err
    first, second = (run["runtime_config"]["parameters"]["schema"] for run in kubeflow.runs)
    assert first == "" and unpacked(second) == {"events": "as reviewed"}


def test_every_step_finds_the_workspace_on_its_volume(kubeflow: Kubeflow, url: str, config: Path) -> None:
    assert submit(url, config, "--registry", "r", "--tag", "1") == 0
    [version] = kubeflow.versions
    [platform] = kubeflow.platforms[version["name"]]
    mounted = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert set(mounted) == set(version["pipeline_spec"]["deploymentSpec"]["executors"])
    name = {"constant": "souk-workspace", "pvcNameParameter": {"runtimeValue": {"constant": "souk-workspace"}}}
    assert all(mounts == {"pvcMount": [{**name, "mountPath": "/workspace"}]} for mounts in mounted.values())


def test_without_a_claim_nothing_is_mounted_and_it_is_another_version(
    kubeflow: Kubeflow, url: str, config: Path
) -> None:
    for claim in ("", "another"):
        assert submit(url, config, "--registry", "r", "--tag", "1", "--volume-claim", claim) == 0
    first, second = (version["name"] for version in kubeflow.versions)
    assert kubeflow.platforms[first] == []
    assert "another" in str(kubeflow.platforms[second])


@pytest.mark.parametrize("claim", ["souk-workspace", ""])
def test_the_steps_that_publish_user_states_get_the_password_of_their_redis(
    kubeflow: Kubeflow, url: str, config: Path, claim: str
) -> None:
    assert submit(url, config, "--volume-claim", claim, "--env-secret", "shop-redis") == 0
    [version] = kubeflow.versions
    [platform] = kubeflow.platforms[version["name"]]
    given = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    secrets = {name: parts["secretAsEnv"] for name, parts in given.items() if "secretAsEnv" in parts}
    assert secrets.keys() == {"exec-build-features", "exec-deploy"}
    for [secret] in secrets.values():
        assert secret["keyToEnv"] == [{"envVar": "SOUK_REDIS_PASSWORD", "secretKey": "SOUK_REDIS_PASSWORD"}]
        assert secret["secretNameParameter"] == {"runtimeValue": {"constant": secret["secretName"]}}
        assert (secret["secretName"], secret["optional"]) == ("shop-redis", False)
    assert all(("pvcMount" in parts) is bool(claim) for parts in given.values())


def test_the_same_spec_is_uploaded_once_and_another_one_again(kubeflow: Kubeflow, url: str, config: Path) -> None:
    for words in ((), (), ("--tag", "2")):
        assert submit(url, config, "--registry", "r", *words) == 0
    assert len(kubeflow.pipelines) == 1
    assert len(kubeflow.runs) == 3
    used = [run["pipeline_version_reference"]["pipeline_version_id"] for run in kubeflow.runs]
    assert used[0] == used[1] != used[2]
    assert len(asked(kubeflow, "upload_pipeline_version")) == len(kubeflow.versions) == 2


def test_what_another_submission_was_quicker_to_make_is_used(kubeflow: Kubeflow, url: str, config: Path) -> None:
    """The server refuses a second one of a name; what it has by then is taken."""
    assert submit(url, config) == 0

    class Late(Kubeflow):
        """Does not find what is there when it is asked first."""

        def pipeline_service_get_pipeline_by_name(self, **given: object) -> dict:
            hide = not asked(self, "pipeline_service_create_pipeline")
            kept, self.pipelines = self.pipelines, [] if hide else self.pipelines
            try:
                return super().pipeline_service_get_pipeline_by_name(**given)  # type: ignore[arg-type]
            finally:
                self.pipelines = kept

        def pipeline_service_list_pipeline_versions(self, **given: object) -> dict:
            found = super().pipeline_service_list_pipeline_versions(**given)  # type: ignore[arg-type]
            return found if asked(self, "upload_pipeline_version") else {"pipeline_versions": []}

    late = Late(pipelines=kubeflow.pipelines, versions=kubeflow.versions)
    with serve(late) as other:
        assert submit(other, config) == 0
    assert len(late.pipelines) == len(late.versions) == len(late.runs) == 1


def test_the_experiment_must_exist_or_is_made_when_told(
    kubeflow: Kubeflow, url: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert submit(url, config, "--experiment", "Defalt") == 2
    error = capsys.readouterr().err
    assert "to be one of Default. Received: 'Defalt'. Did you mean 'Default'? --create-experiment makes it." in error
    assert (kubeflow.pipelines, kubeflow.runs) == ([], [])
    assert submit(url, config, "--experiment", "Weekly", "--create-experiment") == 0
    assert submit(url, config, "--experiment", "Weekly", "--create-experiment") == 0
    assert submit(url, config, "--experiment", "Weekly") == 0
    assert [e["display_name"] for e in kubeflow.experiments] == ["Default", "Weekly"]
    assert {run["experiment_id"] for run in kubeflow.runs} == {kubeflow.experiments[1]["experiment_id"]}


def test_every_page_of_a_listing_is_read(
    kubeflow: Kubeflow, url: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kubeflow.experiments += [
        {"experiment_id": f"x{i}", "display_name": f"trial {i}", "storage_state": "AVAILABLE"} for i in range(250)
    ]
    assert submit(url, config, "--experiment", "trial 249x") == 2
    assert "Did you mean 'trial 249'?" in capsys.readouterr().err
    assert sum("page_token" in query for query in asked(kubeflow, "experiment_service_list_experiments")) == 2


def test_an_archived_experiment_is_not_used(
    kubeflow: Kubeflow, url: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kubeflow.experiments[0]["storage_state"] = "ARCHIVED"
    assert submit(url, config) == 2
    assert "'Default', which is archived" in capsys.readouterr().err


def test_a_server_with_many_users_needs_a_namespace_and_gets_it(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kubeflow = Kubeflow(many_users=True)
    with serve(kubeflow) as url:
        assert submit(url, config) == 2
        assert "has many users. Received: none. Name yours: --namespace NAME." in capsys.readouterr().err
        mine = ("--namespace", "team", "--experiment", "Souk", "--create-experiment")
        assert submit(url, config, *mine) == 0
        assert submit(url, config, *mine, "--cron", "0 3 * * *") == 0
    assert {thing["namespace"] for thing in (*kubeflow.experiments, *kubeflow.pipelines, *kubeflow.recurring)} == {
        "team"
    }
    assert len(kubeflow.pipelines) == 1


def test_a_server_with_one_user_gets_no_namespace(
    kubeflow: Kubeflow, url: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert submit(url, config, "--namespace", "team") == 0
    assert "--namespace is left out" in capsys.readouterr().err
    assert "namespace" not in kubeflow.pipelines[0]


def test_links_lead_to_the_user_interface(url: str, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert submit(url, config, "--ui", "https://kubeflow.example/pipeline/") == 0
    assert "https://kubeflow.example/pipeline/#/runs/details/run-" in capsys.readouterr().out


def test_a_recurring_pipeline_reads_its_data_anew_and_nothing_else_changes() -> None:
    spec = load_pipeline()
    tasks = {k: t for c in spec["components"].values() for k, t in c.get("dag", {}).get("tasks", {}).items()}
    cached = {key for key, task in tasks.items() if task.get("cachingOptions")}
    with_data_read_anew(spec)
    assert cached - {key for key, task in tasks.items() if task.get("cachingOptions")} == {"ingest"}


def test_a_submission_reuses_no_verdict_and_a_local_run_one_about_the_same_champion() -> None:
    """The workspace's current release may be another one by now, or damaged: nobody can look from here."""

    def cached(spec: dict) -> set[str]:
        tasks = {k: t for c in spec["components"].values() for k, t in c.get("dag", {}).get("tasks", {}).items()}
        return {key for key, task in tasks.items() if task.get("cachingOptions")}

    submitted, local = cached(load_pipeline()), cached(with_verdicts_cached(load_pipeline()))
    assert "evaluate" not in submitted and local - submitted == {"evaluate"}
