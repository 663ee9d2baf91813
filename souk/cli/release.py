"""Lists, shows, verifies, compares and prunes the releases of a workspace."""

from __future__ import annotations

import argparse
from pathlib import Path

from souk.cli import extras, options
from souk.workspace import Workspace


def configure(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    every = actions.add_parser("list", help="all releases; the current one is marked")
    show = actions.add_parser("show", help="what one holds, where it comes from and what was measured")
    verify = actions.add_parser("verify", help="compare every file with its checksum")
    diff = actions.add_parser("diff", help="what differs between two")
    prune = actions.add_parser("prune", help="delete old ones that nothing needs: neither a rollback nor a server")
    for action in (show, verify):
        action.add_argument("name", metavar="NAME", help="a release, or `current`")
    diff.add_argument("first", metavar="A", help="a release, or `current`")
    diff.add_argument("second", metavar="B", help="a release, or `current`")
    prune.add_argument("--keep", type=options.at_least_one, default=5, metavar="N", help="the newest (default: 5)")
    prune.add_argument("--dry-run", action="store_true", help="tell what would be deleted")
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
        if arguments.config:
            extras.require("deploy")  # it may name a cluster
        text = commands.prune_text(workspace, arguments.keep, arguments.config, arguments.dry_run)
    elif arguments.action == "diff":
        text = commands.diff_text(workspace, arguments.first, arguments.second)
    else:
        text = {"show": commands.show_text, "verify": commands.verify_text}[arguments.action](workspace, arguments.name)
    print(text)
    return 0
