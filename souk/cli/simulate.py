"""Simulates a marketplace whose truth is known, and writes it as a data set to train on (docs/simulator.md).
`souk simulate score` tells what given slates are really worth in it."""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from souk import outputs
from souk.cli import options
from souk.errors import SoukError
from souk.folders import whole_file
from souk.simulator.parameters import Parameters, Size

if TYPE_CHECKING:
    from souk.simulator.simulation import Beginning
    from souk.simulator.truth import Truth

DEFAULT = Size()


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", metavar="DIR", help="the folder to write (needed)")
    parser.add_argument("--users", type=int, metavar="N", help=f"users (default: {DEFAULT.users:,})")
    parser.add_argument("--items", type=int, metavar="M", help=f"items (default: {DEFAULT.items:,})")
    parser.add_argument(
        "--days", type=int, default=DEFAULT.days, metavar="D", help="simulated days (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, metavar="S", help=f"of every random draw (default: {DEFAULT.seed})")
    parser.add_argument(
        "--policy", default="mix", metavar="NAME", help="what users are shown: popular, random, mix (the default: some"
        " slates at random, the others popular), or the address of a served release, http://HOST:PORT/v1/models/souk",
    )  # fmt: skip
    parser.add_argument(
        "--random-share", type=float, default=0.8, metavar="X", help="random slates of mix (default: %(default)s)"
    )
    options.add_server_token(parser)
    parser.add_argument("--after", metavar="DIR", help="go on with the marketplace of DIR from where its data ends")
    parser.add_argument("--force", action="store_true", help="replace what stands at --output")
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    score = actions.add_parser(
        "score",
        help="what given slates are really worth",
        description="Tells what given slates are really worth in a simulated marketplace, whose truth is known: "
        "clicks, satisfaction and lifetime value.",
    )
    score.add_argument("--truth", required=True, metavar="DIR", help="a folder that `souk simulate --output` wrote")
    score.add_argument("--slates", required=True, metavar="FILE", help="JSON lines: output of `souk recommend`")
    score.add_argument("--against", metavar="FILE", help="slates for the same users: report the paired differences")
    score.add_argument("--at", metavar="TIME", help="UTC epoch ms, or 2024-03-01 (default: the end of the data)")
    score.add_argument("--output", dest="scores", metavar="FILE", help="write the figures of each slate, JSON lines")


def run(arguments: argparse.Namespace) -> int:
    """Returns 0."""
    return _score(arguments) if arguments.action == "score" else _simulate(arguments)


def _simulate(arguments: argparse.Namespace) -> int:
    """Writes a folder of data."""
    from souk.simulator.policies import Policy, check_policy, own_policy
    from souk.simulator.served_policy import Served
    from souk.simulator.simulation import simulate

    began = time.monotonic()
    target = _free(arguments.output, arguments.force)
    check_policy(arguments.policy, arguments.random_share)
    beginning = _beginning(arguments)
    world = beginning.world
    served = "://" in arguments.policy
    policy: Policy = (
        Served(arguments.policy, world, options.authorization(arguments.token_file))
        if served
        else own_policy(arguments.policy, arguments.random_share, beginning.clicks)
    )
    seed = beginning.course.seed if arguments.seed is None else arguments.seed
    print(
        f"{len(world.users.ids):,} users, {len(world.items.ids):,} items, {arguments.days} days, seed {seed}",
        flush=True,
    )
    counts = simulate(
        target, beginning, arguments.days, seed, policy, arguments.policy, lambda text: print(f"  {text}", flush=True)
    )
    seconds, total = time.monotonic() - began, sum(counts.values())
    kinds = ", ".join(f"{count:,} {kind}s" for kind, count in counts.items())
    print(f"wrote {target} in {seconds:.1f} s: {total:,} events ({kinds})")
    print("  events.parquet, items.parquet, users.parquet: the data; requests.jsonl: a request of each user")
    print("  truth/: what is true of it")
    print(f"next: souk run --config {target / 'simulated.yaml'}{options.of_its_own('simulated')}")
    return 0


def _free(output: str | None, force: bool) -> Path:
    """The folder to write: one that is not there, or may be replaced."""
    if not output:
        raise SoukError("--output DIR, the folder to write", "none", "For instance --output .souk/data/simulated.")
    target = Path(output)
    try:
        taken = target.exists() and not (target.is_dir() and not any(target.iterdir()))
        if taken and not force:
            raise SoukError(f"nothing at {target}", "files that are there", "Name another folder, or add --force.")
        for path in outputs.others(target):
            remedy = "Name another folder, or move it away; --force replaces simulated marketplaces only."
            raise SoukError(f"a simulated marketplace to replace at {target}", f"{path}, which another made", remedy)
        outputs.free_folder(target)
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SoukError(f"a folder to write at {target}", str(error), "Name another with --output.") from error
    return target


def _beginning(arguments: argparse.Namespace) -> Beginning:
    from souk.simulator.simulation import going_on, new_marketplace
    from souk.simulator.truth import read_truth

    given = {name: getattr(arguments, name) for name in ("users", "items", "days", "seed")}
    given = {name: value for name, value in given.items() if value is not None}
    if arguments.after is None:
        return new_marketplace(replace(DEFAULT, **given), Parameters())
    if sizes := [f"--{name}" for name in ("users", "items") if name in given]:
        received = " and ".join(sizes)
        raise SoukError("--after without --users and --items", received, "The marketplace has its users and items.")
    beginning = going_on(read_truth(Path(arguments.after)))
    world = beginning.world
    size = Size(len(world.users.ids), len(world.items.ids), seed=beginning.course.seed)
    replace(size, **given).check(world.parameters)
    return beginning


def _score(arguments: argparse.Namespace) -> int:
    """Prints what slates are worth."""
    from souk.simulator import score
    from souk.simulator.truth import read_truth

    if arguments.scores:
        outputs.free_file(arguments.scores, score.LINES)
    truth = read_truth(Path(arguments.truth))
    moment = _moment(arguments.at, truth)
    given = score.read_slates(Path(arguments.slates), truth)
    values = score.score(truth, given, moment)
    rows = {"these slates": score.means(given.users, values)}
    if arguments.against:
        other = score.read_slates(Path(arguments.against), truth)
        theirs = score.score(truth, other, moment)
        rows["the others"] = score.means(other.users, theirs)
        rows["difference"] = score.differences(given, values, other, theirs)
    for name, slates in score.simple_slates(truth, given.users, given.items.shape[1], moment).items():
        rows[name] = score.means(slates.users, score.score(truth, slates, moment))
    when = datetime.fromtimestamp(moment / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    print(f"{len(given.users):,} slates, as of {when}; mean over users and 95% interval\n")
    print(score.table(rows))
    if arguments.scores:
        outputs.free_file(arguments.scores, score.LINES)
        with whole_file(Path(arguments.scores)) as partial:
            partial.write_text("".join(f"{line}\n" for line in score.lines(truth, given, values)), encoding="utf-8")
        print(f"\neach slate: {arguments.scores}")
    return 0


def _moment(text: str | None, truth: Truth) -> int:
    if text is None:
        return truth.end
    if text.isdecimal():
        return int(text)
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        remedy = "For instance --at 2024-03-01T12:00."
        raise SoukError("--at as UTC epoch milliseconds or a date", repr(text), remedy) from error
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)
