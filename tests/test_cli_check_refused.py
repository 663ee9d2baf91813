"""What `souk check` refuses as a run would, and labels that are never known."""

import sys

import pytest

from souk.cli import main
from tests.town_fixtures import *  # noqa: F403
from tests.town_fixtures import CONFIG

pytestmark = pytest.mark.slow


def test_a_workspace_of_another_data_set_is_refused_as_a_run_refuses_it(town, capsys):
    releases = town / ".souk/releases"
    (releases / "village-0123").mkdir(parents=True)
    (releases / "current").symlink_to("village-0123")
    assert main(["check", "--config", "town.yaml"]) == 2
    assert "which serves village-0123" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["check", "run", "tune"])
def test_signs_of_a_pattern_are_found_in_the_whole_path_of_a_workspace(town, capsys, monkeypatch, command):
    (town / "shop [new]").mkdir()
    monkeypatch.chdir(town / "shop [new]")
    assert main([command, "--config", "../town.yaml", "--workspace", "here"]) == 2
    told = capsys.readouterr().err
    assert f"a workspace without *, ? or [ in its path. Received: {town}/shop [new]/here" in told
    assert not any((town / "shop [new]").iterdir())


@pytest.mark.parametrize(
    ("engaged", "told"),
    [
        ("{events: [rating], unless: [return], within_days: 1}", "objectives.engaged to depend on an event's own"),
        ("{events: [purchase, rating], min_value: 1}", "engaging events at enough times"),
    ],
)
def test_objectives_that_a_run_would_refuse_are_refused(town, capsys, engaged, told):
    """Where nothing is left to the data, too."""
    text = CONFIG.replace("engaged: {events: [rating]}", f"engaged: {engaged}")
    (town / "town.yaml").write_text(text + "build_features: {history_length: 32, matches: []}")
    assert main(["check", "--config", "town.yaml"]) == 2
    assert told in capsys.readouterr().err


def test_an_objective_whose_labels_are_never_known_is_told(town, capsys):
    text = CONFIG.replace(
        "satisfied: {events: [rating]}", "satisfied: {events: [rating], unless: [hide], within_days: 9}"
    )
    (town / "town.yaml").write_text(text)
    assert main(["check", "--config", "town.yaml"]) == 0
    assert "satisfied: within_days is 9, and the events are of 0.792 days" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("folders", "section", "told"),
    [
        (0, 'retrievers: {mine: "own_of_town:Mine"}', "the module own_of_town of own_of_town:Mine"),
        (1, 'retrievers: {mine: "own_of_town:Mine"}', "the module own_of_town of own_of_town:Mine"),
        (2, 'retrievers: {mine: "own_of_town:Mine"}', ""),
        (2, 'ranker: "own_of_town:Mine"', "own_of_town:Mine to be a class derived of souk.plugs.Ranker"),
    ],
)
def test_classes_of_one_s_own_are_imported_as_a_run_does(town, capsys, monkeypatch, folders, section, told):
    """Not from where the command runs, which `python -m` puts on the path (1), but where PYTHONPATH does so (2)."""
    text = "from souk.plugs import Retriever\nclass Mine(Retriever):\n    def retrieve(self, *given): ...\n"
    (town / "own_of_town.py").write_text(text)
    (town / "town.yaml").write_text(CONFIG + section)
    monkeypatch.setattr("sys.path", [*(before := (*[str(town)] * folders, *sys.path))])
    assert main(["check", "--config", "town.yaml"]) == (2 if told else 0)
    assert told in capsys.readouterr().err and (*sys.path,) == before
    sys.modules.pop("own_of_town", None)
