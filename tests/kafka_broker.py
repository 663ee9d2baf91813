"""A real Kafka broker on this machine, which a test may kill, freeze and start again."""

import base64
import contextlib
import json
import os
import signal
import subprocess
import time
import uuid
from pathlib import Path

from tests.ports import free_port
from tests.requirements import TOOLS, absent, require

JARS = TOOLS.parent / "kafka"  # where `make tools` puts the jars
SECONDS = 90


class KafkaBroker:
    """One process that is broker and controller (KRaft), whose data outlive it.

    Args:
        folder: for its data.
    """

    def __init__(self, folder: Path) -> None:
        self._java = require("java", "apt-get install -y openjdk-17-jre-headless")
        if not any(JARS.glob("kafka_2.13-*.jar")):
            absent("Kafka", "make tools (with Maven: apt-get install -y maven)")
        self._folder, self.port, controller = folder, free_port(), free_port()
        folder.mkdir()
        self._settings = folder / "server.properties"
        self._settings.write_text(
            f"""process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{self.port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={folder / "data"}
num.partitions=3
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
auto.create.topics.enable=true
"""
        )
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        self._run("kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c", str(self._settings))
        self.process = None

    @property
    def servers(self):
        return f"127.0.0.1:{self.port}"

    def start(self):
        """Starts it, and waits until it answers a client."""
        from confluent_kafka.admin import AdminClient

        with (self._folder / "kafka.log").open("ab") as log:
            self.process = subprocess.Popen(self._command("kafka.Kafka", str(self._settings)), stdout=log, stderr=log)
        until = time.monotonic() + SECONDS
        while True:
            assert self.process.poll() is None and time.monotonic() < until, self._log()
            with contextlib.suppress(Exception):
                client = AdminClient({"bootstrap.servers": self.servers, "log_level": 0})
                if client.list_topics(timeout=2).brokers:
                    return
            time.sleep(0.2)

    def kill(self):
        """SIGKILL."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    @contextlib.contextmanager
    def frozen(self):
        """It neither answers nor refuses meanwhile, and is started anew after it.

        Woken up, it would have given itself up as its own controller, and may take minutes until it is one again.
        """
        os.kill(self.process.pid, signal.SIGSTOP)
        os.waitpid(self.process.pid, os.WUNTRACED)  # a busy machine stops it only after a while
        try:
            yield
        finally:
            self.kill()
            self.start()

    def records(self, topic, wanted):
        """Key and record of the messages of a topic, until the requests `wanted` are among them.

        Its partitions are read without a group: a broker that has just started takes its time until it coordinates any.
        """
        from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

        settings = {"bootstrap.servers": self.servers, "group.id": "none", "enable.auto.commit": False}
        consumer, found, missing = Consumer(settings), [], set(wanted)
        until = time.monotonic() + SECONDS
        try:
            partitions = self._partitions(consumer, topic, until)
            consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
            while missing:
                assert time.monotonic() < until, f"{missing} did not come; {self._log()}"
                message = consumer.poll(0.5)
                if message is not None and message.error() is None:
                    found.append((message.key(), json.loads(message.value())))
                    missing.discard(found[-1][1]["request_id"])
            return found
        finally:
            consumer.close()

    def _partitions(self, consumer, topic, until):
        """Those of a topic, once each has a leader."""
        while True:
            assert time.monotonic() < until, f"{topic} has no leader; {self._log()}"
            with contextlib.suppress(Exception):
                partitions = consumer.list_topics(topic, timeout=5).topics[topic].partitions
                if partitions and all(each.leader >= 0 for each in partitions.values()):
                    return list(partitions)
            time.sleep(0.2)

    def _log(self):
        return (self._folder / "kafka.log").read_text()[-3000:]

    def _command(self, *words):
        options = ["-Xmx384m", "-XX:TieredStopAtLevel=1", f"-Dkafka.logs.dir={self._folder}"]
        return [self._java, *options, "-cp", f"{JARS}/*", *words]

    def _run(self, *words):
        done = subprocess.run(self._command(*words), capture_output=True, text=True, timeout=SECONDS)
        assert done.returncode == 0, done.stdout + done.stderr
