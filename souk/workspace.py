"""The workspace: the folder that holds everything that a deployment of Souk keeps (docs/architecture.md)."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from souk.errors import SoukError

ENDING_SECONDS = 30.0  # how long the steps of a killed run may take to end


@dataclass(frozen=True)
class Workspace:
    """Paths within the workspace at `root`; nothing is created by naming it."""

    root: Path

    @property
    def releases(self) -> Path:
        return self.root / "releases"

    @property
    def current(self) -> Path:
        """The symbolic link to the release that is served."""
        return self.releases / "current"

    @property
    def milvus(self) -> Path:
        return self.root / "milvus"

    @property
    def feast(self) -> Path:
        return self.root / "feast"

    @property
    def schemas(self) -> Path:
        return self.root / "schemas"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def checkpoints(self) -> Path:
        """Fits of the towers and of the ranker that go on where they were killed, by their inputs."""
        return self.root / "checkpoints"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    @property
    def impressions(self) -> Path:
        return self.root / "impressions"

    @property
    def experiments(self) -> Path:
        """What running servers try out on whom (docs/experiments.md); there need not be any."""
        return self.root / "experiments.yaml"

    @property
    def item_log(self) -> Path:
        """Items that were upserted into a running server, whatever release it served."""
        return self.root / "items" / "upserts.log"

    @property
    def events(self) -> Path:
        """Events that a running server was sent; the next training may read them."""
        return self.root / "events"

    def current_release(self) -> str:
        """The name of the release that is served, "" before the first."""
        return os.path.basename(os.readlink(self.current)) if self.current.is_symlink() else ""

    def served_folder(self, release: str = "") -> Path:
        """The folder of the release to serve, with links resolved: the pointer may move while it is read.

        Args:
            release: a release's name or folder; "" for the current one.

        Raises:
            SoukError: there is none.
        """
        folder = Path(release) if release else self.current
        if release and not folder.is_dir() and Path(release).name == release:
            return self.release_folder(release)
        if not folder.is_dir():
            raise self.no_release(f"a release at {folder}") if release else self._no_current()
        return folder.resolve()

    def _no_current(self) -> SoukError:
        if not os.path.lexists(self.current):
            return self.no_release(f"a release at {self.current}")
        name = self.current_release()
        received = f"a link to {name}, which is not there" if name else "something that is no link to a folder"
        if not any(folder.is_dir() for folder in self.releases.glob("[!.]*")):
            return self.no_release(f"a release at {self.current}", received)
        remedy = "`souk release list` tells what there is, and `souk rollback NAME` serves it."
        return SoukError(f"a release at {self.current}", received, remedy)

    def no_release(self, expected: str, received: str = "none") -> SoukError:
        """What to say where there is none: a run that the gate rejected made none, and would make none again."""
        if self._last_record().get("verdict") == "reject":
            remedy = f"Its report in {self.reports} tells what it did not beat: give it more events, or other settings."
            return SoukError(expected, f"{received}: the gate rejected what the last run made", remedy)
        return SoukError(expected, received, "Make one: `souk run --config FILE`, or name another --workspace.")

    def _last_record(self) -> dict[str, Any]:
        """What the last run wrote of itself; {} where there is none."""
        for path in sorted(self.runs.glob("*.steps.json"), reverse=True):
            with contextlib.suppress(OSError, ValueError):  # of a run that was killed as it wrote
                record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
                return record
        return {}

    def release_folder(self, name: str) -> Path:
        """The folder of a release by its name.

        Raises:
            SoukError: there is none.
        """
        folder = self.releases / name
        if name in ("", "current") or not folder.is_dir():
            raise SoukError(f"a release {name} in {self.releases}", "none", "`souk release list` tells what there is.")
        return folder.resolve()

    @contextlib.contextmanager
    def locked(self) -> Iterator[Path]:
        """One pipeline run at a time; yields the lock file, of which the run's steps hold a share each.

        Raises:
            SoukError: another run is at work here, or steps of a killed one do not end.
        """
        path = self.runs / "lock"
        with self._writable(path) as file:
            self._take(file.fileno(), path)
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
            yield path

    def _writable(self, path: Path) -> TextIO:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return path.open("a+", encoding="utf-8")
        except OSError as error:
            remedy = "Name another with --workspace, or change its permissions."
            raise SoukError(f"a workspace folder to write to at {self.root}", str(error), remedy) from error

    def _take(self, lock: int, path: Path) -> None:
        """Alone first (no step of an older run is left), then shared with our own steps."""
        until = time.monotonic() + ENDING_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                owner = path.read_text(encoding="utf-8").strip()
                if _alive(owner) or time.monotonic() > until:
                    raise SoukError(
                        f"one run at a time in workspace {self.root}",
                        f"a run (process {owner or 'unknown'}) is at work there",
                        "Wait for it, or give this run its own --workspace.",
                    ) from None
                time.sleep(0.05)


def _alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True
