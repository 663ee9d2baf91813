"""A test window in which too few users engage for a verdict."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from souk.config import Split
from souk.errors import SoukError
from souk.features.label_windows import MOST, SHARES
from souk.features.labels import engaging_rows
from souk.features.windows import Windows, split_windows
from souk.spec import FeatureSpec

COLUMNS = ("user_id", "event_type", "timestamp", "value", "dwell_seconds")


def few_users(events: Path, spec: FeatureSpec, windows: Windows, split: Split, least: int) -> Iterator[str]:
    """What a reader should know before anything is trained: a verdict on fewer users promotes nothing.

    Args:
        events: `events.parquet`.
        spec: says what engages.
        windows: of the split, in time.
        split: the shares that made them.
        least: users that a verdict asks for.
    """
    names = [name for name in COLUMNS if name in pq.read_schema(events).names]
    late = pq.read_table(events, columns=names, filters=[("timestamp", ">=", windows.test_start)])
    found = len(late.filter(engaging_rows(late, spec.objectives.engaged))["user_id"].unique())
    if found < least:
        rows = pq.read_table(events, columns=names)
        rows = rows.filter(engaging_rows(rows, spec.objectives.engaged))
        users, times = rows["user_id"].to_pandas().to_numpy(), rows["timestamp"].to_numpy().astype(np.int64)
        mend = _remedy(users, times, windows, split, least)
        yield f"engaged: {found:,} users engage in the test window, and a verdict asks for {least}: {mend}"


def _remedy(users: np.ndarray, times: np.ndarray, windows: Windows, split: Split, least: int) -> str:
    """The smallest test window that has so many, as a sentence."""
    for share in SHARES:
        if split.test < share <= MOST - split.validation:
            try:
                made = split_windows(times, windows.end - 1, split.model_copy(update={"test": share}))
            except SoukError:
                continue
            there = len(np.unique(users[times >= made.test_start]))
            if there >= least:
                return f"split: {{validation: {split.validation:g}, test: {share:g}}} would have {there:,}"
    return "more events help"
