"""Which extras of setup.cfg a command needs, and the error for an installation that lacks one."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterable

from souk.errors import SoukError, of_a_clone

# A command that is not here needs none.
NEEDS = {
    "check": ("pipeline", "preprocess", "train"),
    "demo": ("serve",),
    "deploy": ("deploy",),
    "drift-demo": ("serve",),
    "evaluate": ("train", "serve"),
    "experiment": ("serve",),
    "explain": ("serve",),
    "init": ("preprocess",),
    "items": ("serve",),
    "recommend": ("serve",),
    "replay": ("serve",),
    "run": ("pipeline", "preprocess", "train", "index", "deploy"),
    "serve": ("serve",),
    "submit": ("pipeline",),
    "tune": ("pipeline", "preprocess", "train"),
    "users": ("serve",),
}


def require(command: str) -> None:
    """Refuses a command whose packages are not installed, before it does anything.

    Raises:
        SoukError: names the extras that are missing, and the packages.
    """
    missing = {extra: absent for extra in NEEDS.get(command, ()) if (absent := missing_packages(extra))}
    if not missing:
        return
    packages = ", ".join(sorted(set().union(*missing.values())))
    raise SoukError(
        f"the packages of the extra{'s' * (len(missing) > 1)} {', '.join(missing)}",
        f"an installation without {packages}",
        f"{of_a_clone(*missing)}, or use the image that holds them (docs/images.md).",
    )


def missing_packages(extra: str) -> set[str]:
    """The packages that `extra` asks for and that are not installed; none where Souk itself is not installed."""
    try:
        wanted = importlib.metadata.requires("souk") or []
    except importlib.metadata.PackageNotFoundError:
        return set()
    return {name for name in _names(wanted, extra) if not _installed(name)}


def _names(requirements: Iterable[str], extra: str) -> list[str]:
    """Of lines as `feast[redis]==0.67.0; extra == "serve"` the names of those that belong to `extra`."""
    ours = re.compile(rf"""extra == ["']{re.escape(extra)}["']""")
    return [re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in requirements if ours.search(line)]


def _installed(name: str) -> bool:
    try:
        importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
