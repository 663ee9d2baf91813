"""Options that several commands share."""

from __future__ import annotations

import argparse
import math
import re
import shlex
from pathlib import Path
from typing import NoReturn

from souk.errors import SoukError, nearest
from souk.workspace import Workspace

NEGATIVE = re.compile(r"-(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")
# `tune_choose` is told of all results in one word of its command line, 190 bytes and the workspace's path for each, and
# Linux takes 128 KiB for a word: this leaves 240 bytes for the path.
MOST_TRIALS = 300
BEAM_RUNNER = "FnApiRunner"  # souk.features.runner.EMBEDDED, without loading Beam


class Parser(argparse.ArgumentParser):
    """Its errors name the command that may have been meant."""

    def error(self, message: str) -> NoReturn:
        """As argparse's, with the nearest of the choices."""
        wrong = re.search(r"invalid choice: '(.*)' \(choose from (.*)\)$", message)
        meant = nearest(wrong[1], re.findall(r"[\w-]+", wrong[2])) if wrong else ""
        super().error(f"{message}. {meant}" if meant else message)


def add_workspace(parser: argparse.ArgumentParser, default: str = ".souk") -> None:
    parser.add_argument(
        "--workspace", default=default, metavar="DIR", help="the folder of releases (default: %(default)s)"
    )


def of_its_own(name: str) -> str:
    """The option that keeps the data set `name` out of the usual workspace, where that serves another."""
    usual = Workspace(Path(".souk"))
    other = usual.current_release().rpartition("-")[0] not in ("", name)
    return f" --workspace {usual.root}-{name}" if other else ""


def add_server_token(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--token-file", metavar="FILE", help="with the server's bearer token on its first line")


def authorization(token_file: str | None) -> dict[str, str]:
    """The header of calls with the first token of such a file; none without a file.

    Raises:
        SoukError: it has none, or one that no header can carry.
    """
    if not token_file:
        return {}
    try:
        lines = Path(token_file).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SoukError(f"a token in {token_file}", type(error).__name__, "Check the path.") from error
    first = next((line for line in lines if line.strip()), "")
    return {"authorization": f"Bearer {visible_token(first, token_file)}"}


def visible_token(text: str, source: str) -> str:
    """The token in a text. One that no header can carry is refused here: the HTTP client would show it."""
    token = text.strip()
    if not re.fullmatch(r"[!-~]+", token):
        raise SoukError(
            "a token of one line of visible ASCII characters",
            f"{source}, {'with others in it' if token else 'which is empty'}",
            "Give it with --token-file FILE.",
        )
    return token


def at_least_one(text: str) -> int:
    """A whole number above 0."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, received {text!r}")
    return int(text)


def trials(text: str) -> int:
    """How many settings a search tries."""
    if not text.isdecimal() or not 2 <= int(text) <= MOST_TRIALS:
        raise argparse.ArgumentTypeError(f"expected a whole number from 2 to {MOST_TRIALS}, received {text!r}")
    return int(text)


def at_least_zero(text: str) -> int:
    """A whole number."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 0, received {text!r}")
    return int(text)


def seed(text: str) -> int:
    """A seed that every library takes."""
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 to {2**32 - 1}, received {text!r}")
    return int(text)


def port(text: str) -> int:
    """A port, 0 for any that is free."""
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"expected a port from 0 to 65535, received {text!r}")
    return int(text)


def positive(text: str) -> float:
    """A number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, received {text!r}")
    return value


def difference(text: str) -> float:
    """Of two values of a metric, which lie from 0 to 1: 5 is not 5%."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not -1 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a number from -1 to 1, as 0.05, received {text!r}")
    return value


def not_negative(text: str) -> float:
    """A number of at least 0."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number of at least 0, received {text!r}")
    return value


def share(text: str) -> float:
    """A number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, received {text!r}")
    return value


def flags(text: str) -> list[str]:
    """Words as a shell reads them."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected words as a shell reads them, received {text!r}: {error}") from error


def registry(text: str) -> str:
    """A registry of images and a path in it, or "" for none."""
    if not re.fullmatch(r"|[\w.-]+(:\d+)?(/[a-z0-9._-]+)*/?", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"expected a registry without a scheme, as ghcr.io/us, received {text!r}")
    return text


def image_tag(text: str) -> str:
    """A tag of images that does not move, or "" for none."""
    if text == "latest" or not re.fullmatch(r"|\w[\w.-]{0,127}", text, re.ASCII):
        raise argparse.ArgumentTypeError(
            f"expected a tag of its own for each content, as 0.1.0-ab12, received {text!r}"
        )
    return text


def cron_line(text: str) -> str:
    """A cron line as the server reads it: six fields, seconds first. Five fields, as in crontab, get second 0.

    The server would take five fields for second, minute, hour, day and month.
    """
    fields = text.split()
    if len(fields) == 1 and text.startswith("@"):
        return text
    if len(fields) not in (5, 6):
        raise argparse.ArgumentTypeError(
            f"expected 5 fields (minute hour day month weekday), or 6 with seconds first, received {text!r}"
        )
    return " ".join(fields if len(fields) == 6 else ["0", *fields])


def hours(text: str) -> float:
    """A number of hours, at least one second."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 1 / 3600 <= value <= 24 * 366:
        raise argparse.ArgumentTypeError(f"expected hours, as 24 or 0.5, received {text!r}")
    return value


def add_pipeline(parser: argparse.ArgumentParser) -> None:
    """What a training run can be told beside its config."""
    add_data(parser)
    parser._negative_number_matcher = NEGATIVE  # argparse's own takes -1e-3 for an option
    parser.add_argument(
        "--gate-margin",
        type=difference,
        metavar="X",
        help="margin over the champion, instead of the config's; a first release must beat popularity",
    )


def add_keep_runs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--keep-runs",
        type=at_least_zero,
        default=5,
        metavar="N",
        help="keep the N runs in the workspace's runs/ that were used last, and those that the current release and the "
        "one before it came of; 0 keeps all (default: %(default)s)",
    )


def add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", required=True, metavar="FILE", help="the dataset config (docs/data.md)")
    parser.add_argument(
        "--data", default="", metavar="DIR", help="where relative paths of the config start, instead of data.folder"
    )


def add_data(parser: argparse.ArgumentParser) -> None:
    """What a run of any pipeline can be told: its config and data, and how the steps run."""
    add_config(parser)
    parser.add_argument(
        "--epochs", type=at_least_one, default=0, metavar="N", help="epochs of the towers, instead of the config's"
    )
    parser.add_argument(
        "--beam-runner",
        default=BEAM_RUNNER,
        metavar="NAME",
        help="Beam runner (default: %(default)s)",
    )
    parser.add_argument(
        "--beam-options",
        type=flags,
        default=[],
        metavar="TEXT",
        help='Beam options, as "--flink_master=host:8081 --parallelism=8"',
    )
