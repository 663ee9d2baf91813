"""A release: what its name depends on, what its manifest refuses, what its bundle holds."""

import json
import os
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from souk.cli import main
from souk.errors import SoukError
from souk.release import manifest
from souk.release.bundle import Bundle, write_bundle
from souk.release.manifest import read_manifest, verify
from souk.release.naming import content_digests, read_weights
from souk.schema import DAY_MS
from souk.sources.rows import SparseRows
from tests.release_fixtures import (
    BOUNDARIES,
    DAYS,
    ITEM_IDS,
    ITEMS,
    SPEC,
    events_of,
    write_features,
    write_models,
    write_release,
)
from tests.sources_fixtures import write_sources


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """A packaged release that the tests only read: (folder, name)."""
    work = tmp_path_factory.mktemp("release")
    return work / "out", write_release(work / "out", work)


@pytest.fixture
def mine(release, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(release[0], tmp_path / "mine")


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_an_intact_release_is_verified(release):
    folder, name = release
    manifest = verify(folder)
    assert manifest["name"] == name
    assert set(manifest["files"]) == {str(path.relative_to(folder)) for path in files(folder)} - {"release.json"}


def test_one_flipped_byte_in_any_file_is_refused_by_name(mine):
    assert len(files(mine)) > 25
    random = np.random.default_rng(5)
    for path in files(mine):
        content = path.read_bytes()
        for place in {0, len(content) - 1, *random.integers(len(content), size=4).tolist()}:
            path.write_bytes(
                content[:place] + bytes([content[place] ^ (1 << random.integers(8))]) + content[place + 1 :]
            )
            with pytest.raises(SoukError) as error:
                verify(mine)
            assert str(path.relative_to(mine)) in str(error.value)
            path.write_bytes(content)
    verify(mine)


def test_every_byte_of_the_manifest_counts(mine):
    path = mine / "release.json"
    content = path.read_bytes()
    for place in range(0, len(content), 7):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(SoukError, match=r"release\.json"):
            read_manifest(mine)
    path.write_bytes(content + b" ")
    with pytest.raises(SoukError, match=r"release\.json"):
        read_manifest(mine)


def test_a_release_of_another_format_is_refused_as_that(mine, monkeypatch):
    written = read_manifest(mine)
    with monkeypatch.context() as older:
        older.setattr(manifest, "FORMAT", 1)
        manifest.write_manifest(mine, written["name"], written["content"], written["lineage"])
    with pytest.raises(SoukError, match=r"format 3 or 4 or 5 or 6.*format 1.*souk run"):
        verify(mine)


def test_missing_and_unexpected_files_are_named(mine):
    (mine / "vectors.npy").unlink()
    (mine / "twin" / "extra.bin").write_bytes(b"x")
    os.symlink("spec.json", mine / "link")
    with pytest.raises(SoukError) as error:
        verify(mine)
    for text in ("missing vectors.npy", "unexpected twin/extra.bin", "unexpected link"):
        assert text in str(error.value)


def test_serve_tells_a_damaged_release_before_it_loads_its_libraries(mine, tmp_path, capsys, monkeypatch):
    (mine / "vectors.npy").write_bytes(b"torn")
    monkeypatch.setattr("souk.cli.serve.quiet_loading", lambda: pytest.fail("loaded"))
    assert main(["serve", "--release", str(mine), "--workspace", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert "changed vectors.npy" in told
    assert "`souk run`" in told


def test_no_release(tmp_path):
    with pytest.raises(SoukError, match="a release at"):
        verify(tmp_path)


def test_the_name_does_not_depend_on_place_time_lineage_or_saved_model_bytes(release, tmp_path):
    os.utime(tmp_path, (1, 1))
    assert write_release(tmp_path / "elsewhere", tmp_path / "w", graph=b"other bytes", lineage="y") == release[1]


def test_the_name_depends_on_everything_that_decides_answers(release, tmp_path, monkeypatch):
    names = {release[1]}
    changes = {
        "vectors": lambda work: _nudge(work / "towers" / "vectors.npy"),
        "weights": lambda work: np.savez(work / "ranker" / "weights.npz", kernel=np.zeros(3, np.float32)),
        "renamed weights": lambda work: np.savez(work / "ranker" / "weights.npz", bias=np.zeros(3, np.float32)),
        "vocabulary": lambda work: (work / "features/transform/item/transform_fn/assets/item_id").write_text("i00"),
        "availability": lambda work: _column(work / "features/items.parquet", "available", [True] * ITEMS),
        "title": lambda work: _column(work / "features/items.parquet", "title", ["x"] * ITEMS),
        "candidates": lambda work: (work / "ranker" / "training.json").write_text('{"candidates": 51}'),
    }
    for number, (what, change) in enumerate(changes.items()):
        work = tmp_path / str(number)

        def models(folder, seed, graph, change=change):
            folders = write_models(folder, seed, graph)
            change(folder)
            return folders

        with monkeypatch.context() as patch:
            patch.setattr("tests.release_fixtures.write_models", models)
            name = write_release(work / "out", work)
        assert name not in names, what
        names.add(name)


def _nudge(path):
    vectors = np.load(path)
    vectors[3, 2] = np.nextafter(vectors[3, 2], np.float32(np.inf))
    np.save(path, vectors)


def _column(path, name, values):
    table = pq.read_table(path)
    pq.write_table(table.set_column(table.schema.get_field_index(name), name, [values]), path)


def test_a_bundle_holds_what_the_request_path_needs(release):
    folder, name = release
    bundle = Bundle.load(folder)
    assert (bundle.name, Bundle.load(folder / "twin").name) == (name, "")
    assert bundle.item_ids == ITEM_IDS
    assert bundle.titles[3] == "Title 3"
    assert bundle.available.tolist() == [position not in (2, 7) for position in range(ITEMS)]
    assert bundle.indexed.tolist() == [position not in (0, 1, 2, 7) for position in range(ITEMS)]
    twin = Bundle.load(folder / "twin")
    assert twin.available.tolist() == [position != 7 for position in range(ITEMS)], "2 was, in the twin's window"
    assert twin.indexed.tolist() == [position not in (0, 7) for position in range(ITEMS)]
    assert isinstance(bundle.vectors, np.memmap)
    assert bundle.settings.objectives == {"engaged": 1.0, "satisfied": 0.5}
    assert bundle.settings.candidates == 50
    assert all((path / "saved_model.pb").is_file() for path in (bundle.query_tower, bundle.item_tower, bundle.ranker))


@pytest.mark.parametrize(("part", "boundary"), [("", "end"), ("twin", "test_start")])
def test_counters_and_training_end_are_those_of_the_boundary(release, part, boundary):
    bundle = Bundle.load(release[0] / part)
    assert bundle.settings.trained_until == BOUNDARIES[boundary]
    assert bundle.counters["item_id"].to_pylist() == ITEM_IDS
    events = [e for user in range(12) for e in events_of(user) if e.timestamp < BOUNDARIES[boundary]]
    assert bundle.counters["events"].to_pylist() == [sum(e.item_id == item for e in events) for item in ITEM_IDS]


def test_popular_items_are_those_of_each_segment(release):
    segments = Bundle.load(release[0]).segments
    of_twin = Bundle.load(release[0] / "twin").segments
    assert set(of_twin.ordered(0).tolist()) == set(range(ITEMS)) - {0}, "1, 2 and 7 were, when the twin was fitted"
    assert list(segments.numbers)[:3] == ["", "user_country=ma", "user_country=tr"]
    assert set(segments.ordered(0).tolist()) == set(range(ITEMS)) - {0, 1, 2, 7}, "what is not available is not popular"
    for value, parity in (("ma", 0), ("tr", 1)):
        row = segments.numbers[f"user_country={value}"]
        first = segments.ordered(row)[: ITEMS // 2 - 2]
        assert {place % 2 for place in first.tolist()} == {parity}
        weights = segments.rows.weights[segments.rows.indptr[row] : segments.rows.indptr[row + 1]]
        assert weights.sum() == pytest.approx(1, abs=1e-5)


def test_popular_items_and_rules_of_a_twin_do_not_see_its_test_window(release, tmp_path):
    """Events after the boundary change the release's and not the twin's."""
    work = tmp_path / "w"
    features = write_features(work / "features")
    towers, ranker = write_models(work)
    table = pq.read_table(features / "examples.parquet").to_pylist()
    late = [{**table[0], "event_id": f"p{n}", "item_id": "i39", "timestamp": (DAYS - 1) * DAY_MS} for n in range(500)]
    pq.write_table(pa.Table.from_pylist(table + late), features / "examples.parquet")
    write_sources(features, SPEC)
    twin = write_bundle(work / "twin", features, towers, ranker, "test_start", "c")
    after = write_bundle(work / "after", features, towers, ranker, "end", "c")
    before = Bundle.load(release[0] / "twin")
    for mine, theirs in ((twin.rules, before.rules), (twin.segments.rows, before.segments.rows)):
        for name, array in vars(mine).items():
            np.testing.assert_array_equal(array, vars(theirs)[name])
    assert after.segments.ordered(after.segments.numbers["user_country=ma"])[0] == 39


@pytest.mark.parametrize("name", ["vectors.npy", "ranker", "co_visitation.npz", "segment_popular.npz", "ease.npz"])
def test_a_bundle_without_a_part_is_refused(mine, name):
    shutil.rmtree(mine / name) if (mine / name).is_dir() else (mine / name).unlink()
    with pytest.raises(SoukError, match=name):
        Bundle.load(mine)


def test_a_bundle_of_before_knows_nothing_of_what_is_taken_together(mine):
    assert len(Bundle.load(mine).ease.items)
    settings = json.loads((mine / "bundle.json").read_text())
    (mine / "bundle.json").write_text(json.dumps({**settings, "form": 7}))
    (mine / "ease.npz").unlink()
    before = Bundle.load(mine)
    assert len(before.ease) == ITEMS and not len(before.ease.items)


def test_parts_of_two_releases_are_refused(mine):
    np.save(mine / "vectors.npy", np.zeros((ITEMS + 1, 8), np.float32))
    with pytest.raises(SoukError, match="41 vectors"):
        Bundle.load(mine)
    np.save(mine / "vectors.npy", np.zeros((ITEMS, 8), np.float32))
    rules = Bundle.load(mine).rules
    SparseRows.empty(ITEMS - 1).save(mine / "co_visitation.npz")
    with pytest.raises(SoukError, match="39 rules"):
        Bundle.load(mine)
    rules.save(mine / "co_visitation.npz")
    settings = json.loads((mine / "bundle.json").read_text())
    (mine / "bundle.json").write_text(json.dumps({**settings, "spec_hash": "0" * 12}))
    with pytest.raises(SoukError, match="000000000000"):
        Bundle.load(mine)


def test_nothing_in_a_release_is_a_pickle(release):
    for path in release[0].rglob("*.np[yz]"):
        loaded = np.load(path, allow_pickle=False)
        assert loaded is not None


def test_a_class_of_one_s_own_is_of_a_release_with_its_source(tmp_path, monkeypatch):
    features = write_features(tmp_path / "features")
    towers, ranker = write_models(tmp_path)
    source = tmp_path / "own_source_of_shop.py"
    monkeypatch.syspath_prepend(str(tmp_path))
    own, codes = {"use": "own_source_of_shop:Mine", "share": 0.5, "options": {}}, []
    for text in ("A = 1\n", "A = 1\n", "A = 22\n"):
        source.write_text(text)
        given = {"retrievers": {"mine": own}, "own_ranker": {"use": own["use"], "options": {}}}
        bundle = write_bundle(tmp_path / "bundle", features, towers, ranker, "end", "c", **given)
        assert bundle.settings.retrievers["mine"]["code"] == bundle.settings.ranker["code"]
        codes.append((bundle.settings.ranker["code"], content_digests(bundle, features, read_weights(towers, ranker))))
    assert codes[0] == codes[1] and codes[0][0] != codes[2][0] and codes[0][1] != codes[2][1]
