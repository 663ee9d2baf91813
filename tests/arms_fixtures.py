"""A shop with experiments: a workspace, what reads its releases, and users by arm."""

import shutil
import time

from souk.config.experiments import parse_experiments
from souk.experiments import assigned
from souk.release.manifest import read_manifest, write_manifest
from souk.serving.budget import Guards
from souk.serving.experiments.arms import Arms
from souk.serving.experiments.counts import ArmCounts
from souk.serving.in_memory import InMemory
from souk.serving.releases import Releases
from souk.serving.served import Reader
from souk.store.feast_store import Access
from tests.serving_fixtures import NOW


def beside(workspace, name, change=lambda folder: None):
    """The current release under another name, with a change that its checksums know nothing of."""
    folder = workspace.releases / name
    shutil.copytree(workspace.releases / workspace.current_release(), folder)
    manifest = read_manifest(folder)
    write_manifest(folder, name, manifest["content"], manifest["lineage"])
    change(folder)


def reader_of(workspace):
    """What reads the workspace's releases, as a server does."""
    return Reader(workspace, "exact", "", Access(), 60_000, Guards(), lambda: NOW, print, lambda followed: None)


def arms_of(workspace, text, clock=time.monotonic, release=""):
    """The arms of a server of that workspace, or of a release's folder, after a look at the text."""
    memory = InMemory(reader_of(workspace).ready)
    releases = Releases(memory.ready(workspace.served_folder(release)), workspace.served_folder, memory.ready)
    arms = Arms(releases, workspace.experiments, memory.ready, workspace.release_folder, ArmCounts(), clock=clock)
    releases.changed = arms.follow_release
    write(workspace, text)
    arms.look()
    return arms


def write(workspace, text):
    """Puts a text into the place of the experiments."""
    workspace.experiments.write_text(text)


def user_in(text, **wanted):
    """A user who is in these arms; "" for out of the experiment."""
    plan = parse_experiments(text)
    return next(
        user
        for user in (f"u{n}" for n in range(100_000))
        if (arms := assigned(plan, user, "")) or not any(wanted.values())
        if all(arms.get(name, "") == arm for name, arm in wanted.items())
    )
