"""A sale that is refused, beside what waits together with it."""

import threading

import pytest

from souk.serving.events.live import LiveEvents
from souk.serving.events.log import EventLog, read
from tests.events_fixtures import Shop, row
from tests.serving_fixtures import NOW


@pytest.mark.parametrize("refuses", ["sales", "all"])
def test_a_refused_sale_keeps_out_its_own_call_alone(tmp_path, refuses):
    """Of what is sold once, while another server holds the log of items; for a fault of the code, all are refused."""
    begun, go = threading.Event(), threading.Event()

    def sold(rows):
        begun.set()
        go.wait()
        if refuses == "all" or any(each["event_type"] == "purchase" for each in rows):
            raise TimeoutError("held")

    shop = Shop(tmp_path / "shop")
    shop.start().close()
    log = EventLog(tmp_path / "events", "w9", lambda: NOW)
    live = LiveEvents(log, shop.writer, lambda: "first", sold=sold).open()
    first = live.submit([row(1)])
    begun.wait()
    sale, click = live.submit([row(2, event_type="purchase"), row(3)]), live.submit([row(3, "bob"), row(4)])
    go.set()
    assert isinstance(sale.exception(), TimeoutError), "with the click of the same call: an answer is of a whole call"
    if refuses == "all":
        assert isinstance(first.exception(), TimeoutError) and isinstance(click.exception(), TimeoutError)
    else:
        assert first.result().accepted == 1 and click.result().accepted == 2
    live.close()
    written = [each["event_id"] for path in sorted(tmp_path.glob("events/*/*.jsonl")) for each in read(path)]
    assert written == ([] if refuses == "all" else ["e1", "e3", "e4"])
