"""Each extra in a clean virtual environment, installed by the RUN lines of the Containerfile: what it promises imports,
what belongs to others is not there. One after the other, from uv's cache; each environment is gone after its test."""

import argparse
import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grimp
import pytest
from packaging.requirements import Requirement

from components.images import IMAGES, ROOT, Image
from souk.cli import COMMANDS
from souk.cli.code import closure
from souk.cli.extras import NEEDS
from tests.requirements import absent
from tests.test_images import stages
from tests.test_packaging import setup_cfg

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="the images are Linux")]

# Rows of the table, and what a user installs without an image.
ENVIRONMENTS = {**IMAGES, "none": Image(()), "datasets": Image(("datasets",))}
# Modules that must not be found; development tools come on top of it everywhere.
ABSENT = {
    "none": "apache_beam feast grimp kfp kserve kubernetes matplotlib pymilvus recbole tensorflow alibi_detect torch",
    "datasets": "apache_beam feast kfp kserve pymilvus tensorflow torch ray alibi_detect",
    "pipeline": "apache_beam feast kserve pymilvus tensorflow tensorflow_data_validation alibi_detect",
    "preprocess": "kserve pymilvus milvus_lite keras_rs alibi_detect matplotlib",
    "train": "feast kserve pymilvus milvus_lite tensorflow_data_validation alibi_detect",
    "index": "apache_beam feast kserve keras tensorflow alibi_detect matplotlib",
    "deploy": "apache_beam kserve keras_rs tensorflow_transform tensorflow_data_validation alibi_detect matplotlib",
    "serve": "apache_beam kfp keras_rs tensorflow_transform tensorflow_data_validation alibi_detect matplotlib",
    "drift": "apache_beam feast kfp keras pymilvus tensorflow torch",
}
PROGRAM = """
import importlib, importlib.metadata, importlib.util, json, sys
wanted, absent = json.loads(sys.argv[1])
failed = {}
for name in wanted:
    try:
        importlib.import_module(name)
    except Exception as error:
        failed[name] = f"{type(error).__name__}: {error}"
found = [name for name in absent if importlib.util.find_spec(name)]
distributions = sorted({d.metadata["Name"].lower().replace("_", "-") for d in importlib.metadata.distributions()})
print("CHECKED" + json.dumps([failed, found, distributions]))
"""


@dataclass(frozen=True)
class Environment:
    """A virtual environment of one row, outside of the checkout."""

    name: str
    row: Image
    path: Path

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs a program of the environment, with nothing of the checkout in sight."""
        command = [str(self.path / "bin" / words[0]), *words[1:]]
        variables = {"PATH": f"{self.path}/bin:/usr/bin:/bin", "HOME": str(self.path), "TF_CPP_MIN_LOG_LEVEL": "3"}
        return subprocess.run(command, cwd=self.path, env=variables, capture_output=True, text=True, timeout=300)


@pytest.fixture(params=ENVIRONMENTS)
def environment(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Environment]:
    name, row = request.param, ENVIRONMENTS[request.param]
    path = tmp_path / "environment"
    build(row, tmp_path / "build", path)
    yield Environment(name, row, path)
    shutil.rmtree(path)


def build(row: Image, source: Path, path: Path) -> None:
    """What the Containerfile does for a row: its COPY lines into `source`, its RUN lines on the environment `path`."""
    uv = shutil.which("uv", path=f"{ROOT}/.tools/uv/bin:{os.environ['PATH']}") or absent("uv", "make .tools/uv/bin/uv")
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(path)], check=True)
    packages, souk, _ = stages()
    variables = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
        "PATH": f"{Path(uv).parent}:{path}/bin:/usr/bin:/bin",
        "VIRTUAL_ENV": str(path),
        "UV_QUIET": "1",
    }
    given = {"EXTRAS": ",".join(row.extras), "LOCK": row.lock}
    source.mkdir()
    for instruction, value in [*packages[1:], *souk]:
        if instruction == "FROM":  # what it is given ends with a stage
            variables = {name: value for name, value in variables.items() if name not in given}
        elif instruction == "ARG" and (name := value.partition("=")[0]) in given:
            variables[name] = given[name]
        elif instruction == "COPY":
            *names, target = value.split()
            copy(names, source / target)
        elif instruction == "RUN" and "UV_VERSION" not in value:
            script = value.replace("/opt/added", str(path)).replace("${EXTRAS:?", "${EXTRAS?")  # "none" has no extra
            run = subprocess.run(["sh", "-c", script], cwd=source, env=variables, capture_output=True, text=True)
            assert run.returncode == 0, run.stderr


def copy(names: list[str], target: Path) -> None:
    for name in names:
        place = target / name if target.is_dir() else target
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, place)


def promised(row: Image) -> list[str]:
    """The modules of souk that must import: what the steps of the image, and the commands of its extras, can reach."""
    graph = grimp.build_graph("souk", cache_dir=None)
    roots = {"souk.cli", *(COMMANDS[name][0] for name, extras in NEEDS.items() if {*extras} <= {*row.extras})}
    roots |= {f"souk.steps.{step}" for step in steps_of(row)}
    if "drift" in row.extras:
        roots |= {name for name in graph.modules if name.startswith("souk.drift")}
    return sorted(closure(graph, roots) if row.extras else {module for module, _ in COMMANDS.values()} | PLAIN)


PLAIN = {"souk.config", "souk.readers", "souk.schema", "souk.spec", "souk.state", "souk.workspace", "souk.metrics"}


def steps_of(row: Image) -> list[str]:
    [name] = [name for name, other in IMAGES.items() if other == row] or [""]
    files = (ROOT / "components").glob("*.py")
    return [path.stem for path in files if f'base_image=image("{name}")' in path.read_text("utf-8")]


def development_tools() -> set[str]:
    wanted = {Requirement(line).name.lower() for line in setup_cfg()["options.extras_require"]["dev"].split()}
    return {name for name in wanted if not name.startswith(("pandas-stubs", "types-"))} | {"pytest-cov"}


def test_it_holds_what_it_promises_and_nothing_of_the_others(environment: Environment) -> None:
    wanted, absent_modules = promised(environment.row), ABSENT[environment.name].split()
    run = environment.run("python", "-c", PROGRAM, json.dumps([wanted, absent_modules]))
    assert run.returncode == 0, run.stderr
    failed, found, distributions = json.loads(run.stdout.rpartition("CHECKED")[2])
    assert failed == {}
    assert found == []
    assert "souk" in distributions
    assert not development_tools() & set(distributions)
    helped = environment.run("souk", "--help")
    assert helped.returncode == 0, helped.stderr
    assert all(f"\n  {name} " in helped.stdout for name in COMMANDS)
    refuses_what_it_cannot_do(environment, set(distributions))


def refuses_what_it_cannot_do(environment: Environment, distributions: set[str]) -> None:
    """One line that names the extra: every command without any extra, one command elsewhere."""
    table = setup_cfg()["options.extras_require"]
    wanted = {c: {Requirement(r).name for e in extras for r in table[e].split()} for c, extras in NEEDS.items()}
    refused = [command for command, packages in wanted.items() if packages - distributions]
    assert set(refused) == set(NEEDS) if environment.name == "none" else refused
    for command in refused if environment.name == "none" else refused[:1]:
        run = environment.run("souk", command, *required_words(command))
        assert run.returncode == 2
        assert run.stderr.startswith(f"souk {command}: Expected the packages of the extra"), run.stderr
        assert "pip install -e '.[" in run.stderr
        assert run.stderr.count("\n") == 1


def required_words(command: str) -> list[str]:
    """Something for each option that a command cannot go without."""
    parser = argparse.ArgumentParser()
    importlib.import_module(COMMANDS[command][0]).configure(parser)
    return words_of(parser)


def words_of(parser: argparse.ArgumentParser) -> list[str]:
    words: list[str] = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            name, of_action = next(iter(action.choices.items()))
            words += [name, *words_of(of_action)]
        elif action.required:
            words += [*action.option_strings[:1], "x"]
    return words
