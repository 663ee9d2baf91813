"""What one worker says of all, whichever is asked, and whatever the others do."""

import contextlib
import socket

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from souk.serving import worker_metrics
from souk.serving.worker_metrics import OfAllWorkers, asked, merged, offer

TEXT = """# HELP souk_calls_total Calls
# TYPE souk_calls_total counter
souk_calls_total{code="200"} 3.0
souk_calls_total{code="4\\"\\n"} 2.0
# HELP souk_waiting Waiting
# TYPE souk_waiting gauge
souk_waiting 1.5
# HELP souk_seconds Seconds
# TYPE souk_seconds histogram
souk_seconds_bucket{le="0.1"} 0.0
souk_seconds_bucket{le="+Inf"} 1.0
souk_seconds_count 1.0
souk_seconds_sum 0.5
"""


def test_metrics_of_all_workers_are_one_exposition():
    less = TEXT.replace("1.0", "4.0").replace('souk_calls_total{code="200"} 3.0\n', "")
    assert merged({"0": TEXT.encode(), "1": less.encode(), "2": None}).decode() == """\
# HELP souk_worker_up Whether a worker says how it is
# TYPE souk_worker_up gauge
souk_worker_up{worker="0"} 1.0
souk_worker_up{worker="1"} 1.0
souk_worker_up{worker="2"} 0.0
# HELP souk_calls_total Calls
# TYPE souk_calls_total counter
souk_calls_total{worker="0",code="200"} 3.0
souk_calls_total{worker="0",code="4\\"\\n"} 2.0
souk_calls_total{worker="1",code="4\\"\\n"} 2.0
# HELP souk_waiting Waiting
# TYPE souk_waiting gauge
souk_waiting{worker="0"} 1.5
souk_waiting{worker="1"} 1.5
# HELP souk_seconds Seconds
# TYPE souk_seconds histogram
souk_seconds_bucket{worker="0",le="0.1"} 0.0
souk_seconds_bucket{worker="0",le="+Inf"} 1.0
souk_seconds_count{worker="0"} 1.0
souk_seconds_sum{worker="0"} 0.5
souk_seconds_bucket{worker="1",le="0.1"} 0.0
souk_seconds_bucket{worker="1",le="+Inf"} 4.0
souk_seconds_count{worker="1"} 4.0
souk_seconds_sum{worker="1"} 0.5
"""  # fmt: skip


def test_a_worker_says_how_it_is_again_and_again_and_after_one_that_was_killed(tmp_path):
    place = tmp_path / "0.sock"
    assert asked(place) is None
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as killed:
        killed.bind(str(place))
    assert asked(place) is None
    registry = CollectorRegistry()
    Gauge("souk_waiting_of_this_test", "Waiting", registry=registry).set(7)
    offer(tmp_path, 0, registry)
    for _ in range(3):
        assert asked(place) == generate_latest(registry) != b""


def test_one_that_hangs_is_asked_in_vain_for_so_long_and_the_others_beside_it(tmp_path, monkeypatch):
    monkeypatch.setattr(worker_metrics, "SECONDS", 1.0)
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as hung:
        hung.bind(str(tmp_path / "1.sock"))
        hung.listen(1)
        registry = CollectorRegistry()
        Gauge("souk_waiting_beside_it", "Waiting", registry=registry).set(7)
        offer(tmp_path, 0, registry)
        for _ in range(4):  # its queue is full by then
            text = OfAllWorkers(None, tmp_path, 2)._merged().decode()
            assert 'souk_worker_up{worker="1"} 0.0' in text and 'souk_waiting_beside_it{worker="0"} 7.0' in text


class Failing:
    """A collector that fails the first time."""

    failed = False

    def collect(self):
        if not self.failed:
            self.failed = True
            raise RuntimeError("dictionary changed")
        return []


def test_one_metric_that_cannot_be_told_ends_no_other_answer(tmp_path):
    registry = CollectorRegistry(auto_describe=False)
    Gauge("souk_waiting_again", "Waiting", registry=registry).set(7)
    registry.register(failing := Failing())
    failing.failed = False
    offer(tmp_path, 0, registry)
    assert asked(tmp_path / "0.sock") is None
    assert b"souk_waiting_again 7.0" in asked(tmp_path / "0.sock")
