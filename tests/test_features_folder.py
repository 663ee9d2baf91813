"""The folder of features belongs to its build, and no other folder does."""

import pytest

from souk.errors import SoukError
from souk.features import pipeline
from souk.features.pipeline import OWN, build
from souk.features.runner import Runner
from tests.features_fixtures import bazaar, bazaar_events, build_bazaar, spec_of, write_tables


@pytest.mark.slow
def test_features_are_replaced_and_nothing_else(tmp_path):
    """All that a build leaves is its own; a folder with more in it, or with none of it, stays as it is."""
    features = build_bazaar(tmp_path, bazaar_events())
    assert {path.name for path in features.iterdir()} <= OWN
    mine, config = tmp_path / "mine", bazaar()
    mine.mkdir()
    for names in (["items.parquet"], ["items.parquet", "spec.json", "notes.txt"]):
        for name in names:
            (mine / name).write_text("mine")
        with pytest.raises(SoukError, match=r"features at .*mine, or nothing. Received: what another made"):
            build(tmp_path / "none", mine, spec_of(config), config.split, Runner())
        assert {path.name for path in mine.iterdir()} == set(names)


def test_what_takes_long_is_told_before_it_begins(tmp_path, monkeypatch):
    """Of a large log each is minutes."""

    class Stopped(Exception):
        pass

    def stop(*given):
        told.append("begun")
        raise Stopped

    told, config = [], bazaar()
    tables = write_tables(tmp_path / "tables", bazaar_events())
    monkeypatch.setattr(pipeline, "report", told.append)
    monkeypatch.setattr(pipeline, "analyze_names", lambda *given: told.append("begun"))
    monkeypatch.setattr(pipeline, "build_histories", stop)
    with pytest.raises(Stopped):
        build(tables, tmp_path / "features", spec_of(config), config.split, Runner())
    assert told[-4:] == ["analysing users and items", "begun", "building histories and examples", "begun"]
