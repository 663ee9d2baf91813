"""The config that a search writes: the old one with what was chosen, where it was asked for."""

import json
from types import SimpleNamespace

import pytest
import yaml

from souk.cli import main, tune
from souk.cli.tune import of_souk, write_config
from souk.config import load_config, parse_config
from souk.config.text import sections
from souk.tuning.rewrite import with_settings
from tests.test_tuning import MINIMAL


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (MINIMAL, ["# a comment", "epochs: 3  # few"]),
        ("a: 1  # one\ntrain_two_tower: {dim: 16, epochs: 3}  # flow\n", ["# one", "# flow", "epochs: 3"]),
        (
            "train_two_tower: {}\ntrain_ranker:\n  # wide\n  hidden:\n    - 8\n    - 4\n  epochs: 2 # e",
            ["# wide", "# e"],
        ),
        ("train_ranker:\n  hidden: # wide\n  - 8\n  # f\n  - 4\n  epochs: 2 # e", ["# wide", "# e"]),
        ("a: 1 # last", ["# last"]),
        ("train_two_tower:\nb: 2 # b\n", ["# b"]),
        ("train_two_tower:  # later\n  # dim\nb: 2 # b\ntrain_ranker:", ["# later", "# dim", "# b"]),
        ("train_ranker: null # none\nb: 2 # b\ntrain_two_tower: ~\n", ["# none", "# b"]),
    ],
)
def test_a_config_gets_values_and_keeps_its_comments(text, kept):
    settings = {"train_two_tower.dim": 64, "train_ranker.hidden": [64, 32], "train_two_tower.learning_rate": 1e-05}
    new = with_settings(text, settings)
    wanted = yaml.safe_load(text)
    for name, value in settings.items():
        section, key = name.split(".")
        wanted[section] = {**(wanted.get(section) or {}), key: value}
    assert yaml.safe_load(new) == wanted
    keys = [key.value for key, _ in yaml.compose(new, Loader=yaml.SafeLoader).value]
    assert len(keys) == len(set(keys)), new
    assert all(comment in new for comment in kept), new


def test_what_yaml_takes_for_a_date_or_an_octal_number_stays_as_it_is_written():
    text = "data: {items: {path: i.csv, skip: {at: 0000-00-00, code: 010}}}\n"
    assert with_settings(text, {"train_two_tower.dim": 64}) == text + "train_two_tower:\n  dim: 64\n"
    anew = with_settings(text + "train_two_tower: &a {dim: 8}\nb: *a\n", {"train_two_tower.dim": 64})
    assert sections(anew, "config", "")["data"]["items"]["skip"] == {"at": "0000-00-00", "code": "010"}


def test_the_written_config_is_the_old_one_with_the_choice_and_leads_to_the_same_data(tmp_path):
    (tmp_path / "tiny.yaml").write_text(MINIMAL)
    chosen = {
        "number": 4,
        "verdict": "better",
        "settings": {"train_two_tower.dim": 64, "train_ranker.hidden": [64, 32]},
    }
    beside = write_config(MINIMAL, tmp_path / "tiny.yaml", tmp_path / "tiny.tuned.yaml", chosen)
    assert beside.read_text().startswith("# `souk tune`, trial 4: better\nname: tiny  # a comment\n")
    (tmp_path / "other").mkdir()
    away = write_config(MINIMAL, tmp_path / "tiny.yaml", tmp_path / "other" / "new.yaml", chosen)
    for path in (beside, away):
        config = parse_config(path.read_text())
        assert (config.train_two_tower.dim, config.train_ranker.hidden) == (64, (64, 32))
        assert (path.parent / config.data.folder / "events.csv").resolve() == tmp_path / "events.csv"


@pytest.fixture
def search(tmp_path, monkeypatch):
    """A search that ends at once with other settings; it does `search.meanwhile` before."""
    found, file = SimpleNamespace(meanwhile=lambda: None), tmp_path / "chosen.json"
    file.write_text(json.dumps({"settings": {"train_two_tower.dim": 64}, "number": 4, "verdict": "better"}))

    def end(arguments, config, workspace, lock, view):
        found.meanwhile()
        view.finished("tune_choose", {"chosen": SimpleNamespace(path=str(file))}, 1.0, False)

    monkeypatch.setattr(tune, "_search", end)
    return found


def test_a_config_with_a_byte_order_mark_is_written_without(tmp_path, search):
    command = command_of(tmp_path, "")
    (tmp_path / "tiny.yaml").write_text(MINIMAL, "utf-8-sig")
    assert main(command) == 0
    assert load_config(tmp_path / "tiny.tuned.yaml").train_two_tower.dim == 64


@pytest.mark.parametrize("meanwhile", [MINIMAL.replace("click", "purchase"), "name: [half", ""])
def test_the_written_config_is_the_one_that_was_searched(tmp_path, search, meanwhile):
    command = command_of(tmp_path, "")
    search.meanwhile = lambda: (tmp_path / "tiny.yaml").write_text(meanwhile)
    assert main(command) == 0
    written = (tmp_path / "tiny.tuned.yaml").read_text("utf-8")
    assert written.splitlines()[1:] == MINIMAL.replace("16", "64").splitlines()


def test_passes_that_were_asked_for_are_written(tmp_path, search):
    assert main([*command_of(tmp_path, ""), "--epochs", "7"]) == 0
    assert load_config(tmp_path / "tiny.tuned.yaml").train_two_tower.epochs == 7


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("", ["tiny.tuned.yaml exists", "--force"]),
        ("folder", ["folder, which is a folder", "--output"]),
        ("absent/new.yaml", ["absent is none", "Make it"]),
    ],
)
def test_what_cannot_be_written_is_told_before_the_search(tmp_path, capsys, output, words):
    (tmp_path / "tiny.yaml").write_text(MINIMAL, "utf-8")
    (tmp_path / "tiny.tuned.yaml").write_text("by hand", "utf-8")
    (tmp_path / "folder").mkdir()
    more = ["--output", str(tmp_path / output), "--force"] if output else []
    command = ["tune", "--config", str(tmp_path / "tiny.yaml"), "--workspace", str(tmp_path / "ws"), *more]
    assert main(command) == 2
    told = capsys.readouterr().err
    assert all(word in told for word in words), told
    assert not (tmp_path / "ws").exists()
    assert (tmp_path / "tiny.tuned.yaml").read_text("utf-8") == "by hand"


def test_a_config_is_written_where_its_schemas_are(tmp_path, capsys):
    (tmp_path / "tiny.yaml").write_text(MINIMAL, "utf-8")
    for folder in ("tiny.schema", "other/tiny.schema"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "tiny.schema" / "events.pbtxt").write_text("as reviewed")
    command = ["tune", "--config", str(tmp_path / "tiny.yaml"), "--workspace", str(tmp_path / "ws")]
    assert main([*command, "--output", str(tmp_path / "other" / "new.yaml")]) == 2
    assert "tiny.schema/ of the config beside" in capsys.readouterr().err and not (tmp_path / "ws").exists()
    (tmp_path / "other" / "tiny.schema" / "events.pbtxt").write_text("as reviewed")
    for beside in ("other/new.yaml", "new.yaml"):  # taken: the search begins, and misses the data
        assert main([*command, "--output", str(tmp_path / beside)]) == 2
        assert "tiny.schema" not in capsys.readouterr().err


def command_of(folder, more):
    (folder / "tiny.yaml").write_text(MINIMAL + more, "utf-8")
    return ["tune", "--config", str(folder / "tiny.yaml"), "--workspace", str(folder / "ws")]


def test_a_ranker_of_ones_own_is_told_before_the_search(tmp_path, capsys):
    assert main(command_of(tmp_path, 'ranker: "own:CheapFirst"\n')) == 2
    told = capsys.readouterr().err
    assert "ranker: own:CheapFirst" in told and "take `ranker` out of the config to search" in told
    assert not (tmp_path / "ws").exists()


def test_retrievers_of_ones_own_are_told_once_and_no_part_of_trials(tmp_path, capsys):
    command = command_of(tmp_path, 'retrievers: {editors: "own:Editors", season: "own:Season"}\n')
    assert main(command) == 2  # the search begins, and misses the data
    told = capsys.readouterr()
    assert told.out.count("the retrievers editors, season bring nothing to its trials") == 1
    assert "events.csv" in told.err
    assert main(command_of(tmp_path, "")) == 2 and "bring nothing" not in capsys.readouterr().out
    config = parse_config(MINIMAL + 'retrievers: {editors: "own:Editors"}\n')
    assert of_souk(config).for_step("package_release") == parse_config(MINIMAL).for_step("package_release")


@pytest.mark.parametrize("seed", ["4294967296", "-1", "1.5"])
def test_a_seed_that_no_library_takes_is_refused(tmp_path, capsys, seed):
    with pytest.raises(SystemExit):
        main([*command_of(tmp_path, ""), f"--seed={seed}"])
    assert f"from 0 to 4294967295, received '{seed}'" in capsys.readouterr().err
