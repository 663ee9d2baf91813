"""The impression logs of a server: one for each place that it was told."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence

from souk.errors import SoukError, shown
from souk.serving.impressions.log import ImpressionLog
from souk.serving.impressions.sinks import PartFiles, Sink
from souk.workspace import Workspace

logger = logging.getLogger(__name__)
KAFKA = "kafka://"
ONCE = "Name each kind of place once, or copy from the one to the other."


def logs_of(
    place: Workspace,
    where: Sequence[str],
    kafka_config: str,
    writer: str,
    clock: Callable[[], int],
    flush_seconds: float,
) -> list[ImpressionLog]:
    """Logs that are not open yet.

    Args:
        place: whose folder is the log where none is named, and which keeps the counts.
        where: folders, URLs of object stores, `kafka://host:port/topic`; at most one of files and one of Kafka.
        kafka_config: a file with settings for Kafka; "" for none.
        writer: names this process.
        clock: UTC epoch milliseconds.
        flush_seconds: the longest that an impression waits.

    Raises:
        SoukError: a place or a setting is wrong.
    """
    if kafka_config and not any(uri.startswith(KAFKA) for uri in where):
        raise SoukError("a place in Kafka for impressions, which its settings are for", "none", "Name kafka://….")
    sinks = [_sink(uri, kafka_config, writer) for uri in where or [str(place.impressions)]]
    twice = [name for name, count in Counter(sink.name for sink in sinks).items() if count > 1]
    if twice:
        raise SoukError(f"one place of {twice[0]} for impressions", ", ".join(map(shown, where)), ONCE)
    kept = (place.impressions, writer)
    return [ImpressionLog(sink, clock, flush_seconds=flush_seconds, counts=kept) for sink in sinks]


def close_all(logs: Sequence[ImpressionLog]) -> None:
    """Closes logs at the same time: one that hangs takes no patience from the others."""
    closing = [threading.Thread(target=log.close) for log in logs]
    for each in closing:
        each.start()
    for each, log in zip(closing, logs, strict=True):
        each.join()
        logger.info("impressions (%s): %s", log.sink.name, log.counts)


def _sink(uri: str, kafka_config: str, writer: str) -> Sink:
    if not uri.startswith(KAFKA):
        return PartFiles(uri, writer)
    from souk.serving.impressions.kafka import KafkaTopic, properties_of  # for those alone who have a Kafka

    return KafkaTopic(uri, properties_of(kafka_config) if kafka_config else {})
