"""Sends the compiled training pipeline to a Kubeflow Pipelines server, as a version of the pipeline `souk-training`,
and starts a run of it with the parameters of this config, or makes a recurring run (pipelines/README.md)."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from souk.cli import options
from souk.config import Data, load_config
from souk.errors import SoukError
from souk.store.address import PASSWORD
from souk.workspace import Workspace

if TYPE_CHECKING:
    from souk.cli.kubeflow import Server

EXPERIMENT = "Default"  # every server makes it
TOKEN = "SOUK_KFP_TOKEN"  # nosec B105: the name of a variable


def configure(parser: argparse.ArgumentParser) -> None:
    options.add_pipeline(parser)
    options.add_workspace(parser, default="/workspace")
    _add_server(parser)
    _add_images(parser)
    _add_run(parser)


def _add_server(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", required=True, metavar="URL", help="the server, as http://localhost:8888")
    parser.add_argument("--namespace", default="", metavar="NAME", help="yours, on a server with many users")
    parser.add_argument("--token-file", default="", metavar="FILE", help=f"a bearer token (or {TOKEN} is set)")
    parser.add_argument("--ca-cert", default="", metavar="FILE", help="certificate of the host's authority")
    parser.add_argument("--ui", default="", metavar="URL", help="address of the UI in links (default: the host)")


def _add_images(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--registry",
        type=options.registry,
        default="",
        metavar="R",
        help="registry of the images, not the compiled one",
    )
    parser.add_argument(
        "--tag", type=options.image_tag, default="", metavar="T", help="tag of the images; never a moving one"
    )
    parser.add_argument(
        "--accelerators",
        type=options.at_least_zero,
        default=0,
        metavar="N",
        help="accelerators a training step asks for",
    )
    parser.add_argument("--accelerator", default="", metavar="TYPE", help="resource name (default: nvidia.com/gpu)")


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--champion", default="", metavar="NAME", help="release to beat in a single run, if not the current"
    )
    parser.add_argument("--experiment", default=EXPERIMENT, metavar="NAME", help="it must exist (default: %(default)s)")
    parser.add_argument("--create-experiment", action="store_true", help="make the experiment where there is none")
    parser.add_argument("--run-name", default="", metavar="NAME", help="name of the run (default: the config's)")
    parser.add_argument("--pipeline-root", metavar="URL", help="where artifacts go (default: the server's)")
    parser.add_argument(
        "--volume-claim",
        default="souk-workspace",
        metavar="NAME",
        help='volume of the workspace, mounted in every step; "" for none (default: %(default)s)',
    )
    parser.add_argument(
        "--env-secret",
        default="",
        metavar="NAME",
        help=f"a Secret with the key {PASSWORD}, for the steps that publish to a Redis",
    )
    parser.add_argument("--service-account", metavar="NAME", help="the steps' account (default: the server's)")
    parser.add_argument("--wait", action="store_true", help="follow the run to its end")
    parser.add_argument(
        "--deadline", type=options.positive, default=720.0, metavar="MIN", help="of --wait (default: 720 minutes)"
    )
    parser.add_argument(
        "--poll", type=options.positive, default=10.0, metavar="S", help="how often --wait asks (default: 10 s)"
    )
    when = parser.add_mutually_exclusive_group()
    when.add_argument(
        "--cron", type=options.cron_line, metavar="LINE", help='run again and again, as "0 3 * * *" (UTC)'
    )
    when.add_argument("--every", type=options.hours, metavar="HOURS", help="run again after so many hours")
    parser.add_argument("--recurring-name", default="", metavar="NAME", help="of the recurring run (default: config's)")


def run(arguments: argparse.Namespace) -> int:
    """Returns 0 when the server has taken it and, with --wait, the run succeeded; 1 when the run failed."""
    from souk.cli import training
    from souk.cli.kubeflow import Server  # kfp takes a second to import
    from souk.cli.submission import Submission

    recurring = bool(arguments.cron or arguments.every)
    if recurring and arguments.wait:
        raise SoukError("--wait with a single run", "a recurring run", "Leave out one of the two.")
    if recurring and arguments.champion:
        remedy = "Leave it out: each run compares with the release that is current by then."
        raise SoukError("--champion with a single run", "a recurring run", remedy)
    spec, values, name = _prepare(arguments, fresh=recurring)
    token = _token(arguments.token_file, os.environ.get(TOKEN, ""))
    server = Server(arguments.host, arguments.namespace, token, arguments.ca_cert)
    server.open()
    if arguments.namespace and not server.many_users:
        print(f"note: {server.host} has one user and no namespaces; --namespace is left out", file=sys.stderr)
    submission = Submission(server, arguments.ui or server.host, arguments.pipeline_root, arguments.service_account)
    try:
        documents = training.documents(spec, arguments.volume_claim, arguments.workspace, arguments.env_secret)
        submission.upload(documents, arguments.experiment, arguments.create_experiment)
        if recurring:
            submission.repeat(arguments.recurring_name or name, values, when=(arguments.cron, arguments.every))
        else:
            submission.start(arguments.run_name or name, values)
    except SoukError as error:
        raise submission.with_what_stays(error) from error
    return _wait(arguments, server, submission.run_id, spec) if arguments.wait else 0


def _prepare(arguments: argparse.Namespace, fresh: bool) -> tuple[dict[str, Any], dict[str, Any], str]:
    """The pipeline, its parameters, and the config's name; what can be wrong here is told before any call."""
    from souk.cli import training

    config = load_config(arguments.config, arguments.data)
    for path in _local_paths(config.data):
        print(f"note: {path} must be there for the steps too, on a volume or in the image", file=sys.stderr)
    schema = training.schema_parameter(Path(arguments.config), config.name, Workspace(Path(arguments.workspace)))
    if not schema:
        print(
            f"note: the schemas of {config.name} in the steps' workspace hold; an `ingest` from the cache sees no edit"
            f" of them, as it sees one of {config.name}.schema/ beside the config",
            file=sys.stderr,
        )
    values = training.parameters(arguments, config, arguments.workspace, arguments.champion, schema)
    spec = training.with_code_digests(training.load_pipeline(), config)
    spec = training.with_images(spec, arguments.registry, arguments.tag)
    if not (arguments.registry and arguments.tag):
        print(
            "note: without --registry and --tag the images are those of this machine, localhost/...:dev",
            file=sys.stderr,
        )
    spec = training.with_accelerators(spec, arguments.accelerators, arguments.accelerator)
    return training.with_data_read_anew(spec) if fresh else spec, values, config.name


def _local_paths(data: Data) -> list[str]:
    sources = (data.events, data.items, data.users)
    paths = [source.path for source in sources if source is not None] + [data.event_log]
    return [path for path in paths if path and "://" not in path]


def _token(file: str, value: str) -> Callable[[], str] | None:
    """Reads the token of `file` anew each time, else gives `value`; None where there is neither."""
    if not file:
        token = options.visible_token(value, TOKEN) if value else ""
        return (lambda: token) if token else None

    def read() -> str:
        try:
            return options.visible_token(Path(file).read_text(encoding="utf-8"), file)
        except (OSError, UnicodeDecodeError) as error:
            raise SoukError("a file with a token", f"{file} ({error})", "Give it with --token-file FILE.") from error

    read()
    return read


def _wait(arguments: argparse.Namespace, server: Server, run_id: str, spec: dict[str, Any]) -> int:
    from souk.cli.kubeflow_wait import SUCCEEDED, follow, goes_on, reasons, task_names

    try:
        ended = follow(
            server,
            run_id,
            tasks=task_names(spec),
            seconds=arguments.deadline * 60,
            every=arguments.poll,
            say=lambda line: print(line, flush=True),
            clock=time.monotonic,
            sleep=time.sleep,
        )
    except KeyboardInterrupt:
        print(f"\n{goes_on(run_id)}", file=sys.stderr)
        raise
    if ended.state == SUCCEEDED:
        return 0
    print(*(f"  {line}" for line in reasons(ended)), sep="\n", file=sys.stderr)
    print(f"souk submit: the run ended {ended.state}", file=sys.stderr)
    return 1
