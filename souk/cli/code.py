"""Digests of the code behind each step, so that a changed line reruns what depends on it and nothing else."""

from __future__ import annotations

import hashlib
import importlib.metadata
import sys
from collections.abc import Iterable
from pathlib import Path

import grimp

import souk

# Their versions change results, or may.
PACKAGES = (
    "apache-beam",
    "feast",
    "keras",
    "keras-rs",
    "milvus-lite",
    "numpy",
    "pandas",
    "pyarrow",
    "pymilvus",
    "tensorflow",
    "tensorflow-data-validation",
    "tensorflow-transform",
)
BODY = {"souk.config", "souk.progress"}  # what the components themselves import


def code_digests(steps: Iterable[str]) -> dict[str, str]:
    """For each step 16 hex digits over the source of all that it imports, the Python and the package versions."""
    graph = grimp.build_graph("souk", cache_dir=None)
    versions = _versions()
    return {step: _digest(closure(graph, {f"souk.steps.{step}", *BODY}), versions) for step in steps}


def closure(graph: grimp.ImportGraph, modules: set[str]) -> set[str]:
    """The modules that `modules` can import, at once or within a function, and the packages that hold them."""
    found: set[str] = set()
    new = modules
    while new:
        found |= new
        holders = {".".join(name.split(".")[:end]) for name in new for end in range(1, name.count(".") + 1)}
        imported = {other for name in new if name in graph.modules for other in graph.find_upstream_modules(name)}
        new = (holders | imported) - found
    return found


def _digest(modules: set[str], versions: str) -> str:
    digest = hashlib.sha256(versions.encode())
    root = Path(souk.__path__[0])
    for path in sorted(file for module in modules for file in _files(root, module)):
        digest.update(f"\0{path.relative_to(root)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _files(root: Path, module: str) -> list[Path]:
    """The source of a module; for a package also the templates and the like beside it."""
    path = root.joinpath(*module.split(".")[1:])
    if not path.is_dir():
        return [source] if (source := path.with_suffix(".py")).is_file() else []
    data = (file for file in path.rglob("*") if file.is_file() and file.suffix not in (".py", ".pyc"))
    return [path / "__init__.py", *(file for file in data if _package(file) == path)]


def _package(file: Path) -> Path:
    return next(folder for folder in file.parents if (folder / "__init__.py").is_file())


def _versions() -> str:
    python = ".".join(map(str, sys.version_info[:2]))
    installed = {d.metadata["Name"].lower(): d.version for d in map(_distribution, PACKAGES) if d}
    return f"python {python} " + " ".join(f"{name}={version}" for name, version in sorted(installed.items()))


def _distribution(name: str) -> importlib.metadata.Distribution | None:
    try:
        return importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return None
