"""Lists, shows, verifies, compares and prunes the releases of a workspace, and with them user states."""

from __future__ import annotations

import argparse
import time
from collections.abc import Collection
from pathlib import Path

from souk.cli import extras, options
from souk.errors import SoukError
from souk.workspace import Workspace


def configure(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    every = actions.add_parser(
        "list",
        help="all releases; the current one is marked",
        description="Lists the releases of the workspace by name: until when each learned, its size, which is "
        "served (current), and which was before it (previous).",
    )
    show = actions.add_parser(
        "show",
        help="what one holds, where it comes from and what was measured",
        description="Tells of one release what it holds, which data, code and settings it comes from, and what was "
        "measured of it.",
    )
    verify = actions.add_parser(
        "verify",
        help="compare every file with its checksum",
        description="Compares every file of a release with its checksum, and fails where one is missing, changed or "
        "not of it.",
    )
    diff = actions.add_parser(
        "diff",
        help="what differs between two",
        description="Tells what differs from A to B: the parts that make the name, items that came and went, the spec, "
        "the settings, the figures where both were asked the same, where they come from, and how far the weights of "
        "each part of the models moved.",
    )
    prune = actions.add_parser(
        "prune",
        help="delete old ones that nothing needs, and user states that none of the others reads",
        description="Deletes releases for good, all but the newest: the current one, the one before it, those of "
        "experiments and those that a server or a deployment needs stay too. So do user states that a release reads "
        "which stays.",
    )
    for action in (show, verify):
        action.add_argument("name", metavar="NAME", help="a release, or `current`")
    diff.add_argument("first", metavar="A", help="a release, or `current`")
    diff.add_argument("second", metavar="B", help="a release, or `current`")
    prune.add_argument(
        "--keep", type=options.at_least_one, default=5, metavar="N", help="keep the N newest (default: 5)"
    )
    prune.add_argument("--dry-run", action="store_true", help="tell what would be deleted, and delete nothing")
    prune.add_argument(
        "--config", metavar="FILE", help="a dataset config whose `rollout` names a cluster: what it serves is kept"
    )
    for action in (every, show, verify, diff, prune):
        options.add_workspace(action)


def run(arguments: argparse.Namespace) -> int:
    from souk.release import commands

    workspace = Workspace(Path(arguments.workspace))
    if arguments.action == "list":
        text = commands.list_text(workspace)
    elif arguments.action == "prune":
        return _prune(workspace, arguments)
    elif arguments.action == "diff":
        text = commands.diff_text(workspace, arguments.first, arguments.second)
    else:
        text = {"show": commands.show_text, "verify": commands.verify_text}[arguments.action](workspace, arguments.name)
    print(text)
    return 0


def _prune(workspace: Workspace, arguments: argparse.Namespace) -> int:
    from souk.release.commands import prune_text, served_in_cluster
    from souk.release.prune import prune

    if arguments.config:
        extras.require("deploy")  # it may name a cluster
    served = served_in_cluster(arguments.config)
    gone = prune(workspace, arguments.keep, served, arguments.dry_run)
    print(prune_text(workspace, gone, arguments.dry_run), flush=True)
    _prune_states(workspace, served, gone, arguments.dry_run)
    return 0


def _prune_states(workspace: Workspace, served: Collection[str], gone: Collection[str], dry: bool) -> None:
    """Deletes user states that no release reads any more, and says which; what cannot go now goes with a later call."""
    from souk.release.unread import LATELY_SECONDS, unread_states

    found = unread_states(workspace, served, gone)
    if going := [states for states, why in found.items() if not why]:
        try:
            extras.require("deploy")
        except SoukError as error:
            found |= dict.fromkeys(going, str(error))
            going = []
    if going:
        from souk.store.drop import drop, holding  # Feast takes seconds to import

        held = {states: holding(workspace.feast, states) for states in going}
        if not dry:

            def unread() -> list[str]:
                still = unread_states(workspace, served)
                return [states for states in held if still.get(states) == ""]

            found |= drop(workspace.feast, unread, int(1000 * (time.time() - LATELY_SECONDS)), print)
        for states in (states for states in going if not found[states]):
            print(f"{'would delete' if dry else 'deleted'} user states of specification {states}  {held[states]}")
    for states, why in found.items():
        if why:
            print(f"left user states of specification {states}, which no release reads: {why}")
