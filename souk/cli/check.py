"""Reads and checks the data as `souk run` would, and trains nothing: which rows are refused and why, what stands out in
the others, and what the data say where the config leaves it to them. Of the workspace only its folder `check`
changes."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shutil
import sys
from pathlib import Path

from souk import outputs
from souk.cli import options
from souk.cli.ending import processes_end_first
from souk.cli.quiet import load_tensorflow, quiet_loading
from souk.cli.refusals import check_workspace
from souk.cli.view import RunView
from souk.config import DatasetConfig, load_config, parse_step_config
from souk.errors import SoukError
from souk.folders import working
from souk.plugs import Ranker, Retriever, class_of
from souk.workspace import Workspace

ON_THE_WAY = (".*.partial", ".*.old", ".*.lock")  # of files that a run beside this command replaces
TRIES = 5  # in which a run may replace some


def configure(parser: argparse.ArgumentParser) -> None:
    options.add_config(parser)
    options.add_workspace(parser)
    parser.add_argument(
        "--output", default="", metavar="DIR", help="the report and the refused rows (default: check in the workspace)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Prints what a run would find; returns 0 where it would go on to the features."""
    config, workspace = load_config(arguments.config, arguments.data), Workspace(Path(arguments.workspace))
    check_workspace(workspace, config.name)
    output = Path(arguments.output) if arguments.output else workspace.root / "check"
    _refuse_others(output)
    new = "" if workspace.root.is_dir() else " (there is none yet)"
    print(f"{config.name}: {arguments.config}, workspace {arguments.workspace}{new}", flush=True)
    with processes_end_first(), working(output / "check") as scratch:
        _look(config)
        fresh = scratch / "quarantine"
        try:
            _check(config, Path(arguments.config), workspace, scratch)
        except SoukError as error:  # which may name where refused rows lie
            remedy = error.remedy.replace(str(fresh), str(output / fresh.name))
            raise SoukError(error.expected, error.received, remedy) from error
        finally:
            if (scratch / "data.html").is_file():
                _place(scratch, output)
    return 0


def _refuse_others(output: Path) -> None:
    """What no check made, or another changed since, is not replaced.

    Raises:
        SoukError: there is such a file in `output`.
    """
    for path in outputs.others(output / "quarantine", output / "data.html"):
        expected = f"{output} to have no {path.relative_to(output)} but that of an earlier check"
        raise SoukError(expected, f"{path}, which another made", outputs.REMEDY.format("folder", "--output"))


def _place(scratch: Path, output: Path) -> None:
    quarantine, report = output / "quarantine", output / "data.html"
    fresh, made = scratch / quarantine.name, scratch / report.name
    outputs.mark(fresh, made)
    _refuse_others(output)  # that came meanwhile
    report.unlink(missing_ok=True)  # whoever ends this here leaves nothing that the next check takes for another's
    if quarantine.is_dir():
        os.replace(quarantine, scratch / "replaced")
    os.replace(fresh, quarantine)
    os.replace(made, report)
    print(f"report    {report}\nrefused   {quarantine}", flush=True)


def _look(config: DatasetConfig) -> None:
    """A file or a column that is not there need not wait for TensorFlow, which takes much longer to load."""
    from souk.cli.training import check_files
    from souk.ingest.reading import look
    from souk.steps.ingest import sources_of

    check_files(config.data)
    for table in sources_of(config.data, config.columns).values():
        look(table)


def _check(config: DatasetConfig, path: Path, workspace: Workspace, scratch: Path) -> None:
    """Leaves `quarantine/` and `data.html` in `scratch`."""
    print("loading TensorFlow", file=sys.stderr, flush=True)
    load_tensorflow()
    with quiet_loading():
        from souk.cli.training import schema_parameter
        from souk.steps.build_features import spec_of
        from souk.steps.ingest import ingest

    shown = _Shown()
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
        mine, tables = Workspace(scratch / "workspace"), scratch / "tables"
        _copy_schemas(workspace.schemas / config.name, mine.schemas / config.name)
        schema = schema_parameter(path, config.name, workspace)
        quarantine, report = scratch / "quarantine", scratch / "data.html"
        made = str(tables), str(quarantine), str(report)
        ingest(config.for_step("ingest"), schema, str(mine.root), *made, events_log=str(workspace.events))
        spec_of(parse_step_config("build_features", config.for_step("build_features")), tables)
        _check_classes(config)


def _check_classes(config: DatasetConfig) -> None:
    """Imports the classes of one's own as a run's steps and servers do, which do not look where the command runs."""
    before = list(sys.path)
    # `python -m` puts it before those of PYTHONPATH and the packages, unless PYTHONSAFEPATH is set.
    if not sys.flags.safe_path and sys.path and sys.path[0] in ("", os.getcwd()):
        del sys.path[0]
    try:
        for own in config.retrievers.values():
            class_of(own.use, Retriever)  # type: ignore[type-abstract]
        if config.ranker:
            class_of(config.ranker.use, Ranker)  # type: ignore[type-abstract]
    finally:
        sys.path[:] = before


def _copy_schemas(known: Path, to: Path) -> None:
    """Copies the schemas of a workspace; a run beside this command may replace files as they are copied."""
    for left in reversed(range(TRIES)):
        try:
            if known.is_dir():
                shutil.copytree(known, to, ignore=shutil.ignore_patterns(*ON_THE_WAY), dirs_exist_ok=True)
            return
        except shutil.Error:
            if not left:
                raise


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
