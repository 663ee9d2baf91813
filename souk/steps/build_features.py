"""The step `build_features`: training tables, transforms, and the user states in Feast."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from souk.config import Split, parse_step_config
from souk.errors import SoukError
from souk.features.bars import far_bars
from souk.features.few_users import few_users
from souk.features.funnel import funnel
from souk.features.history import history_length, timed, told_apart
from souk.features.impressions import write_impressions
from souk.features.label_windows import few_labels
from souk.features.labels import check_objectives, never_known
from souk.features.matches import find_matches
from souk.features.pipeline import build, find_windows
from souk.features.responses import is_told
from souk.features.runner import Runner
from souk.features.unnamed import unheard, unnamed
from souk.features.windows import read_windows
from souk.ingest.tables import content_of
from souk.metrics import LEAST_USERS
from souk.progress import report
from souk.spec import FeatureSpec
from souk.store.publish import publish, try_redis
from souk.workspace import Workspace


def build_features(
    config: str, workspace: str, beam_runner: str, beam_options: str, tables: str, features: str
) -> dict[str, float]:
    """Builds the features folder and publishes the user states.

    Args:
        config: the step's config as JSON.
        workspace: the workspace folder, for Feast.
        beam_runner: `FnApiRunner` (embedded), or a runner that Beam knows.
        beam_options: Beam's flags, a JSON list.
        tables: folder written by ingest.
        features: folder to write (docs/architecture.md).

    Returns:
        Counts, and `events_per_second` of the whole build.
    """
    sections = parse_step_config("build_features", config)
    if sections.online_store.uri:
        try_redis(Workspace(Path(workspace)).feast, sections.online_store.uri)
    spec = spec_of(sections, Path(tables))
    started = time.monotonic()
    counts = build(Path(tables), Path(features), spec, sections.split, Runner.parse(beam_runner, beam_options))
    start = read_windows(Path(features) / "windows.json").validation_start
    (Path(features) / "tables.json").write_text(json.dumps({"content": content_of(Path(tables))}), encoding="utf-8")
    counts["slates"] = float(write_impressions(tables, features, spec, start, report))
    counts["events_per_second"] = counts["events"] / (time.monotonic() - started)
    report("publishing the user states to Feast")
    now = time.time_ns() // 1_000_000
    counts["states"] = float(
        publish(
            Path(features) / "user_state.parquet",
            spec,
            Workspace(Path(workspace)).feast,
            now,
            sections.online_store.uri,
            tell=report,
        )
    )
    report(f"{counts['states']:,.0f} user states in Feast")
    return counts


def spec_of(sections: Any, tables: Path) -> FeatureSpec:
    """The feature specification, with what the config leaves to the data; tells of objectives that do not fit these.

    Args:
        sections: the step's config, parsed.
        tables: output of ingest.

    Raises:
        SoukError: nothing can be learned by these objectives, or from so few times, or a pause is asked for where times
            are counts.
    """
    spec = FeatureSpec(sections.name, sections.columns, sections.objectives, sections.repeat, sections.build_features)
    check_objectives(spec)
    events = tables / "events.parquet"
    told = unnamed(events, spec.objectives), unheard(events, spec.repeat), far_bars(events, spec.objectives)
    for line in chain(*told):
        report(line)
    _check_pause(spec, sections.split)
    windows, chosen = find_windows(events, spec, sections.split), dict[str, Any]()
    if sections.split.protocol == "temporal":  # the days of the other clock are none
        first = _first_event(events)
        lines = (
            never_known(spec.objectives, first, windows.end),
            few_labels(events, spec.objectives, first, windows, sections.split),
            few_users(events, spec, windows, sections.split, LEAST_USERS),
            funnel(events, spec, windows.validation_start),
        )
        for line in chain(*lines):
            report(line)
    before = windows.validation_start
    if spec.build.history_length == "auto":
        chosen["history_length"] = history_length(events, spec, before)
        report(f"history length: {chosen['history_length']} events")
    if spec.build.matches == "auto":
        found = find_matches(tables, spec, before)
        for match in found:
            report(f"matches: {match}")
        if taken := [[match.own, match.theirs] for match in found if not match.copied]:
            chosen["matches"] = taken
    acts = told_apart(events, spec, before)
    report(f"acts that the ranker tells apart: {', '.join(acts) or 'none'}")
    # by the other clock, what led to an engagement that is held out comes before the boundary: shown, and left
    shown = sections.split.protocol == "temporal" and is_told(events, spec, before)
    if shown:
        report("the log tells how often items are taken where they are shown")
    hours = timed(events, spec, before)
    if not hours and sections.split.protocol == "temporal":
        report("events have dates alone: the hour of a request is not looked at")
    return replace(spec, build=spec.build.model_copy(update=chosen), acts=acts, shown=shown, timed=hours)


def _check_pause(spec: FeatureSpec, split: Split) -> None:
    """Refuses a pause where times are counts, not minutes."""
    if spec.repeat.pause_minutes and split.protocol == "leave_last_out":
        raise SoukError(
            "repeat without pause_minutes beside the split protocol leave_last_out",
            f"{spec.repeat.pause_minutes:g}",
            "Its times are counts: a look of last month is a millisecond before what was taken next. Leave it out.",
        )


def _first_event(events: Path) -> int:
    """The time of the first row, UTC epoch milliseconds: events are in the order of time."""
    return int(next(pq.ParquetFile(events).iter_batches(1, columns=["timestamp"]))["timestamp"][0].as_py())
