"""What a Kubeflow Pipelines API server holds and answers, after backend/src/apiserver of kubeflow/pipelines."""

import base64
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

Json = dict[str, Any]


class Refused(Exception):
    """An error answer: HTTP status and message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Kubeflow:
    """What the server holds, and how it shall behave.

    Args:
        many_users: multi-user mode: namespaces count.
        token: the bearer token that it asks for; "" for none.
        namespaces: where the token's user has rights, in multi-user mode.
        states: of a run, one more at each question for it; the last one stays.
        tasks: the tasks' details at each question, as `states`.
        error: of a failed run.
        broken: status and body that an operation answers instead, by its name.
        requests: what it was asked, as (operation, body or query).
        faults: of this server itself; they fail the test.
    """

    many_users: bool = False
    token: str = ""
    namespaces: tuple[str, ...] = ("team",)
    states: list[str] = field(default_factory=lambda: ["PENDING", "RUNNING", "SUCCEEDED"])
    tasks: list[list[Json]] = field(default_factory=list)
    error: str = ""
    broken: dict[str, tuple[int, str]] = field(default_factory=dict)
    requests: list[tuple[str, Json]] = field(default_factory=list)
    faults: list[Exception] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    experiments: list[Json] = field(default_factory=list)
    pipelines: list[Json] = field(default_factory=list)
    versions: list[Json] = field(default_factory=list)
    platforms: dict[str, list[Json]] = field(default_factory=dict)  # by name of a version
    runs: list[Json] = field(default_factory=list)
    recurring: list[Json] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.many_users:
            self.experiments.append({"experiment_id": "e0", "display_name": "Default", "storage_state": "AVAILABLE"})

    def healthz_service_get_healthz(self, **_: Any) -> Json:
        return {"multi_user": self.many_users}

    def experiment_service_list_experiments(self, query: Json, **_: Any) -> Json:
        self._allow(query.get("namespace", ""))
        return self._page("experiments", self._of(self.experiments, query), query)

    def experiment_service_create_experiment(self, body: Json, **_: Any) -> Json:
        self._allow(body.get("namespace", ""))
        self._unique(self.experiments, "display_name", body)
        return self._add(self.experiments, "experiment_id", {**body, "storage_state": "AVAILABLE"})

    def pipeline_service_get_pipeline_by_name(self, query: Json, name: str) -> Json:
        self._allow(query.get("namespace", ""))
        return self._one(self._of(self.pipelines, query), "name", name)

    def pipeline_service_create_pipeline(self, body: Json, **_: Any) -> Json:
        self._allow(body.get("namespace", ""))
        self._unique(self.pipelines, "name", body)
        return self._add(self.pipelines, "pipeline_id", body)

    def pipeline_service_delete_pipeline(self, query: Json, pipeline_id: str) -> Json:
        if any(v["pipeline_id"] == pipeline_id for v in self.versions) and query.get("cascade") != "true":
            raise Refused(400, f"Failed to delete pipeline {pipeline_id} as it has existing pipeline versions")
        self.pipelines.remove(self._one(self.pipelines, "pipeline_id", pipeline_id))
        return {}

    def pipeline_service_list_pipeline_versions(self, query: Json, pipeline_id: str) -> Json:
        mine = [v for v in self.versions if v["pipeline_id"] == pipeline_id]
        return self._page("pipeline_versions", mine, query)

    def upload_pipeline_version(self, query: Json, file: bytes) -> Json:
        pipeline = self._one(self.pipelines, "pipeline_id", query.get("pipelineid", ""), missing=400)
        spec, *platform = yaml.safe_load_all(file)
        try:
            json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
            for each in platform:
                json_format.ParseDict(each, pipeline_spec_pb2.PlatformSpec())
        except json_format.ParseError as error:
            raise Refused(400, f"Invalid input error: invalid v2 pipeline spec: {error}") from error
        mine = [v for v in self.versions if v["pipeline_id"] == pipeline["pipeline_id"]]
        version = {"name": query["name"], "display_name": query["name"], "pipeline_id": pipeline["pipeline_id"]}
        self._unique(mine, "name", version)
        self.platforms[query["name"]] = platform
        return self._add(self.versions, "pipeline_version_id", {**version, "pipeline_spec": spec})

    def run_service_create_run(self, body: Json, **_: Any) -> Json:
        if not body.get("display_name"):
            raise Refused(400, "The run name is empty. Please specify a valid name")
        self._check_source(body)
        return self._add(self.runs, "run_id", {**body, "state": "PENDING"})

    def run_service_get_run(self, query: Json, run_id: str) -> Json:
        run = self._one(self.runs, "run_id", run_id)
        run["state"] = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if self.tasks:
            tasks = self.tasks.pop(0) if len(self.tasks) > 1 else self.tasks[0]
            run["run_details"] = {"task_details": tasks}
        if self.error and run["state"] == "FAILED":
            run["error"] = {"code": 13, "message": self.error}
        return run

    def recurring_run_service_list_recurring_runs(self, query: Json, **_: Any) -> Json:
        self._allow(query.get("namespace", ""))
        return self._page("recurringRuns", self._of(self.recurring, query), query)

    def recurring_run_service_create_recurring_run(self, body: Json, **_: Any) -> Json:
        self._allow(body.get("namespace", ""))
        self._check_source(body)
        if not 1 <= int(body.get("max_concurrency", 0)) <= 10:
            raise Refused(400, "The max concurrency of the recurring run is out of range. Support 1-10.")
        trigger = body.get("trigger", {})
        cron = trigger.get("cron_schedule", {}).get("cron")
        if cron and len(cron.split()) not in (5, 6) and not cron.startswith("@"):
            raise Refused(400, f"Schedule cron is not a supported format. Error: {cron}")
        if not cron and int(trigger.get("periodic_schedule", {}).get("interval_second", 0)) < 1:
            raise Refused(400, "Found invalid period schedule interval. Set at interval to least 1 second.")
        status = {"ENABLE": "ENABLED", "DISABLE": "DISABLED"}[body["mode"]]
        return self._add(self.recurring, "recurring_run_id", {**body, "status": status})

    def recurring_run_service_enable_recurring_run(self, recurring_run_id: str, **_: Any) -> Json:
        self._one(self.recurring, "recurring_run_id", recurring_run_id)["status"] = "ENABLED"
        return {}

    def recurring_run_service_disable_recurring_run(self, recurring_run_id: str, **_: Any) -> Json:
        self._one(self.recurring, "recurring_run_id", recurring_run_id)["status"] = "DISABLED"
        return {}

    def recurring_run_service_delete_recurring_run(self, recurring_run_id: str, **_: Any) -> Json:
        self.recurring.remove(self._one(self.recurring, "recurring_run_id", recurring_run_id))
        return {}

    def _check_source(self, body: Json) -> None:
        """A run needs an experiment, a version, and values for what the version's pipeline declares."""
        self._allow(self._one(self.experiments, "experiment_id", body["experiment_id"]).get("namespace", ""))
        reference = body["pipeline_version_reference"]
        version = self._one(self.versions, "pipeline_version_id", reference["pipeline_version_id"])
        if version["pipeline_id"] != reference["pipeline_id"]:
            raise Refused(400, "pipeline ID should be parent of pipeline version")
        declared = version["pipeline_spec"]["root"]["inputDefinitions"]["parameters"]
        given = body.get("runtime_config", {}).get("parameters", {})
        needed = {name for name, value in declared.items() if "defaultValue" not in value}
        if given.keys() - declared.keys() or needed - given.keys():
            wrong = sorted(given.keys() - declared.keys() | (needed - given.keys()))
            raise Refused(400, f"Invalid input error: Unrecognized or missing input parameters: {wrong}")

    def _allow(self, namespace: str) -> None:
        if self.many_users and not namespace:
            raise Refused(400, "Invalid input error: it cannot have an empty namespace in multi-user mode")
        if self.many_users and namespace not in self.namespaces:
            raise Refused(403, f"Failed to authorize with API: User is not authorized (namespace: {namespace})")

    def _unique(self, items: list[Json], key: str, new: Json) -> None:
        place = new.get("namespace", "")
        if any(i[key] == new[key] and i.get("namespace", "") == place for i in items):
            raise Refused(409, f"Already exist error: The name {new[key]} already exists. Specify a new name")

    def _one(self, items: list[Json], key: str, value: str, missing: int = 404) -> Json:
        found = [item for item in items if item[key] == value]
        if not found:
            raise Refused(missing, f"ResourceNotFoundError: {key} {value} not found.")
        return found[0]

    def _of(self, items: list[Json], query: Json) -> list[Json]:
        return [item for item in items if item.get("namespace", "") == query.get("namespace", "")]

    def _page(self, name: str, items: list[Json], query: Json) -> Json:
        """The items that a filter lets through, `page_size` (20, at most 200) from where the token says."""
        predicates = json.loads(query.get("filter") or "{}").get("predicates", [])
        for predicate in predicates:
            assert predicate["operation"] == "EQUALS"
            items = [item for item in items if item[predicate["key"]] == predicate["string_value"]]
        size, start = min(int(query.get("page_size") or 20), 200), 0
        if token := query.get("page_token"):
            start, of = json.loads(base64.b64decode(token))
            if of != query.get("filter"):
                raise Refused(400, "page token does not match the supplied sort by and/or filtering criteria")
        page: Json = {name: items[start : start + size], "total_size": len(items)}
        if start + size < len(items):
            page["next_page_token"] = base64.b64encode(
                json.dumps([start + size, query.get("filter")]).encode()
            ).decode()
        return page

    def _add(self, items: list[Json], key: str, item: Json) -> Json:
        made = {**item, key: f"{key.removesuffix('_id').replace('_', '-')}-{next(self.numbers)}"}
        items.append(made)
        return made
