"""Puts the user states of the newest run where the current release is served from, whatever the gate said."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from souk.cli import options
from souk.errors import SoukError
from souk.release.manifest import verify
from souk.release.runs import newest_states
from souk.spec import read_spec
from souk.store.address import online_store
from souk.workspace import Workspace


def configure(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    publish = actions.add_parser(
        "publish",
        help="write the states; those of users who are not in the run stay",
        description="Writes what the newest run knows of its users to the online store, for the features that the "
        "current release reads. Its servers use that from their next request on, and add what their log of events has "
        "beyond it. Users who are not in the run stay.",
    )
    publish.add_argument(
        "--clear", action="store_true", help="first delete the states of all users, those that are not in the run too"
    )
    publish.add_argument(
        "--redis-uri", metavar="URI", help="the Redis to publish to (default: where states were published last)"
    )
    options.add_workspace(publish)


def run(arguments: argparse.Namespace) -> int:
    if arguments.redis_uri:
        online_store(arguments.redis_uri, "")  # a wrong one would be told after Feast's imports only
    workspace = Workspace(Path(arguments.workspace))
    folder = workspace.served_folder()
    # Another version of Souk serves under another name what this one would publish.
    verify(folder, only=["spec.json"])
    spec = read_spec(folder / "spec.json")
    states = newest_states(workspace, spec.of_states.hash)
    if states is None:
        remedy = "`souk run` makes them; its last step publishes those of a release."
        raise SoukError(f"features of the specification {spec.of_states.hash} in {workspace.runs}", "none", remedy)

    from souk.store.definitions import published_uri  # Feast takes seconds to import
    from souk.store.publish import publish

    uri = published_uri(workspace.feast) if arguments.redis_uri is None else arguments.redis_uri
    now = time.time_ns() // 1_000_000
    count = publish(states, spec, workspace.feast, now, uri, arguments.clear, print)
    end = json.loads((states.parent / "windows.json").read_text(encoding="utf-8"))["end"]
    day = time.strftime("%Y-%m-%d %H:%M", time.gmtime(end / 1000))
    print(
        f"{count:,} user states, of events before {day} UTC, {'alone' if arguments.clear else 'beside those of before'}"
    )
    return 0
