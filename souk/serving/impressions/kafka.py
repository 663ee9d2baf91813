"""Impressions as messages of a Kafka topic, by librdkafka: one JSON object each, keyed by the user."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from souk.errors import SoukError, of_a_clone, shown
from souk.serving.impressions.records import Record, row
from souk.serving.impressions.sinks import Written
from souk.serving.seldom import Seldom

logger = logging.getLogger(__name__)
seldom = Seldom(logger)
SCHEME = "kafka"
EXAMPLE = "For example kafka://broker-1:9092,broker-2:9092/impressions."
TIMEOUT_MS = 5_000  # that a message has to be with the broker; then it waits for the next flush
SENT, NEVER, WAITS = "", "cannot be sent", "no answer"  # what came of a record
# All in-sync replicas have it; and what librdkafka sends again is one message. Of errors its callback tells, and its
# own log several times a second.
DEFAULTS = {"enable.idempotence": True, "acks": "all", "compression.type": "zstd", "linger.ms": 20, "log_level": 2}


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
    part = 100_000  # all that wait: a call with one for a partition that is away takes TIMEOUT_MS, however many it has
    parts = 0

    def __init__(self, uri: str, properties: Mapping[str, Any] | None = None, timeout_ms: int = TIMEOUT_MS) -> None:
        try:
            from confluent_kafka import KafkaError, KafkaException, Producer  # an extra: most have no Kafka
        except ImportError as error:
            raise SoukError("the package confluent-kafka", "none", f"{of_a_clone('serve', 'kafka')}.") from error
        self._servers, self._topic = address(uri)
        self._seconds = timeout_ms / 1000
        settings = {**DEFAULTS, **(properties or {}), "bootstrap.servers": self._servers}
        settings |= {"message.timeout.ms": timeout_ms, "error_cb": _noted}
        self._failed: type[Exception] = KafkaException
        self._refusals = {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG}
        self._fatal = KafkaError._FATAL
        self._make = partial(Producer, settings)
        try:
            self._producer = self._make()
        except (KafkaException, ValueError, TypeError) as error:
            raise SoukError("settings that librdkafka takes", str(error), "Mend the file of --kafka-config.") from error

    def write(self, records: Sequence[Record]) -> Written:
        """Sends all, then waits for what the brokers say of each. What no broker would ever take is dropped; all else
        waits."""
        told = self._told(records)
        waiting = [record for record, why in zip(records, told, strict=True) if why not in (SENT, NEVER)]
        reasons = "; ".join(sorted(set(told) - {SENT, NEVER}))
        return Written(told.count(SENT), waiting, told.count(NEVER), reasons)

    def rows_of(self, writer: str, parts: int) -> int:
        """Nobody knows of messages that were on their way: they count as lost."""
        return 0

    def close(self) -> None:
        """Nothing is under way."""
        with contextlib.suppress(Exception):
            self._producer.flush(0)

    def _told(self, records: Sequence[Record]) -> list[str]:
        """What came of each record: SENT, NEVER, or why it waits."""
        told = dict.fromkeys(range(len(records)), WAITS)
        refused = list[int]()

        def answered(place: int, error: Any, _: Any) -> None:
            told[place] = str(error) if error else SENT
            if error and error.code() in self._refusals:
                refused.append(place)

        for place in self._produce(records, answered):
            told[place] = NEVER
        if WAITS in told.values():  # what has no answer by now must not arrive beside its successor
            self._settle(purge=True)
        for place in refused:  # brokers refuse a batch for one of its messages: it is the one that is refused alone
            told[place] = self._told([records[place]])[0] if len(records) > 1 else NEVER
            if told[place] not in (SENT, NEVER):
                break
        return [told[place] for place in range(len(records))]

    def _produce(self, records: Sequence[Record], answered: Callable[[int, Any, Any], None]) -> list[int]:
        """Sends records as far as it goes, and waits for the answers; the places of those that no broker ever takes."""
        never = list[int]()
        try:
            for place, record in enumerate(records):
                if not self._send(record, partial(answered, place)):
                    never.append(place)
            self._producer.flush(self._seconds + 1)
        except BufferError:  # of librdkafka: full
            self._settle()
        except self._failed as error:
            logger.error("kafka: %s", error.args[0])
            if error.args[0].fatal() or error.args[0].code() == self._fatal:
                self._producer = self._make()  # the old one refuses whatever it is asked, for good
            else:
                self._settle()
        return never

    def _send(self, record: Record, told: Callable[[Any, Any], None]) -> bool:
        """False for one that no broker would ever take.

        Raises:
            KafkaException: the others cannot be sent now either.
            BufferError: not before some of those before it are there.
        """
        try:
            value, key = orjson.dumps(row(record)), record[1].user_id.encode()
            self._producer.produce(self._topic, value, key or None, on_delivery=told)
        except (TypeError, ValueError) as error:
            logger.error("an impression cannot be sent: %s", error)
            return False
        except self._failed as error:
            if error.args[0].code() not in self._refusals:
                raise
            logger.error("an impression cannot be sent: %s", error.args[0])
            return False
        self._producer.poll(0)
        return True

    def _settle(self, purge: bool = False) -> None:
        """Waits for answers, or gives up what has none."""
        with contextlib.suppress(self._failed):
            if purge:
                self._producer.purge()
            self._producer.flush(1 if purge else self._seconds + 1)


def _noted(error: Any) -> None:
    seldom.warning("kafka: %s: %s", error.name(), error.str())


def address(uri: str) -> tuple[str, str]:
    """The brokers and the topic of a URI.

    Raises:
        SoukError: it names none.
    """
    parts = urlsplit(uri)
    topic = parts.path.strip("/")
    if parts.scheme != SCHEME or not parts.netloc or not topic or "/" in topic or "@" in parts.netloc:
        raise SoukError("kafka://HOST:PORT/TOPIC", shown(uri), EXAMPLE)
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
