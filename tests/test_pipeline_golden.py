"""The compiled pipelines are those of the source, and say what a cluster needs to know."""

import configparser
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path
from typing import Any

import grimp
import pytest
import yaml
from kfp import dsl
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from components.images import image
from pipelines.compile import COMPILED, compile_into, stale
from souk.config import STEP_SECTIONS

STEPS = {*STEP_SECTIONS, "report_run"}
TUNING = {"ingest", "build_features", "tune_draw", "tune_trial", "tune_choose"}
TRAINS = ("train_two_tower", "train_ranker", "tune_trial")


@pytest.fixture(scope="module")
def training() -> dict[str, Any]:
    return yaml.safe_load((COMPILED / "training.yaml").read_text("utf-8"))


@pytest.fixture(scope="module")
def tuning() -> dict[str, Any]:
    return yaml.safe_load((COMPILED / "tuning.yaml").read_text("utf-8"))


@pytest.fixture(scope="module", params=["training", "tuning"])
def pipeline(request: pytest.FixtureRequest) -> dict[str, Any]:
    return request.getfixturevalue(request.param)


def containers(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {label: executor["container"] for label, executor in spec["deploymentSpec"]["executors"].items()}


def step_of(container: dict[str, Any]) -> str:
    return container["args"][container["args"].index("--function_to_execute") + 1]


def test_compiled_pipelines_are_those_of_the_source() -> None:
    assert not stale(), "run `make compile`, look at the difference and commit it"


def test_a_changed_file_is_stale(tmp_path: Path) -> None:
    path, _ = compile_into(tmp_path)
    path.write_text(path.read_text("utf-8").replace("FnApiRunner", "DirectRunner"), "utf-8")
    assert stale(tmp_path) == ["training.yaml"]
    path.unlink()
    assert stale(tmp_path) == ["training.yaml"]


def test_component_file_and_step_have_one_name(training: dict[str, Any], tuning: dict[str, Any]) -> None:
    trained, tuned = ({step_of(each) for each in containers(spec).values()} for spec in (training, tuning))
    files = {path.stem for path in (COMPILED.parents[1] / "components").glob("*.py")} - {"__init__", "images"}
    assert (trained, tuned) == (STEPS, TUNING)
    assert files == STEPS | TUNING


def test_nothing_is_installed_at_run_time_and_no_tag_moves(pipeline: dict[str, Any]) -> None:
    for label, container in containers(pipeline).items():
        assert "pip install" not in " ".join(container["command"]), label
        assert container["image"].endswith(":dev"), label
        assert container["image"].startswith(image("train").rpartition("train")[0]), label


def test_every_task_has_a_place_for_the_code_digest_and_requests(pipeline: dict[str, Any]) -> None:
    for label, container in containers(pipeline).items():
        assert container["env"] == [{"name": "SOUK_CODE", "value": "dev"}], label
        assert container["resources"]["resourceCpuRequest"], label
        assert container["resources"]["resourceMemoryRequest"], label
        trains = step_of(container) in TRAINS
        assert ("accelerator" in container["resources"]) == trains, label


def test_refit_and_deployment_stand_behind_the_gate(training: dict[str, Any]) -> None:
    body = training["components"]["comp-exit-handler-1"]["dag"]["tasks"]
    [guarded] = [task for task in body.values() if "condition" in task.get("triggerPolicy", {})]
    assert (
        guarded["triggerPolicy"]["condition"]
        == "inputs.parameter_values['pipelinechannel--evaluate-Output'] == 'promote'"
    )
    behind = training["components"][guarded["componentRef"]["name"]]["dag"]["tasks"]
    assert {task["taskInfo"]["name"].partition(" ")[0] for task in behind.values()} == {
        "train_two_tower",
        "load_index",
        "train_ranker",
        "package_release",
        "deploy",
    }


def test_what_must_always_run_is_not_cached(training: dict[str, Any]) -> None:
    tasks = [
        task
        for dag in (training["root"], *training["components"].values())
        for task in dag.get("dag", {}).get("tasks", {}).values()
        if task["componentRef"]["name"].removeprefix("comp-").partition("-2")[0] not in ("condition", "exit-handler-1")
    ]
    always = {task["taskInfo"]["name"] for task in tasks if not task["cachingOptions"].get("enableCache")}
    assert always == {"evaluate", "deploy", "report_run"}


def test_the_end_of_a_run_goes_by_what_is_the_run_s_own(training: dict[str, Any]) -> None:
    """The name that a server gives a run is the same for each run of a config."""
    [given] = [
        task["inputs"]["parameters"]
        for task in training["root"]["dag"]["tasks"].values()
        if task["taskInfo"]["name"] == "report_run"
    ]
    assert given["run"]["runtimeValue"]["constant"] == dsl.PIPELINE_JOB_RESOURCE_NAME_PLACEHOLDER


def test_parameters_carry_every_step_config(training: dict[str, Any]) -> None:
    parameters = training["root"]["inputDefinitions"]["parameters"]
    required = {name for name, value in parameters.items() if not value.get("isOptional")}
    assert required == {"workspace", "fingerprint", *(f"{step}_config" for step in STEP_SECTIONS)}


def test_trials_run_side_by_side_in_two_rounds_and_every_task_is_cached(tuning: dict[str, Any]) -> None:
    tasks = tuning["root"]["dag"]["tasks"]
    rounds = [task for task in tasks.values() if "parameterIterator" in task]
    assert [task["iteratorPolicy"]["parallelismLimit"] for task in rounds] == [2, 2]
    inner = [tuning["components"][task["componentRef"]["name"]]["dag"]["tasks"] for task in rounds]
    flat = [task for dag in inner for task in dag.values()]
    assert {task["taskInfo"]["name"].partition(" ")[0] for task in flat} == {"tune_trial"}
    plain = [task for task in tasks.values() if "parameterIterator" not in task]
    assert all(task["cachingOptions"]["enableCache"] for task in (*flat, *plain))


def installed_with(wanted: Iterable[str]) -> set[str]:
    """The names of the distributions that come with requirements, as installed here."""
    found: set[str] = set()
    new = [Requirement(line) for line in wanted]
    while new:
        requirement = new.pop()
        name = str(canonicalize_name(requirement.name))
        key = f"{name}[{','.join(sorted(requirement.extras))}]"
        if key in found:
            continue
        found |= {key, name}
        try:
            below = [Requirement(line) for line in requires(name) or ()]
        except PackageNotFoundError:
            continue
        extras = requirement.extras or {""}
        new += [r for r in below if not r.marker or any(r.marker.evaluate({"extra": extra}) for extra in extras)]
    return found


def test_each_image_has_what_its_step_imports(pipeline: dict[str, Any]) -> None:
    setup = configparser.ConfigParser()
    setup.read(COMPILED.parents[1] / "setup.cfg", encoding="utf-8")
    base = setup["options"]["install_requires"].split() + setup["options.extras_require"]["pipeline"].split()
    graph = grimp.build_graph("souk", include_external_packages=True, cache_dir=None)
    names = packages_distributions()
    for container in containers(pipeline).values():
        step, extra = step_of(container), container["image"].rpartition("souk-")[2].removesuffix(":dev")
        modules = {f"souk.steps.{step}", *graph.find_upstream_modules(f"souk.steps.{step}")}
        imported = {top for top in modules if "." not in top and top != "souk"} - sys.stdlib_module_names - {"google"}
        needed = {top: {str(canonicalize_name(name)) for name in names[top]} for top in imported}
        present = installed_with(base + setup["options.extras_require"][extra].split())
        missing = {top for top, distributions in needed.items() if not distributions & present}
        assert not missing, f"{step} imports {missing}, which the image of the extra {extra!r} lacks"
