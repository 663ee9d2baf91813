"""The command line: one line for every mistake, no traceback."""

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from souk.cli import COMMANDS, main
from souk.cli.run import _paths, _tell_other_data, _tell_success
from souk.cli.training import load_pipeline, parameters, schema_parameter, with_accelerators, with_images
from souk.cli.view import RunView
from souk.config import load_config
from souk.errors import of_disk
from souk.ingest.packed import unpacked
from souk.serving.beside import Ended
from souk.workspace import Workspace

CONFIG = """name: small
data:
  events: {path: events.csv}
objectives:
  engaged: {events: [click]}
  satisfied: {events: [click]}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "events.csv").write_text("user_id,item_id\nu1,i1\n", "utf-8")
    path = tmp_path / "small.yaml"
    path.write_text(CONFIG, "utf-8")
    return path


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "--config", "none.yaml"], "Expected a dataset config file. Received: none.yaml."),
        (["submit", "--host", "http://127.0.0.1:9", "--config", "none.yaml"], "Received: none.yaml."),
        (["demo"], "/.souk/releases/current. Received: none. Make one: "),
        (["rollback"], "Expected a workspace with releases at .souk. Received: none."),
        (["release", "show", "gone"], "Received: 'gone', and"),
        (["release", "verify", "current"], "Received: 'current', and"),
    ],
)
def test_what_a_user_can_mend_is_one_line(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith(f"souk {words[0]}: Expected ")
    assert error.count("\n") == 1
    assert not any(tmp_path.iterdir()), "it made something"


@pytest.mark.parametrize("words", [["serve"], ["demo"], ["explain", "--user", "u"], ["report"]])
def test_after_a_rejected_run_nobody_is_told_to_run_again(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    runs = Path(".souk/runs")
    runs.mkdir(parents=True)
    for day, verdict in enumerate(["promote", "reject"]):
        (runs / f"2024010{day}.steps.json").write_text(json.dumps({"verdict": verdict}), "utf-8")
    (runs / "20240109.steps.json").write_text('{"verdict": "pro', "utf-8")  # of a run that was killed as it wrote
    assert main(words) == 2
    error = capsys.readouterr().err
    assert "the gate rejected what the last run made. Its report in .souk/reports" in error.replace(f"{tmp_path}/", "")


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    events = tmp_path / "events.csv"
    events.write_text("user_id,item_id,timestamp\nu,i,1700000000\n", "utf-8")
    reading, writing = os.pipe()
    os.close(reading)
    words = [sys.executable, "-m", "souk", "init", "--events", events, "--output", tmp_path / "my.yaml"]
    with os.fdopen(writing, "wb") as gone:
        run = subprocess.run(words, stdout=gone, stderr=subprocess.PIPE, check=False)
    assert (run.returncode, run.stderr) == (128 + signal.SIGPIPE, b"")


@pytest.mark.parametrize(
    ("command", "more"), [("tune", "the same command goes on"), ("items", "souk items: interrupted\n")]
)
def test_who_interrupts_the_imports_gets_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, more: str
) -> None:
    (tmp_path / "slow_to_import.py").write_text("raise KeyboardInterrupt")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(COMMANDS, command, ("slow_to_import", ""))
    code = 0
    with contextlib.suppress(KeyboardInterrupt):  # which would end all tests
        code = main([command])
    assert code == 128 + signal.SIGINT
    assert more in capsys.readouterr().err


def test_a_command_without_its_packages_names_the_extra_before_it_does_anything(tmp_path: Path) -> None:
    """An installation that says it asks for packages which are not there; tests/test_extras.py has the real ones."""
    wanted = ('gone-a[x]==1.0; extra == "serve"', 'gone_b>2 ; extra == "serve"', 'gone-c; extra == "index"', "numpy")
    (tmp_path / "souk-9.dist-info").mkdir()
    text = "".join(f"Requires-Dist: {line}\n" for line in wanted)
    (tmp_path / "souk-9.dist-info" / "METADATA").write_text(f"Metadata-Version: 2.1\nName: souk\n{text}", "utf-8")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    words = [sys.executable, "-m", "souk", "serve", "--workspace", str(tmp_path / "w")]
    run = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr == (
        "souk serve: Expected the packages of the extra serve. Received: an installation without gone-a, gone_b. "
        "pip install -e '.[serve]' in a clone of Souk, or use the image that holds them (docs/images.md).\n"
    )
    needs_none = [*words[:3], "release", "list"]
    run = subprocess.run(needs_none, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_data_that_is_not_there_is_told_before_any_step(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (config.parent / "events.csv").unlink()
    assert main(["run", "--config", str(config), "--workspace", str(config.parent / "w")]) == 2
    assert "events.csv" in capsys.readouterr().err


def test_the_help_loads_nothing_heavy() -> None:
    program = """if True:
        import sys
        from souk.cli import COMMANDS, main
        for command in COMMANDS:
            try:
                main([command, "--help"])
            except SystemExit:
                pass
        print("LOADED", *sys.modules)"""
    run = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    loaded = {name.partition(".")[0] for name in run.stdout.partition("LOADED")[2].split()}
    assert not loaded & {"tensorflow", "kfp", "apache_beam", "feast", "kserve", "pymilvus", "matplotlib", "grimp"}


def test_images_and_accelerators_are_put_in() -> None:
    spec = with_accelerators(with_images(load_pipeline(), "ghcr.io/us/", "0.1.0-abc"), 2, "amd.com/gpu")
    containers = [executor["container"] for executor in spec["deploymentSpec"]["executors"].values()]
    assert {container["image"].rpartition("/")[0] for container in containers} == {"ghcr.io/us"}
    assert {container["image"].rpartition(":")[2] for container in containers} == {"0.1.0-abc"}
    accelerators = [container["resources"].get("accelerator") for container in containers]
    assert [(a["resourceCount"], a["resourceType"]) for a in accelerators if a] == [("2", "amd.com/gpu")] * 4


def test_schemas_beside_the_config_come_before_edited_ones_of_the_workspace(config: Path, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    assert schema_parameter(config, "small", workspace) == ""
    ours, inferred = workspace.schemas / "small", workspace.schemas / "small" / ".inferred"
    inferred.mkdir(parents=True)
    for folder in (ours, inferred):
        (folder / "events.pbtxt").write_text("inferred", "utf-8")
    assert schema_parameter(config, "small", workspace) == ""
    (ours / "events.pbtxt").write_text("edited", "utf-8")
    assert unpacked(schema_parameter(config, "small", workspace)) == {"events": "edited"}
    committed = config.parent / "small.schema"
    committed.mkdir()
    (committed / "items.pbtxt").write_text("committed", "utf-8")
    assert unpacked(schema_parameter(config, "small", workspace)) == {"items": "committed"}


def test_every_parameter_of_the_pipeline_is_given(config: Path) -> None:
    import argparse

    from souk.cli.options import add_pipeline
    from souk.config import load_config

    parser = argparse.ArgumentParser()
    add_pipeline(parser)
    options = parser.parse_args(["--config", str(config), "--gate-margin", "0.25", "--beam-options=--a=1 --b"])
    values = parameters(options, load_config(config), "/w", "", "")
    assert values.keys() == load_pipeline()["root"]["inputDefinitions"]["parameters"].keys()
    assert values["gate_margin"] == "0.25"
    assert json.loads(values["beam_options"]) == ["--a=1", "--b"]
    assert yaml.safe_load(values["ingest_config"])["name"] == "small"


@pytest.mark.parametrize("command", ["run", "tune", "submit"])
def test_beam_options_with_an_open_quote_are_told_before_the_data_are_read(
    config: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    with pytest.raises(SystemExit) as end:
        main([command, "--config", str(config), "--beam-options=--x='a"])
    told = capsys.readouterr().err
    assert end.value.code == 2 and 'words as a shell reads them, received "--x=\'a": No closing quotation' in told


def test_what_the_disk_refuses_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    events = tmp_path / "events.csv"
    events.write_text("user_id,item_id,event_type,timestamp\nu,i,click,1700000000\nv,j,click,1700003600\n", "utf-8")
    assert main(["init", "--events", str(events), "--output", str(tmp_path / "file" / "x.yaml")]) == 2
    told = capsys.readouterr().err
    assert told.startswith("souk init: Expected ")
    assert "which another made" in told
    assert told.count("\n") == 1


def test_a_workspace_whose_files_beam_would_not_find_is_refused_at_once(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(CONFIG, "utf-8")
    assert main(["run", "--config", str(config), "--workspace", str(tmp_path / "shop [v2]")]) == 2
    assert "a workspace without *, ? or [ in its path" in capsys.readouterr().err
    assert not (tmp_path / "shop [v2]").exists()


@pytest.mark.parametrize("command", ["run", "tune"])
def test_a_workspace_that_serves_another_data_set_is_refused_before_any_training(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    releases = tmp_path / "place" / "releases"
    (releases / "films-0123456789ab").mkdir(parents=True)
    (releases / "current").symlink_to("films-0123456789ab")
    assert main([command, "--config", str(config), "--workspace", str(tmp_path / "place")]) == 2
    told = capsys.readouterr()
    assert "Expected a workspace of the data set small. Received: " in told.err
    assert "which serves films-0123456789ab. Give each data set its own: --workspace " in told.err
    assert told.out == "" and not (tmp_path / "place" / "runs").exists()


def test_other_data_under_the_same_name_are_told_and_other_settings_are_not(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = Workspace(tmp_path / "place")
    workspace.runs.mkdir(parents=True)

    def told(text: str) -> str:
        config.write_text(text, "utf-8")
        _tell_other_data(workspace, load_config(config))
        return capsys.readouterr().err

    assert told(CONFIG) == ""
    records = ({"config": "small"}, {"config": "small", "data": _paths(load_config(config))}, {"config": "films"})
    for day, record in enumerate(records):
        (workspace.runs / f"2024010{day}.steps.json").write_text(json.dumps(record), "utf-8")
    (workspace.runs / "20240109.steps.json").write_text('{"config": "sm', "utf-8")
    assert told(CONFIG) == "" and told(CONFIG + "repeat: {rule: always}\n") == ""
    other = told(CONFIG.replace("path: events.csv", "path: other.csv"))
    assert f"events from {tmp_path}/other.csv, not {tmp_path}/events.csv" in other and other.count("\n") == 1
    assert f"a name and a --workspace ({workspace.root}-2) of its own" in other


def test_a_password_in_the_address_of_data_is_neither_told_nor_kept(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(CONFIG.replace("path: events.csv", "path: 'ftp://shop:s3cret@127.0.0.1:1/events.csv'"), "utf-8")
    assert _paths(load_config(config))["events"] == "ftp://…@127.0.0.1:1/events.csv"
    assert main(["run", "--config", str(config), "--workspace", str(tmp_path / "place")]) == 2
    told = capsys.readouterr()
    assert "Expected files at ftp://…@127.0.0.1:1/events.csv. Received: " in told.err
    kept = [path for path in (tmp_path / "place").rglob("*") if path.is_file() and b"s3cret" in path.read_bytes()]
    assert "s3cret" not in told.err + told.out and kept == []


def test_the_release_says_which_heads_it_did_not_learn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    view, place = RunView(sys.stdout, sys.stderr), SimpleNamespace(path=str(tmp_path))
    view.outputs = {"evaluate": {"Output": "promote"}, "package_release": {"Output": "small-0123456789ab"}}
    view.outputs["train_ranker (release)"] = {"ranker": place}
    for record, told in (({"not_learned": {"satisfied": "4 of its labels"}}, True), ({"not_learned": {}}, False)):
        (tmp_path / "training.json").write_text(json.dumps(record), "utf-8")
        _tell_success(view, Workspace(tmp_path / "workspace"), None, tmp_path / "run.log")
        sentence = "satisfied is not learned in small-0123456789ab: 4 of its labels\n"
        assert (sentence in capsys.readouterr().out) == told


def test_what_did_not_answer_is_told_in_its_own_words(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that could not compute upserted items in time said to look at the free space."""

    def late(arguments: object) -> int:
        raise Ended("nothing in 120 s")

    monkeypatch.setattr("souk.cli.check.run", late)
    assert main(["check", "--config", str(config)]) == 2
    said = "Expected TensorFlow's process to answer. Received: nothing in 120 s. Ask again: the machine may be busy"
    assert capsys.readouterr().err.startswith(f"souk check: {said}")


def test_a_disk_that_is_full_is_told_as_that() -> None:
    said = str(of_disk(OSError(errno.ENOSPC, "No space left on device")))
    assert said.startswith("Expected free space on the disk. Received: No space left on device.")
