"""Events per second of the features pipeline (Beam and TensorFlow Transform on the embedded runner).

`python -m benchmarks.beam TABLES CONFIG FOLDER` builds once and prints a row; each build is a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.setting import Setting
from souk.config import load_config, parse_step_config
from souk.progress import peak_mib

COPIES = (1, 5)


def measure(setting: Setting) -> list[dict[str, Any]]:
    """One row for the data set and one for several copies of it, each with users of its own."""
    from souk.steps.ingest import ingest

    tables = setting.scratch / "tables-1"
    places = (tables, setting.scratch / "quarantine", setting.scratch / "ingest.html")
    config = load_config(setting.config).for_step("ingest")
    ingest(config, "", str(setting.scratch / "beam-workspace"), *map(str, places))
    rows = []
    for copies in COPIES:
        folder = copied(tables, copies)
        words = [str(folder), str(setting.config), str(setting.scratch / f"features-{copies}")]
        command = [sys.executable, "-m", "benchmarks.beam", *words]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)  # why it fails is shown
        rows.append(json.loads(done.stdout.splitlines()[-1]))
    return rows


def copied(tables: Path, copies: int) -> Path:
    """Tables with every user and event `copies` times."""
    if copies == 1:
        return tables
    target = tables.with_name(f"tables-{copies}")
    target.mkdir()
    for name in ("events", "users", "items"):
        table = pq.read_table(tables / f"{name}.parquet")
        if name != "items":
            table = pa.concat_tables(_marked(table, number) for number in range(copies))
        if name == "events":
            table = table.sort_by([("timestamp", "ascending"), ("event_id", "ascending")])
        pq.write_table(table, target / f"{name}.parquet")
    return target


def _marked(table: pa.Table, number: int) -> pa.Table:
    for name in {"user_id", "event_id"}.intersection(table.column_names):
        ids = pc.binary_join_element_wise(pc.cast(table[name], "string"), str(number), "/")
        table = table.set_column(table.column_names.index(name), name, ids)
    return table


def main() -> None:
    """Builds the features of one tables folder."""
    from souk.features.impressions import write_impressions
    from souk.features.pipeline import build
    from souk.features.runner import Runner
    from souk.features.windows import read_windows
    from souk.steps.build_features import spec_of

    tables, config, folder = Path(sys.argv[1]), load_config(sys.argv[2]).for_step("build_features"), Path(sys.argv[3])
    sections = parse_step_config("build_features", config)
    began = time.perf_counter()
    spec = spec_of(sections, tables)
    counts = build(tables, folder, spec, sections.split, Runner())
    write_impressions(tables, folder, spec, read_windows(folder / "windows.json").validation_start)
    seconds = time.perf_counter() - began
    row = {
        "events": int(counts["events"]),
        "seconds": round(seconds, 1),
        "events/s": round(counts["events"] / seconds),
        "peak MiB": round(peak_mib()),
    }
    print(json.dumps(row))


if __name__ == "__main__":
    main()
