"""Metrics of the items that come while a release serves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from souk.serving.releases import Releases


class ItemLogMetrics(Collector):
    """What the log of items gave the release that answers, the purchases in it whose items are still to come, how much
    is searched beside the index, and how far behind the log the answers are."""

    def __init__(self, releases: Releases) -> None:
        self._releases = releases

    def collect(self) -> Iterator[Metric]:
        """Rows by state: taken, older, unknown, refused, torn, damaged (souk.serving.items.live.Replayed)."""
        family = GaugeMetricFamily("souk_item_log_rows", "Rows of the log of items at the start", labels=["state"])
        for state, count in asdict(self._releases.now.live.replayed).items():
            family.add_metric([state], count)
        yield family
        sales = GaugeMetricFamily("souk_waiting_sales", "Purchases of items that were not there", labels=["state"])
        sales.add_metric(["kept"], len(self._releases.now.live.waiting))
        sales.add_metric(["given_up"], self._releases.now.live.waiting.given_up)
        yield sales
        beside = GaugeMetricFamily("souk_items_beside_index", "Items that changed since the index was built")
        beside.add_metric([], self._releases.now.live.current.retrieval.beside)
        yield beside
        behind = GaugeMetricFamily("souk_item_log_behind_seconds", "Seconds since all of it was in the answers")
        behind.add_metric([], self._releases.items_behind)
        yield behind
