"""Experiments of a server that is shown its release under another path, as KServe shows it at /mnt/models."""

import shutil

import pytest

from souk.serving.request import Request
from souk.serving.served import Reader
from tests.arms_fixtures import arms_of, beside, user_in
from tests.serving_fixtures import NOW, write_workspace

CONTROL = "experiments: {next: {arms: {control: {share: 0.5}, other: {share: 0.5, release: shop-2}}}}"
NAMED = CONTROL.replace("control: {share: 0.5}", "control: {share: 0.5, release: shop-1}")


@pytest.fixture
def workspace(tmp_path):
    made = write_workspace(tmp_path / "workspace")
    beside(made, "shop-1")
    beside(made, "shop-2")
    return made


@pytest.fixture
def mounted(workspace, tmp_path):
    return str(shutil.copytree(workspace.releases / "shop-2", tmp_path / "mnt" / "models"))


def test_the_challenger_that_became_current_is_not_compared_with_itself(workspace, mounted, caplog):
    arms = arms_of(workspace, CONTROL, release=mounted)
    assert arms.resting == ["next"] and not arms.now.beside
    assert "while shop-2, which an arm has, is the current one: next" in caplog.text
    (slate,) = arms.recommend([Request(user_in(CONTROL, next="other"), 4, NOW, "r0")])
    assert (slate.release, slate.arm) == ("shop-2", "")
    arms.follow_release(arms.now.main)
    assert arms.resting == ["next"] and not arms.now.beside


def test_a_release_that_answers_is_not_read_again_for_an_arm_that_names_it(workspace, mounted, monkeypatch):
    read, ready = [], Reader.ready
    monkeypatch.setattr(Reader, "ready", lambda self, folder: read.append(folder.name) or ready(self, folder))
    arms = arms_of(workspace, NAMED, release=mounted)
    slates = arms.recommend([Request(user_in(NAMED, next=arm), 4, NOW, arm) for arm in ("control", "other")])
    assert [(slate.release, slate.arm) for slate in slates] == [("shop-1", "next=control"), ("shop-2", "next=other")]
    assert read == ["models", "shop-1"] and [*arms.now.beside] == ["shop-1"]
