"""The chart as helm renders it, for tests."""

import subprocess
from pathlib import Path
from typing import Any

from tests.kubernetes_objects import read
from tests.requirements import require

ROOT = Path(__file__).parents[1]
CHART = ROOT / "charts/souk"
INSTALL = "make tools"
FIRST = "movielens_100k-0123456789ab"  # the release of values.yaml
DRIFT = ("--set", "drift.enabled=true", "--set", f"drift.release={FIRST}")


def template(*arguments: str) -> dict[tuple[str, str], dict[str, Any]]:
    """The objects of the chart, rendered by helm."""
    helm = require("helm", INSTALL)
    command = [helm, "template", "souk", str(CHART), "--namespace", "souk", *arguments]
    return by_name(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def helm_template(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What helm says to values that may be wrong."""
    helm = require("helm", INSTALL)
    command = [helm, "template", "souk", str(CHART), "--namespace", "souk", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def by_name(text: str) -> dict[tuple[str, str], dict[str, Any]]:
    return {(document["kind"], document["metadata"]["name"]): document for document in read(text)}
