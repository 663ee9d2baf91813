"""What a command can reach is what its extras bring: read from the imports and from the installed packages."""

import importlib.metadata
import re
import sys
from functools import cache

import grimp
import pytest
from packaging.requirements import Requirement

from souk.cli import COMMANDS, main
from souk.cli.code import closure
from souk.cli.extras import NEEDS
from tests.test_packaging import ROOT, setup_cfg

OPTIONAL = ("telemetry", "kafka")  # imported by who asks for it, with an error that names the extra
ASKED = {"release": ("deploy",)}  # likewise: `prune` may have a cluster to ask, or states to delete


@cache
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("souk", include_external_packages=True, cache_dir=None)


@cache
def ours() -> grimp.ImportGraph:
    return grimp.build_graph("souk", cache_dir=None)


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def asked_for(package: str) -> list[str]:
    """What an installed package asks for; nothing where the lock leaves the package out (requirements/uv.toml)."""
    try:
        return importlib.metadata.requires(package) or []
    except importlib.metadata.PackageNotFoundError:
        return []


def brought(extras: tuple[str, ...]) -> set[str]:
    """The packages of an installation with these extras, with all that they ask for in turn."""
    table = setup_cfg()
    groups = [table["options"]["install_requires"], *(table["options.extras_require"][extra] for extra in extras)]
    waiting = [Requirement(line) for group in groups for line in group.split("\n") if line]
    found: set[tuple[str, str]] = set()
    while waiting:
        wanted = waiting.pop()
        for extra in ("", *wanted.extras):
            if (plain(wanted.name), extra) in found:
                continue
            found.add((plain(wanted.name), extra))
            for line in asked_for(wanted.name):
                inner = Requirement(line)
                if inner.marker is None or inner.marker.evaluate({"extra": extra}):
                    waiting.append(inner)
    return {name for name, _ in found}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_reaches_nothing_that_its_extras_do_not_bring(command: str) -> None:
    packages = importlib.metadata.packages_distributions()
    there = brought((*NEEDS.get(command, ()), *ASKED.get(command, ()), *OPTIONAL))
    modules = closure(ours(), {"souk.cli", COMMANDS[command][0]})
    outside = {name for module in modules for name in graph().find_modules_directly_imported_by(module)}
    outside -= {name for name in outside if name.startswith("souk") or name in sys.stdlib_module_names}
    assert {name for name in outside if not {plain(n) for n in packages.get(name, [])} & there} == set()


def test_what_a_cluster_serves_is_asked_for_by_who_has_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("souk.cli.extras._installed", lambda name: name != "kubernetes")
    assert main(["release", "prune", "--config", "shop.yaml"]) != 0
    assert (
        "Expected the packages of the extra deploy. Received: an installation without kubernetes."
        in capsys.readouterr().err
    )


def test_nothing_says_to_install_souk_by_its_name() -> None:
    """On PyPI `souk` is another project."""
    kinds = (".md", ".py", ".yaml", ".yml", ".tpl", ".txt", ".sh", ".cfg")
    folders = ("souk", "docs", "charts", "kserve", "manifests", "components", "pipelines", "configs", "feature_repo")
    paths = [p for folder in folders for p in (ROOT / folder).rglob("*") if p.suffix in kinds]
    paths += [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "CHANGELOG.md",
        *(ROOT / "requirements").glob("*.md"),
    ]
    asked = re.compile(r"""\bpip\s+install\s+(?:-\S+\s+)*["'`]?souk\b|\bsouk\[[a-z]""")
    texts = {path: path.read_text(encoding="utf-8") for path in paths}
    assert len(texts) > 500
    assert [f"{path}: {found[0]}" for path, text in texts.items() for found in asked.finditer(text)] == []
