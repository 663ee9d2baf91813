"""What the source of a class of one's own is part of: the keys of the steps that ask it, and a release's name."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from souk.cli import training
from souk.config import parse_config
from souk.plugs import code_of

CONFIG = """
name: shop
data: {events: {path: e.csv}}
objectives: {engaged: {events: [click]}, satisfied: {events: [click]}}
"""
SOURCE = "from beside import SHARE\n\n\nclass Mine:\n    pass\n"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with a class, and what it is made of beside it."""
    folder = tmp_path / "own_code_of_shop"
    folder.mkdir()
    for name, text in (("__init__.py", ""), ("mine.py", SOURCE), ("beside.py", "SHARE = 1\n")):
        (folder / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    sys.modules.pop("own_code_of_shop", None)


def test_the_source_of_a_class_is_its_module_and_what_stands_beside_it(package, tmp_path):
    before = code_of("own_code_of_shop.mine:Mine")
    assert len(before) == 16 and before == code_of("own_code_of_shop.mine:Other")
    (package / "beside.py").write_text("SHARE = 2\n")
    assert code_of("own_code_of_shop.mine:Mine") != before
    (tmp_path / "own_alone_of_shop.py").write_text(SOURCE)
    alone = code_of("own_alone_of_shop:Mine")
    (tmp_path / "unrelated_of_shop.py").write_text("")
    assert code_of("own_alone_of_shop:Mine") == alone != before, "a module of no package stands alone"
    assert code_of("nopkg_of_shop.mine:Mine") == code_of("sys:exit") == ""


@pytest.mark.parametrize("content", ["1 / 0", "raise SystemExit(3)", "import os; os.environ['SHOP_DB_OF_TESTS']"])
def test_a_package_that_cannot_be_imported_here_has_no_source(tmp_path, monkeypatch, content):
    """As on the machine that submits, which has no GPU and none of the cluster's libraries."""
    (tmp_path / "own_broken_of_shop").mkdir()
    (tmp_path / "own_broken_of_shop" / "__init__.py").write_text(content)
    (tmp_path / "own_broken_of_shop" / "mine.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert code_of("own_broken_of_shop.mine:Mine") == ""


@pytest.mark.parametrize(("safe", "named", "found"), [("1", True, True), ("", True, True), ("", False, False)])
def test_a_check_looks_where_the_command_runs_only_if_pythonpath_names_it(tmp_path, safe, named, found):
    """With PYTHONSAFEPATH, as steps have it, nothing stands before the folders of PYTHONPATH."""
    text = "from souk.plugs import Retriever\nclass Mine(Retriever):\n    def retrieve(self, *given): ...\n"
    (tmp_path / "own_here_of_shop.py").write_text(text)
    (tmp_path / "shop.yaml").write_text(CONFIG + "retrievers: {mine: 'own_here_of_shop:Mine'}\n")
    code = (
        "from souk.config import load_config; from souk.cli.check import _check_classes; "
        "_check_classes(load_config('shop.yaml'))"
    )
    souk = str(Path(__file__).parents[1])
    places = os.pathsep.join([str(tmp_path), souk] if named else [souk])
    environment = os.environ | {"PYTHONPATH": places, "PYTHONSAFEPATH": safe}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode == 0) == found and ("No module named 'own_here_of_shop'" in done.stderr) != found, done


def test_a_changed_class_reruns_the_steps_that_ask_it(package, monkeypatch):
    monkeypatch.setattr(training, "code_digests", lambda steps: dict.fromkeys(steps, "0" * 16))
    own = parse_config(CONFIG + 'retrievers: {mine: "own_code_of_shop.mine:Mine"}\n', "shop.yaml")

    def codes(config):
        spec = training.with_code_digests(training.load_pipeline(), config)
        containers = [executor["container"] for executor in spec["deploymentSpec"]["executors"].values()]
        return {
            training._step(each): variable["value"]
            for each in containers
            for variable in each.get("env", [])
            if variable["name"] == "SOUK_CODE"
        }

    plain, before = codes(parse_config(CONFIG, "shop.yaml")), codes(own)
    (package / "mine.py").write_text(SOURCE + "\n")
    after = codes(own)
    assert {step for step in plain if before[step] != plain[step]} == {"evaluate", "package_release"}
    assert {step for step in plain if before[step] != after[step]} == {"evaluate", "package_release"}
    assert set(plain.values()) == {"0" * 16}
