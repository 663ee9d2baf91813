"""The impression log as a source: its part files in order, each once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from souk.errors import SoukError

COLUMNS = ("request_id", "answered_at", "release", "features", "scores", "engaged", "satisfied")  # of every part file
BATCH = 4096


def part_files(folder: str | Path) -> list[str]:
    """The part files by their paths within the log, the oldest hour first; unfinished ones are none.

    Raises:
        SoukError: there is no such folder.
    """
    root = Path(folder)
    if not root.is_dir():
        raise SoukError(f"an impression log at {root}", "no such folder", "It is the workspace's impressions/ folder.")
    paths = (path for path in root.rglob("*.parquet") if not path.name.startswith("."))
    return sorted(path.relative_to(root).as_posix() for path in paths)


def records(path: Path, release: str, objectives: Iterable[str]) -> Iterator[list[dict[str, Any]]]:
    """The records of one part file, in batches; of a file that has none of the release, their releases alone.

    Args:
        path: the file.
        release: whose records are to be read; so are those of no release.
        objectives: whose probabilities are read, where the file has them.

    Raises:
        SoukError: the file is no part of an impression log, or of one without request features.
    """
    try:
        with pq.ParquetFile(path) as file:
            lacking = [name for name in COLUMNS if name not in file.schema_arrow.names]
            if lacking:
                remedy = "Features are logged since this version of souk serve: check what it has written since."
                raise SoukError(f"impression records with {', '.join(lacking)} in {path}", "no such column", remedy)
            releases = file.read(["release"]).to_pylist()
            if not any(record["release"] in (None, release) for record in releases):
                yield releases
                return
            given = [name for name in ("arm", "request", *objectives) if name in file.schema_arrow.names]
            for batch in file.iter_batches(BATCH, columns=list(dict.fromkeys([*COLUMNS, *given]))):
                yield batch.to_pylist()
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:  # the last of a text whose bytes are none
        raise SoukError(f"a Parquet file at {path}", str(error), "Move the damaged file out of the log.") from error
