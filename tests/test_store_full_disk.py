"""A disk that is full as states are published: the room that there was is there again, and what to do is told."""

import errno
import os
import sqlite3

import pyarrow.parquet as pq
import pytest

from souk.publication import SPECS
from souk.store import publish as publishing
from souk.store.definitions import ONLINE
from souk.store.drop import drop
from souk.store.feast_store import FeastStore
from souk.store.interface import StoreError
from souk.store.publish import PARTIAL, STAGED, publish
from souk.store.redis_errors import remedy_for
from tests.store_fixtures import NOW, SPEC, published_in, state, user_states


def files(folder):
    return {path.relative_to(folder) for path in folder.rglob("*")}


@pytest.mark.parametrize(("holder", "name"), [(pq.ParquetWriter, "write_table"), (publishing.FeatureStore, "apply")])
def test_what_a_publication_wrote_that_failed_is_gone(tmp_path, monkeypatch, holder, name):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    folder = published_in(tmp_path)
    before, registry = files(folder), (folder / "registry.db").read_bytes()
    file = user_states(tmp_path / "more.parquet", [state("ann", 9)])
    monkeypatch.setattr(holder, name, full)
    with pytest.raises(OSError, match="No space left"):
        publish(file, SPEC, folder, NOW + 1)
    assert files(folder) == before and (folder / "registry.db").read_bytes() == registry
    assert FeastStore(folder, SPEC).read(["ann"])[0].count == 3


def test_what_a_publication_left_that_was_killed_goes_with_the_states_that_nothing_reads(tmp_path):
    folder = published_in(tmp_path)
    before = files(folder)
    for left in (folder / STAGED, folder / f"user_state_0{PARTIAL}", folder / SPECS / f"0{PARTIAL}"):
        left.write_bytes(b"x" * 100)
    assert drop(folder, list, NOW) == {} and files(folder) == before


def test_a_file_that_may_not_be_written_is_told_and_the_states_stay(tmp_path, monkeypatch):
    folder = published_in(tmp_path)
    connect = sqlite3.connect

    def read_only(path, **options):
        return connect(f"file:{path}?mode=ro", uri=True, **options)

    file = user_states(tmp_path / "more.parquet", [state("ann", 9)])
    with monkeypatch.context() as patched:
        patched.setattr(sqlite3, "connect", read_only)
        with pytest.raises(StoreError, match="readonly") as told:
            publish(file, SPEC, folder, NOW + 1)
    assert str(folder / ONLINE) in str(told.value) and "May this user write" in str(told.value)
    assert FeastStore(folder, SPEC).read(["ann"])[0].count == 3
    assert publish(file, SPEC, folder, NOW + 1) == 1 and FeastStore(folder, SPEC).read(["ann"])[0].count == 9


def test_a_file_that_another_process_holds_is_told(tmp_path, monkeypatch):
    folder = published_in(tmp_path)

    def held(_, statement):
        raise sqlite3.OperationalError("database is locked")

    monkeypatch.setattr(publishing, "_database", held)
    with pytest.raises(StoreError, match="Another process holds it"):
        publish(user_states(tmp_path / "more.parquet", [state("ann", 9)]), SPEC, folder, NOW + 1)


def test_a_full_disk_needs_room_and_no_publication():
    with pytest.raises(StoreError) as told:
        raise StoreError("a", "b", remedy_for(sqlite3.OperationalError("database or disk is full"), "publish"))
    assert "Make room" in str(told.value) and remedy_for(sqlite3.OperationalError("locked"), "publish") == "publish"
