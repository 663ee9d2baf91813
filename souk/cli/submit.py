"""Sends the compiled training pipeline to a Kubeflow Pipelines server, with the images and parameters of this run."""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import urllib.error
import urllib.request
import warnings
from pathlib import Path
from typing import Any

import yaml

from souk.cli import options
from souk.config import Data, load_config
from souk.errors import SoukError
from souk.workspace import Workspace

REACH_SECONDS = 10


def configure(parser: argparse.ArgumentParser) -> None:
    options.add_pipeline(parser)
    options.add_workspace(parser, default="/workspace")
    parser.add_argument("--host", required=True, metavar="URL", help="the server, as http://localhost:8888")
    parser.add_argument(
        "--registry", default="", metavar="R", help="registry of the images, instead of the compiled one"
    )
    parser.add_argument("--tag", default="", metavar="T", help="tag of the images; never a moving one")
    parser.add_argument(
        "--accelerators", type=int, default=0, metavar="N", help="accelerators a training step asks for"
    )
    parser.add_argument(
        "--accelerator", default="", metavar="TYPE", help="their resource name (default: nvidia.com/gpu)"
    )
    parser.add_argument(
        "--champion", default="", metavar="NAME", help="the release to beat, in the cluster's workspace"
    )
    parser.add_argument("--experiment", default="souk", metavar="NAME", help="experiment (default: %(default)s)")
    parser.add_argument("--run-name", default="", metavar="NAME", help="name of the run (default: the config's)")
    parser.add_argument("--namespace", metavar="NAME", help="namespace, on a server with many users")
    parser.add_argument("--pipeline-root", metavar="URL", help="where artifacts go (default: the server's)")


def run(arguments: argparse.Namespace) -> int:
    """Returns 0 when the server has taken the run."""
    from souk.cli import training  # kfp takes a second to import

    config = load_config(arguments.config)
    for path in _local_paths(config.data):
        print(f"note: {path} must be there for the steps too, on a volume or in the image", file=sys.stderr)
    schema = training.schema_parameter(Path(arguments.config), config.name, Workspace(Path(arguments.workspace)))
    values = training.parameters(arguments, config, arguments.workspace, arguments.champion, schema)
    spec = training.with_code_digests(training.load_pipeline())
    spec = training.with_images(spec, arguments.registry, arguments.tag)
    spec = training.with_accelerators(spec, arguments.accelerators, arguments.accelerator)
    _reach(arguments.host)
    run_id = _send(arguments, spec, values, arguments.run_name or config.name)
    print(f"run       {run_id}")
    print(f"details   {arguments.host.rstrip('/')}/#/runs/details/{run_id}")
    return 0


def _local_paths(data: Data) -> list[str]:
    sources = (data.events, data.items, data.users)
    return [source.path for source in sources if source is not None and "://" not in source.path]


def _reach(host: str) -> None:
    """Asks for the server's health once: the client itself would try for long."""
    url = f"{host.rstrip('/')}/apis/v2beta1/healthz"
    if not url.startswith(("http://", "https://")):
        raise SoukError("--host to be a URL", repr(host), "Write http://HOST:PORT or https://HOST.")
    try:
        urllib.request.urlopen(url, timeout=REACH_SECONDS).close()  # nosec B310: http(s), checked above
    except urllib.error.HTTPError as error:
        if error.code not in (401, 403):
            raise SoukError(f"a Kubeflow Pipelines server at {host}", f"HTTP {error.code} from {url}", "") from error
    except OSError as error:
        reason = getattr(error, "reason", error)
        remedy = "Is it up? kubectl -n kubeflow port-forward svc/ml-pipeline 8888 makes it http://localhost:8888."
        raise SoukError(f"a Kubeflow Pipelines server at {host}", f"no answer ({reason})", remedy) from error


def _send(arguments: argparse.Namespace, spec: dict[str, Any], values: dict[str, Any], name: str) -> str:
    import kfp
    import kfp_server_api

    logging.getLogger().setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        package = Path(folder) / "training.yaml"
        package.write_text(yaml.safe_dump(spec, sort_keys=True), encoding="utf-8")
        try:
            client = kfp.Client(host=arguments.host, namespace=arguments.namespace or "kubeflow")
            sent = client.create_run_from_pipeline_package(
                str(package),
                arguments=values,
                run_name=name,
                experiment_name=arguments.experiment,
                namespace=arguments.namespace,
                pipeline_root=arguments.pipeline_root,
            )
        except kfp_server_api.ApiException as error:
            answer = f"HTTP {error.status} {str(error.body or error.reason)[:300]}"
            raise SoukError(f"{arguments.host} to take the run", answer, "Its log tells more.") from error
    return str(sent.run_id)
