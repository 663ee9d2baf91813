"""Counts that outlive a process: what it never wrote of its impressions is lost, and the next one says so."""

import errno
import fcntl
import os
import time
from unittest.mock import Mock

from souk.serving.impressions import counts as impression_counts
from souk.serving.impressions import log as impression_log
from souk.serving.impressions.counts import FORM, CountsFile, lost
from tests.test_serving_impressions import conserved, log_at, slate


def test_what_is_given_up_at_the_end_is_lost_to_the_next_server(tmp_path):
    """Nobody reads the metrics of a server that ends."""
    refusing, kept = tmp_path / "refusing", tmp_path / "kept"
    refusing.write_text("")
    log = log_at(refusing, counts=(kept, "w1"))
    log.open()
    log.record([slate(1), slate(2)])
    log.close()
    log.record([slate(3)])
    assert conserved(log.counts) and log.counts.pending == 0
    after = [log_at(tmp_path / "log", counts=(kept, f"w{number}")) for number in (2, 3)]
    for each in after:
        each.open()
        each.looked()
        each.close()
    assert [each.counts.lost for each in after] == [2, 0] and not list(kept.iterdir())


def test_servers_that_run_count_what_one_lost_once(tmp_path, monkeypatch):
    """As in a rollout, whose last server to start may be there before the first ends."""
    monkeypatch.setattr(impression_log, "LOOK_SECONDS", 0.05)
    logs = [log_at(tmp_path / "log", counts=(tmp_path, f"w{number}")) for number in range(2)]
    for each in logs:
        each.open()
        each.looked()
    (tmp_path / ".files.w9.counts").write_bytes(FORM.pack(5, 2, 1, 0))
    while sum(each.counts.lost for each in logs) == 0:
        time.sleep(0.01)
    for each in logs:
        each.close()
    assert sum(each.counts.lost for each in logs) == 2
    assert not any(each._looking.is_alive() for each in logs)


def test_a_store_that_fails_is_asked_again(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(impression_log, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(impression_log, "lost", Mock(side_effect=[ValueError("away"), *range(1000)]))
    log = log_at(tmp_path / "log", counts=(tmp_path, "w1"))
    log.open()
    while log.counts.lost == 0:
        time.sleep(0.01)
    log.close()
    assert "what others left: away" in caplog.text


def test_an_empty_file_of_counts_is_told_once_and_gone(tmp_path, caplog):
    """As a process leaves it that is killed while it starts, or on a full disk."""
    for name, text in (("w0", b""), ("w1", b"123"), ("w2", FORM.pack(5, 2, 1, 0))):
        (tmp_path / f".files.{name}.counts").write_bytes(text)
    assert [lost(tmp_path, "files", lambda writer, parts: 0) for _ in range(2)] == [2, 0]
    assert list(tmp_path.iterdir()) == []
    assert sum("is not known" in record.getMessage() for record in caplog.records) == 2


def test_on_a_network_volume_what_is_lost_is_counted(tmp_path, monkeypatch):
    """It gives an exclusive lock of what is open for writing alone (flock(2), "NFS details")."""
    lock = fcntl.flock

    def of_network(file, operation):
        if operation & fcntl.LOCK_EX and fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")
        lock(file, operation)

    monkeypatch.setattr(impression_counts.fcntl, "flock", of_network)
    (tmp_path / ".files.w0.counts").write_bytes(FORM.pack(5, 2, 1, 0))
    assert lost(tmp_path, "files", lambda writer, parts: 0) == 2 and not list(tmp_path.iterdir())


def test_a_file_of_counts_that_another_start_took_away_before_the_lock_is_made_again(tmp_path, monkeypatch):
    own, lock, looks = CountsFile(tmp_path / ".files.w0.counts"), impression_counts._lock, []

    def late(file, path):
        if not looks:
            looks.append(lost(tmp_path, "files", lambda writer, parts: 0))
        lock(file, path)

    monkeypatch.setattr(impression_counts, "_lock", late)
    own.open()
    own.put(3, 1, 0, 1)
    assert looks == [0] and FORM.unpack((tmp_path / ".files.w0.counts").read_bytes()) == (3, 1, 0, 1)
    own.close()
    assert list(tmp_path.iterdir()) == []
