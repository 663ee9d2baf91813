"""The README: its commands exist and do what it says, its links lead somewhere.

`souk run`, `souk recommend` and `souk serve` train and load models: tests/test_pipeline_marketplace.py runs them.
`souk submit` is run in tests/test_submit.py, `souk explain` in tests/test_explain_ring.py, `souk evaluate` and
`souk report` in tests/test_evaluation_cli.py, `souk tune` in tests/test_pipeline_tuning.py.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from souk.cli import COMMANDS, main
from souk.release.pointer import point
from souk.workspace import Workspace
from tests.release_fixtures import deployed

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
LOADS_MODELS = {
    "check",
    "run",
    "recommend",
    "serve",
    "explain",
    "items",
    "evaluate",
    "report",
    "submit",
    "tune",
    "users",
}
RUN_HERE = {"init", "release list", "release show", "release verify", "release diff", "release prune", "rollback"}


def shown_commands() -> set[str]:
    """The souk commands that the README names: the first word, and the second of a group."""
    found = re.findall(r"(?:\.venv/bin/|`)souk ([a-z]+)(?: ([a-z]+))?", README)
    return {f"{first} {second}" if first == "release" else first for first, second in found}


@pytest.fixture
def releases(tmp_path: Path) -> tuple[Path, list[str]]:
    """A workspace with two deployed releases, the second one current."""
    place = Workspace(tmp_path / "souk")
    names = [deployed(place, tmp_path / str(seed), seed) for seed in (1, 2)]
    for name in names:
        point(place, name)
    return place.root, names


def test_every_command_it_names_is_tested_here_or_with_the_pipeline() -> None:
    commands = shown_commands()
    assert commands == RUN_HERE | LOADS_MODELS
    assert {command.split()[0] for command in commands} <= set(COMMANDS)


def test_commands_on_own_data_stay_out_of_the_workspace_that_make_run_fills() -> None:
    commands = re.findall(r"`souk ((?:check|run|serve|tune|recommend|explain) [^`]*)`", README)
    assert len(commands) == 7
    assert [command for command in commands if "--workspace .souk-my" not in command] == []


def test_every_make_target_it_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    named = {a or b for a, b in re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)", README, re.M)}
    assert {"run", "test", "serve", "bench", "help"} <= named <= targets


def test_every_link_leads_to_a_file() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []


def test_init_writes_a_config_from_files(tmp_path: Path) -> None:
    events = tmp_path / "my_events.csv"
    rows = [f"u{i % 7},i{i % 5},{1_700_000_000 + i}\n" for i in range(100)]
    events.write_text("customer,product,time\n" + "".join(rows), "utf-8")
    command = [sys.executable, "-m", "souk", "init", "--events", str(events), "--output", str(tmp_path / "my.yaml")]
    (tmp_path / ".souk" / "releases").mkdir(parents=True)
    (tmp_path / ".souk" / "releases" / "current").symlink_to("another-123456789abc")
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert f"souk run --config {tmp_path / 'my.yaml'} --workspace .souk-my" in done.stdout
    text = (tmp_path / "my.yaml").read_text("utf-8")
    assert "customer" in text
    assert "product" in text


def test_releases_are_listed_shown_verified_compared_and_rolled_back(
    releases: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    workspace, (first, second) = releases

    def souk(*words: str) -> str:
        assert main([*words, "--workspace", str(workspace)]) == 0
        return capsys.readouterr().out

    assert first in souk("release", "list")
    assert second in souk("release", "show", second)
    assert second in souk("release", "verify", second)
    assert "weights" in souk("release", "diff", first, second)
    assert "Nothing to delete: 2 releases" in souk("release", "prune", "--keep", "1")
    assert f"{second} -> {first}" in souk("rollback")
    assert Workspace(workspace).current_release() == first
