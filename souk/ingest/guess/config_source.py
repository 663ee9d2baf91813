"""Where a table is, as the first config of a data set writes it: every guess with its evidence beside it."""

from __future__ import annotations

import json
import re

from souk.ingest.guess.columns import Table
from souk.ingest.guess.config_words import listed, quoted

LONGEST = 600  # characters of a comment: evidence, examples of a column and a remedy have half of that
# Notes on what `skip` leaves out.
LEFT_OUT = (
    "twice",
    "unchosen",
    "undone",
    "refused",
    "sent",
    "befell",
    "decided",
    "milestones",
    "aftermath",
    "unrated",
    "uses",
    "itemless",
)


def render_source(table: Table) -> list[str]:
    lines = [f"  {table.name}:", f"    path: {quoted(table.source.path)}", "    columns:"]
    for target, (column, evidence) in table.mapped.items():
        if target not in table.templates and not (table.ends and target == "available_until"):
            lines.append(f"      {target}: {quoted(column.name)}  # {comment(evidence)}")
    lines += _render_templates(table)
    if table.constants:
        lines.append("    constants:")
        lines += [f"      {k}: {value}  # {comment(evidence)}" for k, (value, evidence) in table.constants.items()]
    if table.types:
        lines.append("    event_types:")
        lines += [f"      {quoted(text)}: {kind}  # {why}" for text, (kind, why) in table.types.items()]
    if table.source.skip:
        skipped = ", ".join(f"{quoted(name)}: {listed(values)}" for name, values in table.source.skip.items())
        why = "; ".join(table.notes[key] for key in ("skip", *LEFT_OUT) if key in table.notes)
        lines.append(f"    skip: {{{skipped}}}  # {comment(why)}")
    if "repeated_ids" in table.notes:
        lines.append(f"    repeated_ids: {table.source.repeated_ids}  # {comment(table.notes['repeated_ids'])}")
    split = {
        target: guess.separator for target, (_, guess) in table.declared.items() if guess.separator not in ("", "/")
    }
    if split:
        lines.append("    separators:")
        lines += [f"      {target}: {quoted(separator)}" for target, separator in split.items()]
    return lines + _render_form(table) + _render_times(table)


def _render_form(table: Table) -> list[str]:
    """How the file is written."""
    lines = []
    if table.source.format != "auto":
        lines.append(f"    format: {table.source.format}  # which the name of the file does not tell")
    if table.source.delimiter:
        lines.append(f"    delimiter: {quoted(table.source.delimiter)}")
    if table.source.header:
        lines.append(f"    header: [{', '.join(map(quoted, table.source.header))}]  # the file has no line of names")
    if table.source.encoding != "utf-8":
        lines.append(
            f"    encoding: {table.source.encoding}  # the file is not in UTF-8; do its words look right here?"
        )
    if table.source.decimal != ".":
        lines.append(f"    decimal: {quoted(table.source.decimal)}  # {comment(table.notes['decimal'])}")
    return lines


def _render_times(table: Table) -> list[str]:
    lines = []
    if table.source.dwell_unit != "s":
        lines.append(f"    dwell_unit: {table.source.dwell_unit}  # of dwell_seconds")
    if table.source.timestamp_unit != "ms":
        zone = table.notes.get("timestamp_unit", "")
        lines.append(f"    timestamp_unit: {table.source.timestamp_unit}{f'  # {zone}' if zone else ''}")
    if "timezone" in table.notes:
        lines.append(f"    timezone: {table.source.timezone}  # {comment(table.notes['timezone'])}")
    return lines


def _render_templates(table: Table) -> list[str]:
    """Columns that are made of several; where items end in several ways, the earliest is their end."""
    made = [
        f"      {target}: {json.dumps(text, ensure_ascii=False)}  # {comment(why)}"
        for target, (text, why) in table.templates.items()
    ]
    if not table.ends:
        return ["    templates:", *made] if made else []
    columns = [table.mapped["available_until"][0], *table.ends]
    earliest = json.dumps(" ".join(f"{{{column.name}}}" for column in columns), ensure_ascii=False)
    why = "; ".join(f"{column.name}: {len(column.texts):,} of {len(column.values):,} rows" for column in columns)
    return [
        "    templates:",
        *made,
        f"      available_until: {earliest}  # the earliest of these ends; {comment(why)}",
    ]


def comment(text: str) -> str:
    """On one line, whole but where a file has endless names: what to do stands last."""
    line = re.sub(r"\s+", " ", text)
    return line if len(line) <= LONGEST else f"{line[:LONGEST].rpartition(' ')[0] or line[:LONGEST]} ..."
