"""Whether models look at the time of day: one answer for all that is fitted and served, of events before validation."""

import numpy as np
import pytest

from souk.config import parse_config, parse_step_config
from souk.schema import DAY_MS
from souk.spec import Entity
from souk.steps.build_features import spec_of
from tests.features_fixtures import write_tables

CONFIG = """
name: shop
data: {events: {path: unused}}
objectives: {engaged: {events: [purchase]}, satisfied: {events: [purchase]}}
"""


def spec_of_times(folder, dates):
    """Of a thousand purchases the first are dates, the others at any time of their days."""
    times = np.arange(1_000) // 4 * DAY_MS
    times[dates:] += np.random.default_rng(2).integers(0, DAY_MS, 1_000 - dates)
    rows = [
        {"event_id": f"{n:04d}", "user_id": f"u{n % 30}", "item_id": f"i{n % 7}", "event_type": "purchase"}
        | {"timestamp": int(time)}
        for n, time in enumerate(np.sort(times))
    ]
    config = parse_config(CONFIG)
    tables = write_tables(folder / "tables", rows)
    return spec_of(parse_step_config("build_features", config.for_step("build_features")), tables)


@pytest.mark.parametrize(("dates", "told"), [(1_000, False), (830, False), (730, False), (700, True), (0, True)])
def test_a_shop_that_went_over_to_times_has_hours_once_a_tenth_of_its_training_events_have(
    tmp_path, capsys, dates, told
):
    """A fifth of the events are in the windows: up to the end, 17% and 27% of all would be enough."""
    spec = spec_of_times(tmp_path, dates)
    assert spec.timed == told
    assert ("query_hour" in {feature.name for feature in spec.of(Entity.QUERY)}) == told
    assert ("events have dates alone" in capsys.readouterr().out) != told
