"""The `souk-drift` command."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from souk import outputs
from souk.errors import SoukError, of_disk

if TYPE_CHECKING:
    from souk.drift.check import Pass
    from souk.drift.session import Session
    from souk.drift.windows import Window

QUIET, MEND, ALARM = 0, 2, 3
ON_ALARM = "SOUK_DRIFT_ON_ALARM"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns 0 for quiet or stopped, 2 for something to mend in what was given, 3 for an alarm."""
    arguments = parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    try:
        return int(arguments.run(arguments))
    except SoukError as error:
        print(f"souk-drift {arguments.command}: {error}", file=sys.stderr)
        return MEND
    except OSError as error:
        print(f"souk-drift {arguments.command}: {of_disk(error)}", file=sys.stderr)
        return MEND
    except KeyboardInterrupt:
        print(f"\nsouk-drift {arguments.command}: interrupted", file=sys.stderr)
        return 130


def parser() -> argparse.ArgumentParser:
    """The options of both commands."""
    whole = argparse.ArgumentParser(
        prog="souk-drift",
        description="Tells when requests and scores are no longer what they were when a release was made.",
    )
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")
    checking = commands.add_parser(
        "check",
        help="read what is new in an impression log; exit code 3 is an alarm",
        description="Reads what is new in an impression log, and tests each full window of it against the reference of "
        "a release. Exit code 0 is quiet, 2 something to mend, 3 an alarm.",
    )
    checking.add_argument("--impressions", required=True, metavar="DIR", help="the workspace's impressions/ folder")
    checking.add_argument("--state", metavar="DIR", help="what was read so far; without it each check begins anew")
    checking.add_argument("--report", metavar="FILE", help="write an HTML report of the last tested window")
    serving = commands.add_parser(
        "serve",
        help="take impression records and KServe's CloudEvents over HTTP",
        description="Takes impression records and KServe's CloudEvents over HTTP, and tests each full window of them "
        "against the reference of a release, until it is stopped.",
    )
    serving.add_argument("--state", required=True, metavar="DIR", help="the open window, counts and results")
    serving.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 for all (%(default)s)")
    serving.add_argument("--http-port", type=int, default=8080, metavar="N", help="0 for a free one (%(default)s)")
    serving.add_argument("--model-name", default="souk-drift", metavar="NAME", help="in the URL (%(default)s)")
    for command, run in ((checking, _check), (serving, _serve)):
        _common(command)
        command.set_defaults(run=run)
    return whole


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--release", required=True, metavar="DIR", help="the release's folder")
    parser.add_argument("--rows", type=_at_least(int, 1), default=1000, metavar="N", help="in a window (%(default)s)")
    parser.add_argument(
        "--min-rows", type=_at_least(int, 1), default=200, metavar="N", help="fewest to test (%(default)s)"
    )
    parser.add_argument(
        "--max-age", type=_at_least(float, 1), default=7 * 86_400.0, metavar="S", help="of a window, seconds (a week)"
    )
    parser.add_argument(
        "--consecutive",
        type=_at_least(int, 1),
        default=2,
        metavar="N",
        help="drifted windows in a row to an alarm (%(default)s)",
    )
    parser.add_argument(
        "--false-alarm-rate", type=_share, default=0.01, metavar="X", help="of windows without drift (%(default)s)"
    )
    parser.add_argument(
        "--exclude",
        nargs="*",
        metavar="FEATURE",
        help="not to be tested (default: query_hour query_weekday, and of a release whose log had no impressions "
        "query_since_last query_events_1d)",
    )
    parser.add_argument(
        "--on-alarm",
        default=os.environ.get(ON_ALARM, "").strip(),  # a Secret of a file may end with a new line
        metavar="URL",
        help=f"is sent each new alarm by POST; or in the environment, as {ON_ALARM}",
    )


def _check(arguments: argparse.Namespace) -> int:
    if arguments.on_alarm and not arguments.state:
        remedy = "It remembers which alarms were told; each pass would tell the same again."
        raise SoukError("--state with --on-alarm", "none", remedy)
    if arguments.report:  # before a window is closed that nothing would show
        outputs.free_file(arguments.report, outputs.DRIFT_REPORT, "--report")
    if arguments.state and os.path.isdir(arguments.state):
        outputs.free_file(os.path.join(arguments.state, "alarm.json"), outputs.ALARM, "--state")
    session = _open(arguments)
    from souk.drift.check import check

    found = check(session.monitor, session.reader, arguments.impressions, _now())
    try:
        _tell(session, found, arguments)
    finally:
        told = session.bell.ring()  # last: what it calls may take long to answer
    if found.refused:
        print(f"souk-drift check: {found.refused}", file=sys.stderr)
    # What is to mend is told by each pass until it is, an alarm by one alone.
    return ALARM if found.alarm or told else MEND if found.refused else QUIET


def _tell(session: Session, found: Pass, arguments: argparse.Namespace) -> None:
    release = session.monitor.detector.release
    print(f"{release}: {found.files} new files, {found.rows} requests, {len(found.windows)} windows")
    if found.others:
        print(f"{found.others} records of other releases were passed over")
    for window in found.windows:
        print(_line(window))
    waiting = session.monitor.state.open_window().rows
    print(f"{waiting} requests wait for the next window of {arguments.rows}")
    if arguments.report:
        from souk.drift.report import write_report

        number = write_report(session.monitor, arguments.report)
        print(
            f"report of window {number}: {arguments.report}"
            if number
            else "no report: no window was tested yet; --rows makes smaller ones"
        )


def _serve(arguments: argparse.Namespace) -> int:
    from souk.listening import bind

    listening = bind(arguments.host, arguments.http_port)
    session = _open(arguments)
    from souk.drift.model import DriftModel
    from souk.drift.server import serve

    model = DriftModel(arguments.model_name, session.monitor, session.reader, session.bell, _now)
    model.load()
    release = session.monitor.detector.release
    with session.needed.saying():
        serve(model, session.monitor, listening, lambda url: print(f"drift of {release}: {url}", flush=True))
    return QUIET


def _open(arguments: argparse.Namespace) -> Session:
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")  # Alibi Detect imports it, though not for this
    try:
        import alibi_detect  # noqa: F401
    except ModuleNotFoundError as error:
        remedy = "Install requirements/drift.txt of a clone of Souk there (docs/drift.md)."
        raise SoukError("the drift detector's own environment", f"one without {error.name}", remedy) from error
    from souk.drift.detector import Settings
    from souk.drift.session import open_session

    settings = Settings(
        rows=arguments.rows,
        max_age_seconds=arguments.max_age,
        min_rows=min(arguments.min_rows, arguments.rows),
        consecutive=arguments.consecutive,
        false_alarm_rate=arguments.false_alarm_rate,
    )
    return open_session(arguments.release, settings, arguments.state, arguments.exclude, arguments.on_alarm)


def _line(window: Window) -> str:
    state = "alarm" if window.alarm else "drift" if window.drifted else "quiet" if window.tested else "too few to test"
    named = ", ".join(window.alarm or window.drifted)
    return f"window {window.number}, {window.rows} requests: {state}{': ' + named if named else ''}"


def _now() -> int:
    return time.time_ns() // 1_000_000


def _at_least(number: type[int] | type[float], least: int) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = number(text)
        except ValueError:
            value = number(least - 1)
        if not least <= value < float("inf"):
            raise argparse.ArgumentTypeError(f"expected a number of at least {least}, received {text!r}")
        return value

    return parse


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"expected a number between 0 and 1, received {text!r}")
    return value
