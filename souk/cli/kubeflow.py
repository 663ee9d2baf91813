"""A Kubeflow Pipelines server, through the client that is generated from its published API (v2beta1)."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kfp_server_api
import urllib3
from kfp_server_api import models

from souk.cli import kubeflow_errors as errors
from souk.errors import SoukError, unknown

CONNECT_SECONDS, READ_SECONDS = 10, 60
PAGE = 100
ARCHIVED = "ARCHIVED"
CONFLICT, NOT_FOUND = 409, 404


class Server:
    """Calls that end in a value or in a SoukError.

    Args:
        host: its URL.
        namespace: of a server with many users; "" for none.
        token: reads the bearer token, before each call: tokens in a cluster are renewed in place.
        authority: file with the certificate of the host's authority; "" for the known ones.
    """

    def __init__(
        self, host: str, namespace: str = "", token: Callable[[], str] | None = None, authority: str = ""
    ) -> None:
        self.host = host.rstrip("/")
        self.namespace = namespace
        self.token = token
        self.authority = authority

    def open(self) -> None:
        """Connects and asks for the server's health.

        Raises:
            SoukError: no such server, no trust, no permission, no Kubeflow Pipelines, or a namespace is needed.
        """
        if not self.host.startswith(("http://", "https://")):
            raise SoukError("--host to be a URL", repr(self.host), "Write http://HOST:PORT or https://HOST.")
        if "@" in self.host:  # links and errors show the host
            raise SoukError("--host without a user and password", "one with them", "Give a token: --token-file FILE.")
        if self.authority and not os.path.isfile(self.authority):
            raise SoukError("a file with a certificate", self.authority, "Give it with --ca-cert FILE.")
        configuration = kfp_server_api.Configuration(host=self.host)
        configuration.retries = False  # neither retries nor redirects: an answer is told as it is
        configuration.ssl_ca_cert = self.authority or None
        if self.token:
            configuration.api_key_prefix["authorization"] = "Bearer"
            configuration.refresh_api_key_hook = self._renew
            self._renew(configuration)  # without one to begin with, the client never asks for another
        self._client = kfp_server_api.ApiClient(configuration)
        self._pipelines = kfp_server_api.PipelineServiceApi(self._client)
        self._uploads = kfp_server_api.PipelineUploadServiceApi(self._client)
        self._experiments = kfp_server_api.ExperimentServiceApi(self._client)
        self._runs = kfp_server_api.RunServiceApi(self._client)
        self._recurring = kfp_server_api.RecurringRunServiceApi(self._client)
        healthz = kfp_server_api.HealthzServiceApi(self._client).healthz_service_get_healthz
        health = self._call("to tell its health", healthz, unless=NOT_FOUND)
        if health is None:
            raise errors.not_kubeflow(self.host, "HTTP 404", "")
        self.many_users = bool(health.multi_user)
        if self.many_users and not self.namespace:
            raise SoukError(f"a namespace: {self.host} has many users", "none", "Name yours: --namespace NAME.")
        if not self.many_users:
            self.namespace = ""

    def experiment(self, name: str, create: bool) -> tuple[str, bool]:
        """The id of the experiment `name`, and whether it was created just now.

        Raises:
            SoukError: there is none and `create` is false, or it is archived.
        """
        listing = self._experiments.experiment_service_list_experiments
        task = "to list experiments"
        found = self._named(task, listing, "experiments", name, namespace=self.namespace)
        if found:
            if found[0].storage_state == ARCHIVED:
                raise SoukError("an experiment in use", f"{name!r}, which is archived", "Restore it, or take another.")
            return str(found[0].experiment_id), False
        if not create:
            every = [e.display_name for e in self._pages(task, listing, "experiments", namespace=self.namespace)]
            error = unknown(f"an experiment of {self.host}", name, every)
            raise SoukError(error.expected, error.received, f"{error.remedy} --create-experiment makes it.")
        body = models.V2beta1Experiment(display_name=name, namespace=self.namespace or None)
        made = self._call(
            f"to create the experiment {name!r}", self._experiments.experiment_service_create_experiment, body
        )
        return str(made.experiment_id), True

    def pipeline(self, name: str) -> tuple[str, bool]:
        """The id of the pipeline `name`, and whether it was created just now."""
        by_name = self._pipelines.pipeline_service_get_pipeline_by_name
        task = f"to find the pipeline {name!r}"
        found = self._call(task, by_name, name, namespace=self.namespace, unless=NOT_FOUND)
        if found is not None:
            return str(found.pipeline_id), False
        body = models.V2beta1Pipeline(name=name, display_name=name, namespace=self.namespace or None)
        create = self._pipelines.pipeline_service_create_pipeline
        made = self._call(f"to create the pipeline {name!r}", create, body, unless=CONFLICT)
        if made is None:  # another submission was quicker
            return str(self._call(task, by_name, name, namespace=self.namespace).pipeline_id), False
        return str(made.pipeline_id), True

    def version(self, pipeline_id: str, name: str, file: Path) -> tuple[str, bool]:
        """The id of the version `name` of a pipeline, and whether `file` was uploaded for it just now."""
        listing = self._pipelines.pipeline_service_list_pipeline_versions
        arguments = ("to list versions of the pipeline", listing, "pipeline_versions", name)
        if found := self._named(*arguments, pipeline_id=pipeline_id):
            return str(found[0].pipeline_version_id), False
        upload = self._uploads.upload_pipeline_version
        task = f"to take the pipeline version {name!r}"
        made = self._call(task, upload, str(file), name=name, pipelineid=pipeline_id, unless=CONFLICT)
        if made is None:  # another submission was quicker
            return str(self._named(*arguments, pipeline_id=pipeline_id)[0].pipeline_version_id), False
        return str(made.pipeline_version_id), True

    def remove_empty_pipeline(self, pipeline_id: str) -> None:
        """Deletes a pipeline that has no versions; the server refuses for one that has."""
        delete = self._pipelines.pipeline_service_delete_pipeline
        self._call("to delete the empty pipeline", delete, pipeline_id)

    def start(self, run: models.V2beta1Run) -> str:
        """Starts a run; its id."""
        return str(self._call("to take the run", self._runs.run_service_create_run, run).run_id)

    def run(self, run_id: str) -> models.V2beta1Run:
        """What is known of a run."""
        return self._call(f"to tell of the run {run_id}", self._runs.run_service_get_run, run_id)

    def recurring(self, name: str) -> list[models.V2beta1RecurringRun]:
        """The recurring runs of this name: the server allows several."""
        listing = self._recurring.recurring_run_service_list_recurring_runs
        return self._named("to list recurring runs", listing, "recurring_runs", name, namespace=self.namespace)

    def create_recurring(self, recurring: models.V2beta1RecurringRun) -> str:
        """Creates a recurring run; its id."""
        create = self._recurring.recurring_run_service_create_recurring_run
        return str(self._call("to take the recurring run", create, recurring).recurring_run_id)

    def enable_recurring(self, recurring_run_id: str, enabled: bool) -> None:
        """Enables or disables a recurring run."""
        api = self._recurring
        change = api.recurring_run_service_enable_recurring_run
        if not enabled:
            change = api.recurring_run_service_disable_recurring_run
        self._call(f"to {'enable' if enabled else 'disable'} the recurring run", change, recurring_run_id)

    def delete_recurring(self, recurring_run_id: str) -> None:
        """Deletes a recurring run; the runs that it started stay."""
        delete = self._recurring.recurring_run_service_delete_recurring_run
        self._call("to delete the recurring run", delete, recurring_run_id)

    def _renew(self, configuration: kfp_server_api.Configuration) -> None:
        assert self.token is not None
        configuration.api_key["authorization"] = self.token()

    def _named(self, task: str, listing: Callable[..., Any], field: str, name: str, **query: str) -> list[Any]:
        predicate = {"operation": "EQUALS", "key": "display_name", "string_value": name}
        pages = self._pages(task, listing, field, filter=json.dumps({"predicates": [predicate]}), **query)
        return [item for item in pages if item.display_name == name]

    def _pages(self, task: str, listing: Callable[..., Any], field: str, **query: str) -> Iterator[Any]:
        arguments: dict[str, Any] = {"page_size": PAGE, **query}
        while True:
            page = self._call(task, listing, **arguments)
            yield from getattr(page, field) or []
            arguments["page_token"] = page.next_page_token
            if not page.next_page_token:
                return

    def _call(self, task: str, function: Callable[..., Any], *values: Any, unless: int = 0, **query: Any) -> Any:
        """The answer of the server, None where its status is `unless`."""
        given = {name: value for name, value in query.items() if value != ""}
        try:
            answer = function(*values, **given, _request_timeout=(CONNECT_SECONDS, READ_SECONDS))
        except kfp_server_api.ApiException as error:
            if error.status == unless:
                return None
            location = (error.headers or {}).get("Location", "")
            raise errors.refused(self.host, task, error.status or 0, error.body or "", location) from error
        except UnicodeDecodeError as error:  # a page of a proxy that does not say how it is written
            page, cause = error.object.decode("latin-1"), error.__context__
            if isinstance(cause, kfp_server_api.ApiException):
                raise errors.refused(self.host, task, cause.status or 0, page) from error
            kind = self._client.last_response.getheader("Content-Type")
            raise errors.not_kubeflow(self.host, str(kind or ""), page) from error
        except AttributeError as error:  # kfp-server-api 2.17 trips over its own error for TLS, which has no body
            if isinstance(error.__context__, kfp_server_api.ApiException):
                raise errors.untrusted(self.host, str(error.__context__.reason)) from error
            raise
        except urllib3.exceptions.HTTPError as error:
            raise errors.no_connection(self.host, error) from error
        self._check_json()
        return answer

    def _check_json(self) -> None:
        """The generated client takes any text for an empty answer, also a web page."""
        response = self._client.last_response
        try:
            value = json.loads(response.data or "{}")
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise errors.not_kubeflow(self.host, str(response.getheader("Content-Type") or ""), str(response.data))
