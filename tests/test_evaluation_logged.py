"""The share of logged slates that were taken from, where a click stands in the place of its impression."""

import pytest

from souk.evaluation.business import figures, window_events
from souk.evaluation.window import Window
from tests.evaluation_fixtures import spec_of, write_artifacts

START, ITEMS = 1_700_000_000_000, {"a": True}


def event(number, kind, time, request, position):
    names = {"event_id": f"{kind}{number}", "user_id": "ann", "item_id": "a", "event_type": kind}
    return {**names, "timestamp": START + time, "request_id": request, "position": position}


def told(tmp_path, rows):
    tables, _ = write_artifacts(tmp_path / "shop", rows, ITEMS, START)
    return figures(window_events(tables, Window(START, START + 100, {}, {})), spec_of("always"))


@pytest.mark.parametrize(
    ("own", "position", "slates", "conversion"), [(False, 1, 10, 0.2), (False, None, 8, 0.0), (True, 1, 10, 0.2)]
)
def test_what_was_taken_at_a_place_was_shown_there(tmp_path, own, position, slates, conversion):
    """A log of ten rows, a request each, of which two were clicked. With `own` there is an impression beside each
    click, and one more click, of what was shown before the window: that is no slate of it."""
    rows = [event(n, "click", n, f"r{n}", position) for n in range(2)]
    rows += [event(n, "impression", n, f"r{n}", 1) for n in range(0 if own else 2, 10)]
    rows += [event(10, "impression", -1, "r10", 1), event(10, "click", 0, "r10", 1)] if own else []
    found = told(tmp_path, rows)
    assert (found["logged_slates"], found["conversion"]) == (slates, conversion)


def test_a_log_of_clicks_alone_has_no_slates(tmp_path):
    assert not told(tmp_path, [event(n, "click", n, f"r{n}", 1) for n in range(3)])
