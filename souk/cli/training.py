"""The compiled training pipeline, and the parameters that a config gives it."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib.resources
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from souk.cli.code import code_digests
from souk.config import STEP_SECTIONS, Data, DatasetConfig
from souk.errors import SoukError
from souk.ingest.packed import packed
from souk.plugs import code_of
from souk.readers import find_files, fingerprint
from souk.store.address import PASSWORD
from souk.workspace import Workspace

Spec = dict[str, Any]
SCHEMA_BYTES = 100_000  # of the 131,071 of a step's parameters
ASKING = ("evaluate", "package_release")  # steps that ask classes of one's own


def load_pipeline(name: str = "training") -> Spec:
    """The intermediate representation that `make compile` wrote.

    Raises:
        SoukError: this installation carries none.
    """
    try:
        text = (importlib.resources.files("souk.compiled") / f"{name}.yaml").read_text(encoding="utf-8")
    except (ModuleNotFoundError, FileNotFoundError) as error:
        raise SoukError(
            f"the compiled pipeline souk.compiled/{name}.yaml",
            "an installation without it",
            "Run `make compile` in a checkout and `pip install -e .`, or install the wheel.",
        ) from error
    spec: Spec = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # nosec B506: a safe loader in C
    return spec


def with_code_digests(spec: Spec, config: DatasetConfig | None = None) -> Spec:
    """The pipeline with SOUK_CODE of each executor set to the digest of the code that it runs, that of the classes of
    one's own in `config` among it."""
    containers = [executor["container"] for executor in spec["deploymentSpec"]["executors"].values()]
    digests = code_digests({_step(container) for container in containers})
    own = [each.use for each in (*config.retrievers.values(), config.ranker) if each] if config else []
    if own:
        for step in ASKING:
            digests[step] = hashlib.sha256(" ".join([digests[step], *map(code_of, own)]).encode()).hexdigest()[:16]
    for container in containers:
        for variable in container.get("env", []):
            if variable["name"] == "SOUK_CODE":
                variable["value"] = digests[_step(container)]
    return spec


def with_images(spec: Spec, registry: str, tag: str) -> Spec:
    """The pipeline with every image taken from `registry` at `tag`; "" leaves either as compiled."""
    for executor in spec["deploymentSpec"]["executors"].values():
        container = executor["container"]
        path, _, old_tag = container["image"].rpartition(":")
        old_registry, _, name = path.rpartition("/")
        container["image"] = f"{registry.rstrip('/') or old_registry}/{name}:{tag or old_tag}"
    return spec


def with_data_read_anew(spec: Spec) -> Spec:
    """The pipeline for recurring runs: `ingest` is never cached, nor what follows it, for its parameters stay while the
    data behind them changes."""
    for component in [spec["root"], *spec["components"].values()]:
        for key, task in component.get("dag", {}).get("tasks", {}).items():
            if key == "ingest":
                task["cachingOptions"] = {}
    return spec


def with_verdicts_cached(spec: Spec) -> Spec:
    """The pipeline for who gives `champion_condition`: a verdict is reused as long as the champion is what it was."""
    for component in spec["components"].values():
        for key, task in component.get("dag", {}).get("tasks", {}).items():
            if key == "evaluate":
                task["cachingOptions"] = {"enableCache": True}
    return spec


def documents(spec: Spec, claim: str, workspace: str, secret: str = "") -> list[Spec]:
    """What is uploaded: the pipeline and, for Kubernetes, the volume of `claim` at `workspace` in every step's pod, and
    the Redis password of `secret`, its key as the variable, in the environment of those that have an online store.

    The second is what `mount_pvc` and `use_secret_as_env` of `kfp.kubernetes` compile to; servers before 2.15 read
    `constant` and `secretName`. Without either the pipeline stands alone.
    """
    mount = {"constant": claim, "pvcNameParameter": _named(claim), "mountPath": workspace}
    password = {
        "keyToEnv": [{"envVar": PASSWORD, "secretKey": PASSWORD}],
        "optional": False,
        "secretName": secret,
        "secretNameParameter": _named(secret),
    }
    executors: Spec = {}
    for name, executor in spec["deploymentSpec"]["executors"].items():
        stored = "online_store" in STEP_SECTIONS.get(_step(executor["container"]), ())
        wanted = {"pvcMount": [mount] if claim else [], "secretAsEnv": [password] if secret and stored else []}
        if parts := {key: value for key, value in wanted.items() if value}:
            executors[name] = parts
    return [spec, {"platforms": {"kubernetes": {"deploymentSpec": {"executors": executors}}}}] if executors else [spec]


def _named(name: str) -> Spec:
    return {"runtimeValue": {"constant": name}}


def with_accelerators(spec: Spec, count: int, kind: str = "") -> Spec:
    """The pipeline with `count` accelerators, of resource name `kind` or as compiled, on each training step."""
    for executor in spec["deploymentSpec"]["executors"].values():
        accelerator = executor["container"].get("resources", {}).get("accelerator")
        if accelerator:
            # Servers before 2.4 read the first two.
            accelerator["count"] = accelerator["resourceCount"] = str(count)
            accelerator["type"] = accelerator["resourceType"] = kind or accelerator["resourceType"]
    return spec


def parameters(
    options: argparse.Namespace,
    config: DatasetConfig,
    workspace: str,
    champion: str,
    schema: str,
    champion_condition: str = "",
) -> Spec:
    """The arguments of the training pipeline.

    Args:
        options: of `souk.cli.options.add_pipeline`.
        config: the dataset config.
        workspace: path of the workspace, where the steps run.
        champion: name of the release that is served, "" for none.
        schema: of `schema_parameter`: the schemas to enforce, "" for those of the workspace.
        champion_condition: of souk.release.condition; "" where nobody looked, and then no verdict may be reused.
    """
    return {
        **data_parameters(options, config, workspace, schema),
        "champion": champion,
        "champion_condition": champion_condition,
        "gate_margin": "" if options.gate_margin is None else repr(options.gate_margin),
    }


def data_parameters(options: argparse.Namespace, config: DatasetConfig, workspace: str, schema: str) -> Spec:
    """The arguments of any pipeline that begins with the data; `options` of `souk.cli.options.add_data`."""
    return {
        "workspace": workspace,
        "fingerprint": _fingerprint(config.data),
        **{f"{step}_config": config.for_step(step) for step in STEP_SECTIONS},
        "schema": schema,
        "beam_runner": options.beam_runner,
        "beam_options": json.dumps(options.beam_options) if options.beam_options else "",
        "epochs": options.epochs,
    }


def schema_parameter(config_path: Path, name: str, workspace: Workspace) -> str:
    """The schemas to enforce, packed (souk.ingest.packed): those beside the config in `<name>.schema/`, else those of
    the workspace where they were edited since `ingest` inferred them, else "" (the step finds or infers them itself).

    Raises:
        SoukError: they are too long for a step's command line, packed as they are.
    """
    folder, texts = _beside(config_path, name), committed_schemas(config_path, name)
    if not texts:
        folder = workspace.schemas / name
        texts = _schemas(folder)
        if texts == _schemas(folder / ".inferred"):
            return ""
    text = packed(texts) if texts else ""
    if len(text) > SCHEMA_BYTES:
        longest = max(texts, key=lambda table: len(packed({table: texts[table]})))
        raise SoukError(
            f"schemas of at most {SCHEMA_BYTES:,} bytes, packed for a step's command line",
            f"{len(text):,} bytes, most of them of {folder / longest}.pbtxt",
            "Delete there string_domain and distribution_constraints of columns whose min_domain_mass is below 1: they "
            "refuse no row.",
        )
    return text


def committed_schemas(config_path: Path, name: str) -> dict[str, str]:
    """The schemas beside a config, by table."""
    return _schemas(_beside(config_path, name))


def _beside(config_path: Path, name: str) -> Path:
    return config_path.parent / f"{name}.schema"


def check_files(data: Data) -> None:
    """Looks whether the files of `data` are there.

    Raises:
        SoukError: some are not; the config may know how to get them.
    """
    with _obtained(data):
        for source in (data.events, data.items, data.users):
            if source:
                find_files(source.path)


def _fingerprint(data: Data) -> str:
    with _obtained(data):
        return fingerprint(data)


@contextlib.contextmanager
def _obtained(data: Data) -> Iterator[None]:
    """An error about files that are not there ends with how to get them, where the config knows."""
    try:
        yield
    except SoukError as error:
        if not data.obtain:
            raise
        raise SoukError(error.expected, error.received, f"{error.remedy} To get the data: {data.obtain}") from error


def _schemas(folder: Path) -> dict[str, str]:
    return {file.stem: file.read_text(encoding="utf-8") for file in sorted(folder.glob("*.pbtxt"))}


def _step(container: Spec) -> str:
    arguments: list[str] = container["args"]
    return arguments[arguments.index("--function_to_execute") + 1]
