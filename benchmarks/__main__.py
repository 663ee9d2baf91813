"""`python -m benchmarks [NAME...]`: measures, prints a table each and writes `benchmarks/results/NAME.json`."""

from __future__ import annotations

import argparse
import importlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import souk
from benchmarks.setting import Setting, machine
from souk.workspace import Workspace

NAMES = ("steps", "beam", "simulate", "serving", "recommend", "fresh_events")
SERVED = ("serving", "recommend", "fresh_events")  # measure the release of a workspace, whatever the config
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Reads the arguments and the clock, and measures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="What Souk costs on this machine.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all if none is given")
    parser.add_argument("--config", type=Path, default=Path("configs/movielens_100k.yaml"))
    parser.add_argument("--workspace", type=Path, help="measure the server on its release, not on one made here")
    given = parser.parse_args()
    for name in given.names:
        if name not in NAMES:
            parser.error(f"unknown benchmark {name!r}; choose from {', '.join(NAMES)}")
    with tempfile.TemporaryDirectory(prefix="souk-benchmarks-") as scratch:
        workspace = given.workspace or Path(scratch) / "workspace"
        setting = Setting(given.config.resolve(), workspace.resolve(), Path(scratch))
        for name in given.names or NAMES:
            rows = importlib.import_module(f"benchmarks.{name}").measure(setting)
            print(f"\n{name}\n{table(rows)}", flush=True)
            subjects = {"simulate": "simulated"} | dict.fromkeys(SERVED, Workspace(setting.workspace).current_release())
            write(name, rows, subjects.get(name, given.config.stem))


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as text, columns aligned."""
    header = list(rows[0])
    cells = [header, *([_text(row.get(name)) for name in header] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in cells
    ]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def write(name: str, rows: Sequence[Mapping[str, Any]], subject: str) -> None:
    """The rows with the config or release, and the machine, that they were measured on."""
    RESULTS.mkdir(exist_ok=True)
    taken = datetime.now(UTC).isoformat(timespec="seconds")
    values = {"subject": subject, "taken": taken, "version": souk.__version__, "machine": machine(), "rows": rows}
    (RESULTS / f"{name}.json").write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def _text(value: Any) -> str:
    return "–" if value is None else str(value)


if __name__ == "__main__":
    main()
