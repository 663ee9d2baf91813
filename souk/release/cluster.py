"""The Kubernetes API, as far as a rollout needs it: one InferenceService, its pods, their events."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Any

import urllib3
import yaml
from kubernetes import client, config

from souk.config import Rollout
from souk.errors import SoukError
from souk.release.inference_service import GROUP, PLURAL, VERSION

MANAGER = "souk"  # of the fields that Souk applies
TIMEOUTS = (5, 30)  # seconds to connect, to answer
APPLY = "application/apply-patch+yaml"
SHOWN = 600  # characters of an answer
NO_SUCH_PATH = "404 page not found"  # an API server, about a resource that nothing defines


class Unavailable(SoukError):
    """The API server cannot be reached, or cannot answer now."""


class Cluster:
    """One InferenceService of one namespace.

    Args:
        rollout: its name and namespace.
        api: a client with credentials (`connect`).
    """

    def __init__(self, rollout: Rollout, api: client.ApiClient) -> None:
        self.name, self.namespace = rollout.name, rollout.namespace
        self._api = api
        self._services = f"/apis/{GROUP}/{VERSION}/namespaces/{self.namespace}/{PLURAL}"
        self._core = f"/api/v1/namespaces/{self.namespace}"

    def service(self) -> dict[str, Any] | None:
        """The InferenceService; None where there is none of that name."""
        try:
            return self._call("GET", f"{self._services}/{self.name}")
        except client.ApiException as error:
            missing = _details(_status(error))
            if error.status == 404 and missing.get("kind") == PLURAL and missing.get("name") == self.name:
                return None
            raise self._explained(error, "get", f"{PLURAL}.{GROUP}") from error

    def apply(self, service: dict[str, Any], force: bool = False) -> dict[str, Any]:
        """Server-side apply: the fields of `service` become as they are in it, those that it no longer has go away.

        Raises:
            SoukError: another manager owns one of the fields and `force` is false; or the API refuses it.
        """
        query = [("fieldManager", MANAGER), ("force", "true" if force else "false")]
        try:
            return self._call("PATCH", f"{self._services}/{self.name}", query, APPLY, service)
        except client.ApiException as error:
            raise self._explained(error, "patch", f"{PLURAL}.{GROUP}") from error

    def pods(self) -> list[dict[str, Any]]:
        """Every pod of the service, those of earlier releases too."""
        query = [("labelSelector", f"{GROUP}/inferenceservice={self.name}")]
        try:
            pods: list[dict[str, Any]] = self._call("GET", f"{self._core}/pods", query)["items"]
        except client.ApiException as error:
            raise self._explained(error, "list", "pods") from error
        return pods

    def events(self, kind: str, name: str) -> list[dict[str, Any]]:
        """What happened to one object, the latest at the end."""
        query = [("fieldSelector", f"involvedObject.kind={kind},involvedObject.name={name}")]
        try:
            events: list[dict[str, Any]] = self._call("GET", f"{self._core}/events", query)["items"]
        except client.ApiException as error:
            raise self._explained(error, "list", "events") from error
        return sorted(events, key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""))

    def _call(
        self, method: str, path: str, query: list[tuple[str, str]] | None = None, content: str = "", body: Any = None
    ) -> dict[str, Any]:
        headers = {"Accept": "application/json"} | ({"Content-Type": content} if content else {})
        try:
            answer: dict[str, Any] = self._api.call_api(
                path,
                method,
                query_params=query or [],
                header_params=headers,
                body=body,
                response_type="object",
                auth_settings=["BearerToken"],
                _return_http_data_only=True,
                _request_timeout=TIMEOUTS,
            )
        except urllib3.exceptions.HTTPError as error:
            host = self._api.configuration.host
            raise Unavailable(
                f"a Kubernetes API at {host}", str(error), "Check the address and network: `kubectl cluster-info`."
            ) from error
        except UnicodeDecodeError as error:  # of the client, which takes every answer for UTF-8
            raise self._not_kubernetes(error.object.decode("latin-1")) from error
        except ValueError:  # of http.client, which shows the token
            raise SoukError(
                "a token of one line of visible ASCII characters",
                "another one in the credentials",
                "Mend the kubeconfig's token or tokenFile: a line break at its end is enough.",
            ) from None
        if not isinstance(answer, dict):  # the client gives whatever it cannot read as text
            raise self._not_kubernetes(str(answer))
        return answer

    def _not_kubernetes(self, text: str) -> SoukError:
        """The error for an answer that no API server gives, a login page for instance."""
        return SoukError(
            f"a Kubernetes API at {self._api.configuration.host}",
            f"an answer of another kind, {_shown(text)!r}",
            "A proxy or a login page? Mend the server's address in the kubeconfig: `kubectl cluster-info`.",
        )

    def _explained(self, error: client.ApiException, verb: str, resource: str) -> SoukError:
        """An error of the API with its remedy."""
        status = _status(error)
        message = status.get("message") or _shown(str(error.body or error.reason or error.status))
        where = f"namespace {self.namespace}"
        if not error.status:
            return SoukError(
                f"a certificate of {self._api.configuration.host} that is trusted here",
                message,
                "Mend certificate-authority in the kubeconfig: `kubectl cluster-info`.",
            )
        if error.status == 429 or error.status >= 500:
            return Unavailable("an answer of the Kubernetes API", f"{error.status} {message}", "Try again.")
        if error.status == 401:
            return SoukError(
                "credentials that the cluster accepts",
                f"401 {message}",
                "The token may have expired: log in again, then `kubectl auth whoami`.",
            )
        if error.status == 403 and "admission webhook" not in message:
            return SoukError(
                f"the right to {verb} {resource} in {where}",
                f"403 {message}",
                f"Ask for the role of charts/souk; `kubectl auth can-i {verb} {resource} --namespace {self.namespace}` "
                "says yes with it.",
            )
        if error.status == 404:
            return self._absent(status, message)
        if error.status == 409:
            return _conflict(status, message, self.name, self.namespace)
        if status:
            return SoukError(f"an InferenceService that the cluster accepts, {self.name} in {where}", message, "")
        return self._not_kubernetes(f"{error.status} {message}")

    def _absent(self, status: dict[str, Any], message: str) -> SoukError:
        if _details(status).get("kind") == "namespaces":
            return SoukError(
                f"namespace {self.namespace}", f"404 {message}", f"`kubectl create namespace {self.namespace}`."
            )
        if status or message == NO_SUCH_PATH:
            return SoukError(
                f"KServe in the cluster, which defines {PLURAL}.{GROUP}",
                f"404 {message}",
                f"Install KServe 0.21; `kubectl get crd {PLURAL}.{GROUP}` finds it then.",
            )
        return self._not_kubernetes(f"404 {message}")


def connect(rollout: Rollout, environment: Mapping[str, str] = os.environ) -> Cluster:
    """A cluster with the credentials of the pod that this runs in, else with those of the kubeconfig.

    Raises:
        SoukError: there are neither.
    """
    settings = client.Configuration()
    settings.retries = False  # neither retries nor redirects: who waits asks again, and has a deadline
    try:
        config.load_incluster_config(client_configuration=settings)
    except config.ConfigException as pod:
        files = environment.get("KUBECONFIG") or "~/.kube/config"
        try:
            config.load_kube_config(files, client_configuration=settings)
        except (config.ConfigException, OSError, ValueError, TypeError, yaml.YAMLError) as error:
            raise SoukError(
                "credentials of a Kubernetes cluster: those of a pod, or a kubeconfig",
                f"in the pod: {pod}; in {files}: {error}",
                "Run in the cluster under a service account, or set KUBECONFIG to a file that kubectl works with.",
            ) from error
    return Cluster(rollout, client.ApiClient(settings))


def _status(error: client.ApiException) -> dict[str, Any]:
    """The Status object of an error; empty where a proxy or an unknown path answered."""
    try:
        found = json.loads(error.body or "")
    except ValueError:
        return {}
    return found if isinstance(found, dict) and found.get("kind") == "Status" else {}


def _details(status: dict[str, Any]) -> dict[str, Any]:
    return status.get("details") or {}


def _shown(text: str) -> str:
    """The words of an answer, without tags."""
    return " ".join(re.sub(r"<[^>]*>", " ", text).split())[:SHOWN]


def _conflict(status: dict[str, Any], message: str, name: str, namespace: str) -> SoukError:
    causes = _details(status).get("causes") or []
    fields = [f"{cause.get('field')} ({cause.get('message')})" for cause in causes]
    return SoukError(
        f"InferenceService {name} with fields that only {MANAGER!r} manages",
        "; ".join(fields) or message,
        "One owner for each service: `souk deploy --force-conflicts` takes the fields over. Where charts/souk owns it, "
        f"first `kubectl annotate inferenceservice {name} helm.sh/resource-policy=keep --namespace {namespace}`, "
        "or Helm deletes it, and then `helm upgrade` with an empty recommender.storageUri.",
    )
