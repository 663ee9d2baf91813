"""The wheel carries souk and the compiled pipelines, nothing else, and an editable install shows the same."""

import configparser
import importlib.metadata
import importlib.resources
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def setup_cfg() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def test_setup_cfg_names_every_package() -> None:
    named = setup_cfg()["options"]["packages"].split()
    found = {str(path.parent.relative_to(ROOT)).replace("/", ".") for path in ROOT.glob("souk/**/__init__.py")}
    assert sorted(named) == sorted(found | {"souk.compiled"})


def test_there_is_no_project_table() -> None:
    assert "[project]" not in (ROOT / "pyproject.toml").read_text("utf-8").splitlines()


def test_the_editable_install_shows_the_compiled_pipelines() -> None:
    shown = {path.name for path in importlib.resources.files("souk.compiled").iterdir() if path.name.endswith(".yaml")}
    assert shown == {path.name for path in (ROOT / "pipelines" / "compiled").glob("*.yaml")}


def test_souk_is_a_console_script() -> None:
    [script] = importlib.metadata.entry_points(group="console_scripts", name="souk")
    assert script.value == "souk.cli:main"


@pytest.mark.parametrize("lock", ["main.txt", "drift.txt"])
def test_each_extra_is_in_its_lock(lock: str) -> None:
    locked = (ROOT / "requirements" / lock).read_text("utf-8")
    extras = setup_cfg()["options.extras_require"]
    chosen = [extra for extra in extras if (extra == "drift") == (lock == "drift.txt") and extra != "all"]
    for line in " ".join(extras[extra] for extra in chosen).split():
        name, _, version = line.partition("==")
        name = name.partition("[")[0].lower()
        assert f"\n{name}=={version}" in locked, f"{line} is not in requirements/{lock}: make lock"


def test_what_the_datasets_wheel_asks_for_stays_out_of_the_lock() -> None:
    names = {line.partition("==")[0] for line in (ROOT / "requirements" / "main.txt").read_text("utf-8").splitlines()}
    assert "recbole" in names
    assert not names & {"torch", "ray", "tensorboard", "plotly", "thop"}


def test_the_wheel_carries_souk_and_the_compiled_pipelines_only(tmp_path: Path) -> None:
    wheel = build_wheel(tmp_path)
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"souk"}
    golden = {f"souk/compiled/{path.name}" for path in (ROOT / "pipelines" / "compiled").glob("*.yaml")}
    assert golden == {name for name in names if name.startswith("souk/compiled/") and name.endswith(".yaml")}
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "souk").rglob("*.py")}
    assert modules <= set(names)
    shown = "import importlib.resources as r; print(*sorted(p.name for p in r.files('souk.compiled').iterdir()))"
    run = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path.insert(0, {str(wheel)!r}); {shown}"],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert set(run.stdout.split()) == {Path(name).name for name in golden} | {"__init__.py"}


def build_wheel(folder: Path) -> Path:
    """Builds souk's wheel from a copy of the sources, so that no build output lands among them."""
    source = folder / "source"
    source.mkdir()
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, source)
    for name in ("souk", "pipelines"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    backend = "from setuptools import build_meta; print(build_meta.build_wheel('..'))"
    subprocess.run([sys.executable, "-c", backend], check=True, capture_output=True, cwd=source)
    [wheel] = folder.glob("souk-*.whl")
    return wheel
