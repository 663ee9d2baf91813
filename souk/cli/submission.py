"""What one submission makes on a Kubeflow Pipelines server."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

import yaml
from kfp_server_api import models

import souk
from souk.cli.kubeflow import Server
from souk.cli.kubeflow_errors import NoAnswer
from souk.cli.kubeflow_schedule import replace, trigger
from souk.errors import SoukError

PIPELINE = "souk-training"


def version_name(documents: list[dict[str, Any]]) -> str:
    """The name of a version: that of Souk and 12 hex digits of its content, so the same content has the same name."""
    digest = hashlib.sha256(json.dumps(documents, sort_keys=True).encode()).hexdigest()
    return f"souk-{souk.__version__}-{digest[:12]}"


class Submission:
    """What one call of `souk submit` makes on a server, told line by line as it is made.

    Args:
        server: opened.
        ui: URL of the user interface.
        pipeline_root: URL where artifacts go; None for the server's.
        service_account: of the steps' pods; None for the server's.
    """

    def __init__(self, server: Server, ui: str, pipeline_root: str | None, service_account: str | None) -> None:
        self.server = server
        self.ui = ui.rstrip("/")
        self.pipeline_root = pipeline_root
        self.service_account = service_account
        self.made: list[str] = []
        self.experiment_id = self.pipeline_id = self.version_id = self.run_id = ""

    def upload(self, documents: list[dict[str, Any]], experiment: str, create: bool) -> None:
        """Finds or makes the experiment, the pipeline and the version with this content: a pipeline, a platform."""
        self.experiment_id, new = self.server.experiment(experiment, create)
        self._tell("experiment", experiment, new, f"experiments/details/{self.experiment_id}")
        self.pipeline_id, new_pipeline = self.server.pipeline(PIPELINE)
        name = version_name(documents)
        dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / f"{PIPELINE}.yaml"
            file.write_text(yaml.dump_all(documents, Dumper=dumper), encoding="utf-8")
            try:
                self.version_id, new = self.server.version(self.pipeline_id, name, file)
            except SoukError:
                if new_pipeline:
                    self._remove_empty_pipeline()
                raise
        self._tell("pipeline", PIPELINE, new_pipeline, f"pipelines/details/{self.pipeline_id}")
        self._tell("version", name, new, f"pipelines/details/{self.pipeline_id}/version/{self.version_id}")

    def start(self, name: str, values: dict[str, Any]) -> None:
        """Starts one run with these parameters."""
        try:
            self.run_id = self.server.start(models.V2beta1Run(display_name=name, **self._what(values)))
        except NoAnswer as error:
            remedy = f"{error.remedy} It may have been taken all the same: look at the runs before you submit again."
            raise SoukError(error.expected, error.received, remedy) from error
        self._tell("run", name, True, f"runs/details/{self.run_id}")

    def repeat(self, name: str, values: dict[str, Any], when: tuple[str | None, float | None]) -> None:
        """Makes a recurring run, by cron line or hours, in the place of the one of this name."""
        new = models.V2beta1RecurringRun(
            display_name=name,
            trigger=trigger(*when),
            max_concurrency="1",
            no_catchup=True,
            namespace=self.server.namespace or None,
            **self._what(values),
        )
        identifier, replaced = replace(self.server, new)
        self._tell(
            "recurring", name, True, f"recurringrun/details/{identifier}", f"replaces {replaced}" * bool(replaced)
        )

    def with_what_stays(self, error: SoukError) -> SoukError:
        """The error, with what was made before it."""
        if not self.made:
            return error
        stays = f"What was made stays: {', '.join(self.made)}; the same command uses it again."
        return SoukError(error.expected, error.received, f"{error.remedy} {stays}".strip())

    def _what(self, values: dict[str, Any]) -> dict[str, Any]:
        return {
            "experiment_id": self.experiment_id,
            "pipeline_version_reference": models.V2beta1PipelineVersionReference(self.pipeline_id, self.version_id),
            "runtime_config": models.V2beta1RuntimeConfig(values, self.pipeline_root),
            "service_account": self.service_account,
        }

    def _remove_empty_pipeline(self) -> None:
        try:
            self.server.remove_empty_pipeline(self.pipeline_id)
        except SoukError:
            self.made.append(f"pipeline {PIPELINE} without a version")

    def _tell(self, what: str, name: str, new: bool, page: str, more: str = "") -> None:
        if new:
            self.made.append(f"{what} {name}")
        state = more or ("new" if new else "already there")
        print(f"{what:<11} {name} ({state})\n{'':<11} {self.ui}/#/{page}", flush=True)
