"""Impressions as messages of a Kafka topic, by librdkafka: one JSON object each, keyed by the user."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from souk.errors import SoukError
from souk.serving.impression_records import Record, row
from souk.serving.sinks import Written

logger = logging.getLogger(__name__)
SCHEME = "kafka"
EXAMPLE = "For example kafka://broker-1:9092,broker-2:9092/impressions."
TIMEOUT_MS = 5_000  # that a message has to be with the broker; then it waits for the next flush
# All in-sync replicas have it; and what librdkafka sends again is one message.
DEFAULTS = {"enable.idempotence": True, "acks": "all", "compression.type": "zstd", "linger.ms": 20}


class KafkaTopic:
    """Sends records, and waits until the brokers have them: at least once each, since a message whose acknowledgement
    was lost is sent again. Consumers know one from the other by `request_id`.

    Args:
        uri: `kafka://host:port[,host:port]/topic`.
        properties: further settings of librdkafka, for TLS and SASL.
        timeout_ms: how long a record may be on its way.

    Raises:
        SoukError: the address or a property is wrong, or confluent-kafka is not installed.
    """

    name = "kafka"
    parts = 0

    def __init__(self, uri: str, properties: Mapping[str, Any] | None = None, timeout_ms: int = TIMEOUT_MS) -> None:
        try:
            from confluent_kafka import KafkaException, Producer  # an extra: most installations have no Kafka
        except ImportError as error:
            raise SoukError("the package confluent-kafka", "none", "pip install 'souk[kafka]'.") from error
        self._servers, self._topic = address(uri)
        self._seconds = timeout_ms / 1000
        settings = {**DEFAULTS, **(properties or {}), "bootstrap.servers": self._servers}
        settings |= {"message.timeout.ms": timeout_ms, "error_cb": lambda error: logger.warning("kafka: %s", error)}
        self._failed: type[Exception] = KafkaException
        try:
            self._producer = Producer(settings)
        except (KafkaException, ValueError, TypeError) as error:
            raise SoukError("settings that librdkafka takes", str(error), "Mend the file of --kafka-config.") from error

    def write(self, records: Sequence[Record]) -> Written:
        """Sends all, then waits for what the brokers say of each."""
        told = dict[int, str]()
        dropped = 0
        for place, record in enumerate(records):
            try:
                value = orjson.dumps(row(record))
                self._send(record[1].user_id, value, lambda error, _, at=place: told.__setitem__(at, _why(error)))
            except (self._failed, TypeError, ValueError, BufferError) as error:
                if isinstance(error, BufferError):  # of librdkafka: full
                    break
                logger.error("an impression cannot be sent: %s", error)
                told[place], dropped = "", dropped + 1
        self._producer.flush(self._seconds + 1)
        waiting = [record for place, record in enumerate(records) if told.get(place, "no answer")]
        if waiting:  # what has no answer by now must not arrive beside its successor
            self._producer.purge()
            self._producer.flush(1)
        reasons = {told.get(place, "no answer") for place in range(len(records))} - {""}
        return Written(len(records) - len(waiting) - dropped, waiting, dropped, "; ".join(sorted(reasons)))

    def rows_of(self, writer: str, parts: int) -> int:
        """Nobody knows of messages that were on their way: they count as lost."""
        return 0

    def close(self) -> None:
        """Nothing is under way."""
        with contextlib.suppress(Exception):
            self._producer.flush(0)

    def _send(self, user_id: str, value: bytes, told: Callable[..., None]) -> None:
        self._producer.produce(self._topic, value, user_id.encode() or None, on_delivery=told)
        self._producer.poll(0)


def address(uri: str) -> tuple[str, str]:
    """The brokers and the topic of a URI.

    Raises:
        SoukError: it names none.
    """
    parts = urlsplit(uri)
    topic = parts.path.strip("/")
    if parts.scheme != SCHEME or not parts.netloc or not topic or "/" in topic or "@" in parts.netloc:
        raise SoukError("kafka://HOST:PORT/TOPIC", uri, EXAMPLE)
    return parts.netloc, topic


def properties_of(path: str) -> dict[str, str]:
    """The settings of a file of lines `key=value`, as Kafka's own tools read them; # begins a comment.

    Raises:
        SoukError: the file cannot be read, or a line is none of these.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SoukError(f"settings of Kafka in {path}", f"{error}", "One key=value a line.") from error
    found = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key, equals, value = line.partition("=")
        if not equals:  # the line may hold a secret: it is not shown
            raise SoukError(f"key=value in line {number} of {path}", "no =", "One setting a line.")
        found[key.strip()] = value.strip()
    return found


def _why(error: Any) -> str:
    return str(error) if error else ""
