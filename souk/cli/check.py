"""Reads and checks the data as `souk run` would, and trains nothing: which rows are refused and why, what stands out in
the others, and what the data say where the config leaves it to them. The workspace stays as it is."""

from __future__ import annotations

import argparse
import contextlib
import io
import shutil
import sys
import tempfile
from pathlib import Path

from souk.cli import options
from souk.cli.quiet import load_tensorflow, quiet_loading
from souk.cli.view import RunView
from souk.config import DatasetConfig, load_config, parse_step_config
from souk.workspace import Workspace


def configure(parser: argparse.ArgumentParser) -> None:
    options.add_config(parser)
    options.add_workspace(parser)
    parser.add_argument(
        "--output", default="", metavar="DIR", help="the report and the refused rows (default: check in the workspace)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Prints what a run would find; returns 0 where it would begin to train."""
    config, workspace = load_config(arguments.config, arguments.data), Workspace(Path(arguments.workspace))
    output = Path(arguments.output) if arguments.output else workspace.root / "check"
    print(f"{config.name}: {arguments.config}", flush=True)
    quarantine, report = output / "quarantine", output / "data.html"
    shutil.rmtree(quarantine, ignore_errors=True)
    output.mkdir(parents=True, exist_ok=True)
    try:
        _check(config, Path(arguments.config), workspace, quarantine, report)
    finally:
        if report.is_file():
            print(f"report    {report}\nrefused   {quarantine}", flush=True)
    return 0


def _check(config: DatasetConfig, path: Path, workspace: Workspace, quarantine: Path, report: Path) -> None:
    print("loading TensorFlow", file=sys.stderr, flush=True)
    load_tensorflow()
    with quiet_loading():
        from souk.cli.training import schema_parameter
        from souk.steps.build_features import spec_of
        from souk.steps.ingest import ingest

    shown = _Shown()
    with (
        tempfile.TemporaryDirectory(prefix=".check-", dir=report.parent) as folder,
        contextlib.redirect_stdout(shown),
        contextlib.redirect_stderr(shown),
    ):
        scratch, tables = Workspace(Path(folder) / "workspace"), Path(folder) / "tables"
        if (known := workspace.schemas / config.name).is_dir():
            shutil.copytree(known, scratch.schemas / config.name)
        schema = schema_parameter(path, config.name, workspace)
        ingest(config.for_step("ingest"), schema, str(scratch.root), str(tables), str(quarantine), str(report))
        spec_of(parse_step_config("build_features", config.for_step("build_features")), tables)


class _Shown(io.TextIOBase):
    """Shows what steps tell, as `souk run` does, and nothing else that is printed."""

    def __init__(self) -> None:
        self._view, self._open = RunView(sys.stdout, io.StringIO()), ""
        self._view.started("check")

    def write(self, text: str) -> int:
        *lines, self._open = (self._open + text).split("\n")
        for line in lines:
            self._view.line(line)
        return len(text)
