"""Step 1: the data set's files to checked tables."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pyarrow.compute as pc

from souk.config import parse_step_config
from souk.errors import SoukError
from souk.ingest.convert import read_rows
from souk.ingest.outliers import check_override_names
from souk.ingest.quarantine import check_threshold, write_quarantine
from souk.ingest.report import write_report
from souk.ingest.schemas import SchemaFolder
from souk.ingest.statistics import Windows
from souk.ingest.tables import complete, write_tables
from souk.ingest.validate import Validated, anomalies, validate
from souk.progress import report
from souk.readers import fingerprint
from souk.workspace import Workspace

TABLES = ("events", "items", "users")


def ingest(
    config: str, schema: str, workspace: str, tables: str, quarantine: str, report_html: str
) -> dict[str, float]:
    """Reads, checks and sorts the events, items and users of a data set.

    Args:
        config: JSON of the config's sections for this step.
        schema: JSON of TFDV schemas (text) by table, "" for those of the workspace, which are inferred once.
        workspace: path of the workspace.
        tables: output folder, "tables" in docs/architecture.md.
        quarantine: output folder for refused rows.
        report_html: output file: statistics, quarantine, anomalies.

    Raises:
        SoukError: files that cannot be read as the config says, or more refused rows than it allows.
    """
    sections = parse_step_config("ingest", config)
    given: dict[str, str] = json.loads(schema) if schema else {}
    kinds = {name: getattr(sections.columns, name) for name in TABLES}
    check_override_names(sections.ingest.outliers, kinds)
    latest = int((time.time() + sections.ingest.allowed_future_seconds) * 1000)
    folder = SchemaFolder(Workspace(Path(workspace)).schemas / sections.name)
    checked: dict[str, Validated] = {}
    for name in TABLES:
        rows = read_rows(name, getattr(sections.data, name), kinds[name])
        checked[name] = validate(
            rows,
            kinds[name],
            sections.name,
            given.get(name, ""),
            folder,
            sections.ingest.outliers,
            latest,
            sections.columns.widths_of(name),
        )
        if rows.batches:
            report(_line(name, checked[name]))
    windows, content = Windows(folder.folder / "statistics"), fingerprint(sections.data)
    found = {
        name: anomalies(name, each.statistics, each.schema, windows.before(content, name))
        for name, each in checked.items()
    }
    refused = [each.quarantine for each in checked.values()]
    write_quarantine(refused, Path(quarantine))
    write_report(sections.name, checked, found, Path(report_html))
    check_threshold(refused, sections.ingest.quarantine_threshold, Path(quarantine))
    for line in (
        *(n for each in checked.values() for n in each.notices),
        *(a for each in found.values() for a in each),
    ):
        report(line)
    withdraw = sections.ingest.items_without_events == "unavailable"
    done = complete({name: each.accepted for name, each in checked.items()}, withdraw)
    if not done["events"].num_rows:
        raise SoukError("an event to learn from", "none was accepted", f"See {quarantine}.")
    span = pc.min_max(done["events"]["timestamp"]).as_py()
    manifest = {
        "tables": {each.name: each.counts() for each in refused},
        "fingerprint": content,
        "first_event": span["min"],
        "last_event": span["max"],
    }
    write_tables(done, {name: each.schema_text for name, each in checked.items()}, manifest, Path(tables))
    windows.keep(content, {name: each.statistics for name, each in checked.items()})
    available = pc.sum(done["items"]["available"]).as_py()
    if withdraw:
        report(f"items: {available:,} of {done['items'].num_rows:,} are available")
    return _metrics(checked, found, {name: table.num_rows for name, table in done.items()}, available)


def _line(name: str, checked: Validated) -> str:
    refused = checked.quarantine
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in list(refused.reasons.items())[:5])
    return f"{name}: {refused.read:,} read, {refused.refused:,} quarantined" + (f" ({reasons})" if reasons else "")


def _metrics(
    checked: dict[str, Validated], found: dict[str, list[str]], rows: dict[str, int], available: int
) -> dict[str, float]:
    values: dict[str, float] = {"anomalies": float(sum(map(len, found.values())))}
    values["items_available"] = float(available)
    for name, each in checked.items():
        values[f"{name}_read"] = float(each.quarantine.read)
        values[f"{name}_quarantined"] = float(each.quarantine.refused)
        values[name] = float(rows[name])
    return values
