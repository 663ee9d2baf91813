"""The HTML report of an ingest: one file, no assets from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from tensorflow_metadata.proto.v0 import statistics_pb2

from souk.folders import whole_file
from souk.ingest.convert import TIMES
from souk.ingest.notices import moment
from souk.ingest.quarantine import Quarantine
from souk.ingest.validate import Validated

STYLE = """
body{font:14px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:74rem;padding:0 1rem;color:#1f2430}
table{border-collapse:collapse;margin:.5rem 0 1.5rem;width:100%}
th,td{border-bottom:1px solid #dde1e8;padding:.3rem .6rem;text-align:left;vertical-align:middle}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
pre{background:#f5f6f9;padding:.5rem;white-space:pre-wrap;overflow-wrap:anywhere;margin:.2rem 0}
svg{display:block}rect{fill:#3d6fb6}h2{margin-top:2.2rem}
"""
BARS = 20
WIDTH, HEIGHT = 180, 36  # pixels of a histogram


def write_report(
    dataset: str, checked: Mapping[str, Validated], anomalies: Mapping[str, Sequence[str]], path: Path
) -> None:
    """Writes statistics by column, anomalies and the quarantine of every table.

    Args:
        dataset: its name.
        checked: the tables.
        anomalies: by table, what TFDV found.
        path: the HTML file.
    """
    title = f"Data of {escape(dataset)}"
    parts = [f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><style>{STYLE}</style>"]
    parts.append(f"<h1>{title}</h1>")
    parts.append(
        _table(("Table", "Read", "Accepted", "Quarantined", "Share", "Skipped"), map(_counts, checked.values()))
    )
    for name, each in checked.items():
        parts.append(f"<h2>{escape(name)}</h2>")
        parts.append(_list("Anomalies", anomalies[name]) + _list("Notices", each.notices))
        parts.append(_quarantine(each.quarantine))
        parts.append(_columns(each.statistics))
    with whole_file(path) as fresh:
        fresh.write_text("\n".join(parts) + "</html>\n", encoding="utf-8")


def histogram(heights: Sequence[float], labels: Sequence[str]) -> str:
    """An inline SVG bar chart; a label is shown where the pointer rests on its bar."""
    top, width = max(heights, default=0) or 1, WIDTH / max(1, len(heights))
    bars = []
    for index, (height, label) in enumerate(zip(heights, labels, strict=True)):
        tall = HEIGHT * height / top
        place = f'x="{index * width:.1f}" y="{HEIGHT - tall:.1f}" width="{max(1, width - 1):.1f}" height="{tall:.1f}"'
        bars.append(f"<rect {place}><title>{escape(label)}: {height:,.0f}</title></rect>")
    return f'<svg width="{WIDTH}" height="{HEIGHT}" role="img">{"".join(bars)}</svg>'


def _counts(each: Validated) -> tuple[str, ...]:
    table = each.quarantine
    skipped = ", ".join(f"{count:,} by {why}" for why, count in table.left_out.items())
    numbers = (f"{count:,}" for count in (table.read, table.accepted, table.refused))
    return table.name, *numbers, f"{table.share:.2%}" if table.read else "-", skipped


def _quarantine(table: Quarantine) -> str:
    if not table.refused:
        return ""
    rows = []
    for reason, count in table.reasons.items():
        shown = "".join(f"<pre>{escape(sample)}</pre>" for sample in table.samples[reason])
        rows.append((escape(reason), f"{count:,}", shown))
    return "<h3>Quarantine</h3>" + _table(("Reason and column", "Rows", "Samples"), rows, raw=True)


def _columns(statistics: Any) -> str:
    data = statistics.datasets[0]
    rows = [_column(feature, data.num_examples) for feature in data.features]
    header = (
        "Column",
        "Type",
        "Missing",
        "Distinct (about)",
        "Minimum",
        "Median",
        "Maximum",
        "Most frequent",
        "Distribution",
    )
    return _table(header, rows, raw=True) if rows else "<p>No rows.</p>"


def _column(feature: Any, rows: int) -> tuple[str, ...]:
    name, kind = feature.path.step[0], statistics_pb2.FeatureNameStatistics.Type.Name(feature.type).lower()
    if feature.HasField("string_stats"):
        text, common = feature.string_stats, feature.string_stats.common_stats
        # TFDV counts distinct and frequent values by sketches: of a column of ids they say nothing.
        distinct = min(text.unique, common.num_non_missing)
        repeats = 2 * distinct < common.num_non_missing
        top = [(value.value, value.frequency) for value in text.top_values[:BARS]] if repeats else []
        frequent = ", ".join(f"{value} ({count:,.0f})" for value, count in top[:3])
        chart = histogram([count for _, count in top], [value for value, _ in top])
        numbers = (f"{distinct:,}", "", "", "", escape(frequent[:120]))
    else:
        number, common = feature.num_stats, feature.num_stats.common_stats
        told = moment if name in TIMES else _amount
        numbers = ("", told(number.min), told(number.median), told(number.max), "")
        standard = [h for h in number.histograms if h.type == statistics_pb2.Histogram.STANDARD]
        buckets = standard[0].buckets if standard else []
        labels = [f"{told(bucket.low_value)} to {told(bucket.high_value)}" for bucket in buckets]
        chart = histogram([bucket.sample_count for bucket in buckets], labels)
    missing = 1 - common.num_non_missing / max(1, rows)
    return escape(name), kind, f"{missing:.1%}", *numbers, chart


def _amount(value: float) -> str:
    return f"{value:,.6g}"


def _list(title: str, lines: Sequence[str]) -> str:
    entries = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<h3>{title}</h3><ul>{entries}</ul>" if lines else ""


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], raw: bool = False) -> str:
    """An HTML table; `raw` cells are markup already."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join(
        "<tr>" + "".join(f"<td>{cell if raw else escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"
