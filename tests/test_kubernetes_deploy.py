"""The deploy step and `souk deploy` with a cluster: `current` moves with all requests, never with a part of them."""

from __future__ import annotations

import contextlib
import os
import shutil

import pytest
import yaml

from souk.cli import main
from souk.config import DatasetConfig, Rollout
from souk.errors import SoukError
from souk.index.collections import connect
from souk.release.bundle import Bundle
from souk.release.cluster import connect as to_cluster
from souk.release.collections import collections_in_use
from souk.release.inference_service import Traffic, inference_service, releases_of, storage_uri
from souk.release.manifest import read_manifest, write_manifest
from souk.release.pointer import history, point, refuse, rolled_back
from souk.steps.deploy import deploy
from souk.workspace import Workspace
from tests.kubernetes_fixtures import MILVUS, SERVICES, rollout, running
from tests.release_fixtures import SPEC, deployed, write_release
from tests.test_index_contract import milvus_server

VALUES = {
    "name": "tiny",
    "data": {"events": {"path": "x"}},
    "objectives": SPEC.objectives.model_dump(mode="json", exclude_defaults=True),
    "load_index": {"uri": MILVUS},
}


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A cluster that this process has credentials for."""
    monkeypatch.setattr("souk.release.rollout.POLL_SECONDS", 0.01)
    with running(tmp_path) as cluster:
        monkeypatch.setenv("KUBECONFIG", cluster.kubeconfig())
        yield cluster


@pytest.fixture
def releases(tmp_path_factory):
    """A workspace with two releases, and their names."""
    work = tmp_path_factory.mktemp("work")
    workspace = Workspace(work / "souk")
    return workspace, [deployed(workspace, work / f"seed{seed}", seed) for seed in (1, 2)]


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump({**VALUES, "rollout": {"target": "inference_service", "deadline_seconds": 20}}))
    return path


def step_config(uri=MILVUS, **settings):
    section = {"target": "inference_service", "deadline_seconds": 20, **settings}
    values = {**VALUES, "rollout": section, "load_index": {"uri": uri}}
    return DatasetConfig.model_validate(values).for_step("deploy")


def souk_deploy(config, workspace, release, *more):
    words = ["deploy", "--config", str(config), "--workspace", str(workspace.root), "--release", release, *more]
    return main(words)


def test_the_command_promotes_widens_and_takes_back(cluster, releases, config, capsys):
    workspace, (first, second) = releases
    assert souk_deploy(config, workspace, first) == 0
    assert workspace.current_release() == first
    assert souk_deploy(config, workspace, second, "--canary-percent", "10") == 0
    assert capsys.readouterr().out.endswith(f"{second}: 10% of requests; current stays {first}\n")
    assert cluster.serves({first: 90, second: 10})
    assert workspace.current_release() == first
    assert souk_deploy(config, workspace, second, "--canary-percent", "50") == 0
    assert souk_deploy(config, workspace, second) == 0
    assert cluster.serves({second: 100})
    assert (workspace.current_release(), history(workspace)) == (second, [first])
    assert souk_deploy(config, workspace, first) == 0
    assert cluster.serves({first: 100})
    assert (workspace.current_release(), rolled_back(workspace)) == (first, [second])


def test_current_stands_for_the_release_that_it_is(cluster, releases, config, capsys):
    workspace, (first, second) = releases
    souk_deploy(config, workspace, first)
    souk_deploy(config, workspace, second, "--canary-percent", "10")
    assert souk_deploy(config, workspace, "current") == 0
    assert capsys.readouterr().out.endswith(f"{first}: all requests; it is current\n")
    assert cluster.serves({first: 100})
    assert (workspace.current_release(), rolled_back(workspace)) == (first, [second])


def test_a_canary_that_was_ended_counts_as_rolled_back(cluster, releases, config):
    workspace, (first, second) = releases
    souk_deploy(config, workspace, first)
    souk_deploy(config, workspace, second, "--canary-percent", "10")
    assert souk_deploy(config, workspace, first) == 0
    assert (workspace.current_release(), rolled_back(workspace)) == (first, [second])
    assert souk_deploy(config, workspace, second) == 0
    assert (workspace.current_release(), rolled_back(workspace)) == (second, [first])


def test_a_canary_that_another_takes_the_place_of_counts_as_rolled_back(
    cluster, releases, config, tmp_path, monkeypatch
):
    monkeypatch.setattr("souk.steps.deploy._load_collection", lambda *_: None)
    monkeypatch.setattr("souk.steps.deploy._fill_store", lambda *_: 0)
    workspace, (first, second) = releases
    third = deployed(workspace, tmp_path / "seed3", 3)
    souk_deploy(config, workspace, first)
    for release in (second, third):
        assert souk_deploy(config, workspace, release, "--canary-percent", "10") == 0
    assert (workspace.current_release(), rolled_back(workspace)) == (first, [second])
    assert souk_deploy(config, workspace, third, "--canary-percent", "20") == 0
    again = shutil.copytree(workspace.releases / second, tmp_path / "again")
    deploy(step_config(canary_percent=10), str(workspace.root), str(again), "none", "none")
    assert cluster.serves({first: 80, third: 20})
    assert rolled_back(workspace) == [second]


def test_the_command_refuses_what_it_cannot_do(cluster, releases, config, capsys):
    workspace, (first, second) = releases
    assert souk_deploy(config, workspace, first[:-1]) == 2
    assert f"Did you mean {first!r}?" in capsys.readouterr().err
    (workspace.releases / second / "vectors.npy").write_bytes(b"damaged")
    assert souk_deploy(config, workspace, second) == 2
    assert "changed vectors.npy" in capsys.readouterr().err
    config.write_text(yaml.safe_dump(VALUES))
    assert souk_deploy(config, workspace, first) == 2
    assert "rollout.target is inference_service" in capsys.readouterr().err
    for share in ("0", "100"):  # whoever writes 0 wants to take its requests away, not to give it all
        with pytest.raises(SystemExit):
            souk_deploy(config, workspace, first, "--canary-percent", share)
        said = capsys.readouterr().err
        assert f"a whole number from 1 to 99, received '{share}': without the option it gets all; to end a " in said
    assert not cluster.exists()
    assert workspace.current_release() == ""


def installed(cluster, release, replicas, mode="standard"):
    """A service that somebody else made."""
    chart = rollout(mode=mode)
    made = inference_service(chart, Traffic(storage_uri(chart, release), replicas))
    cluster.admin("PATCH", f"{SERVICES}/souk?fieldManager=helm&force=false", made, "application/apply-patch+yaml")


@pytest.mark.parametrize(
    ("given", "had", "kept"),
    [
        ({}, (3, 12), (3, 12)),
        ({"max_replicas": 2}, (3, 12), (1, 2)),
        ({"mode": "knative"}, (1, None), (1, None)),  # as many as it takes
    ],
)
def test_a_service_that_is_taken_over_keeps_its_servers_unless_the_config_says_how_many(
    cluster, releases, config, given, had, kept
):
    """As charts/README.md hands it over: one server in the place of up to twelve would not bear their load."""
    workspace, (first, second) = releases
    section = {"target": "inference_service", "deadline_seconds": 20, **given}
    installed(cluster, first, had, given.get("mode", "standard"))
    config.write_text(yaml.safe_dump({**VALUES, "online_store": {"uri": "redis://redis"}, "rollout": section}))
    for release, more in ((first, []), (second, ["--canary-percent", "10"]), (second, [])):
        assert souk_deploy(config, workspace, release, "--force-conflicts", *more) == 0
        predictor = cluster.spec()["predictor"]
        assert (predictor["minReplicas"], predictor.get("maxReplicas")) == kept


def test_the_servers_that_a_service_keeps_do_not_take_sqlite(cluster, releases, config, capsys, tmp_path):
    """The chart's of before would read a Redis that nobody fills any more."""
    workspace, (first, second) = releases
    installed(cluster, first, (3, 12))
    before = cluster.spec()
    assert souk_deploy(config, workspace, second, "--force-conflicts") == 2
    told = "Redis in online_store.uri, since service souk may have several servers"
    assert told in capsys.readouterr().err
    with pytest.raises(SoukError, match=told):
        deploy(step_config(), str(tmp_path / "souk"), str(workspace.releases / second), "none", "none")
    assert cluster.spec() == before and not (tmp_path / "souk").exists()
    assert workspace.current_release() == ""


def test_a_deploy_that_fails_leaves_current_where_it_is(cluster, releases, config, capsys):
    workspace, (first, second) = releases
    souk_deploy(config, workspace, first)
    cluster.kserve.broken[second] = "ImagePullBackOff"
    config.write_text(yaml.safe_dump({**VALUES, "rollout": {"target": "inference_service", "deadline_seconds": 2}}))
    assert souk_deploy(config, workspace, second) == 2
    assert "ImagePullBackOff" in capsys.readouterr().err
    assert workspace.current_release() == first


@pytest.mark.slow
def test_the_step_gives_a_canary_its_share_and_current_waits(cluster, tmp_path):
    """And neither's collection goes, whoever is deployed meanwhile."""
    workspace, canary = Workspace(tmp_path / "souk"), {"canary_percent": 10}
    names = [write_release(tmp_path / f"{seed}/release", tmp_path / f"{seed}", seed) for seed in (1, 2, 3)]
    runs = [(str(tmp_path / f"{seed}/release"), str(tmp_path / f"{seed}/features"), "none") for seed in (1, 2, 3)]
    collections = [Bundle.load(release).settings.collection for release, *_ in runs]
    with milvus_server(tmp_path / "milvus.db") as (uri, _), contextlib.closing(connect(uri)) as milvus:
        assert deploy(step_config(uri, **canary), str(workspace.root), *runs[0])["changed"] == 1
        assert workspace.current_release() == names[0]
        assert deploy(step_config(uri, **canary), str(workspace.root), *runs[1])["changed"] == 0
        assert workspace.current_release() == names[0]
        assert cluster.serves({names[0]: 90, names[1]: 10})
        assert (workspace.releases / names[1]).is_dir()
        service = to_cluster(Rollout(target="inference_service")).service()
        used = collections_in_use(workspace, releases_of(service))
        assert used == set(collections[:2]) > collections_in_use(workspace)
        assert deploy(step_config(uri), str(workspace.root), *runs[1])["changed"] == 1
        assert workspace.current_release() == names[1]
        assert cluster.serves({names[1]: 100})
        assert set(milvus.list_collections()) == set(collections[:2])
        os.utime(workspace.releases / ".needed" / names[0], (0, 0))  # an hour after it was deployed
        deploy(step_config(uri), str(workspace.root), *runs[2])
        assert set(milvus.list_collections()) == set(collections[1:]), "what neither names is gone"


@pytest.mark.parametrize("broken", ["milvus", "credentials", "cluster", "permission"])
def test_the_step_does_nothing_where_the_cluster_cannot_take_it(cluster, tmp_path, monkeypatch, broken):
    config = step_config()
    if broken == "milvus":
        config = config.replace(MILVUS, "")
    elif broken == "credentials":
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
    elif broken == "cluster":
        cluster.api.outage = 503
    else:
        cluster.api.tokens["deployer"] = []
    write_release(tmp_path / "1/release", tmp_path / "1", 1)
    with pytest.raises(SoukError):
        deploy(config, str(tmp_path / "souk"), str(tmp_path / "1/release"), str(tmp_path / "1/features"), "none")
    assert not (tmp_path / "souk").exists()


def test_a_release_that_was_rolled_back_stays_so_in_the_cluster(cluster, releases, config, tmp_path, monkeypatch):
    monkeypatch.setattr("souk.steps.deploy._load_collection", lambda *_: None)
    monkeypatch.setattr("souk.steps.deploy._fill_store", lambda *_: 0)
    workspace, (first, second) = releases
    point(workspace, first)
    souk_deploy(config, workspace, second)
    souk_deploy(config, workspace, first)
    again = shutil.copytree(workspace.releases / second, tmp_path / "again")
    assert deploy(step_config(), str(workspace.root), str(again), "none", "none")["changed"] == 0
    assert cluster.serves({first: 100})


def test_a_release_that_is_rolled_back_while_the_step_waits_does_not_become_current(
    cluster, releases, config, tmp_path, monkeypatch
):
    monkeypatch.setattr("souk.steps.deploy._load_collection", lambda *_: None)
    monkeypatch.setattr("souk.steps.deploy._fill_store", lambda *_: 0)
    workspace, (first, second) = releases
    souk_deploy(config, workspace, first)

    def waits(*_):
        refuse(workspace, second)
        return True

    monkeypatch.setattr("souk.steps.deploy.roll_out", waits)
    again = shutil.copytree(workspace.releases / second, tmp_path / "again")
    assert deploy(step_config(), str(workspace.root), str(again), "none", "none")["changed"] == 0
    assert (workspace.current_release(), rolled_back(workspace)) == (first, [second])


@pytest.mark.parametrize("late", [False, True])
def test_what_another_run_deployed_stays_current_unless_the_cluster_has_changed(
    cluster, releases, config, tmp_path, monkeypatch, late
):
    """Before the step asks the cluster for anything; `late`, while it waits: the pointer follows the requests."""
    monkeypatch.setattr("souk.steps.deploy._load_collection", lambda *_: None)
    monkeypatch.setattr("souk.steps.deploy._fill_store", lambda *_: 0)
    workspace, (first, second) = releases
    if not late:
        souk_deploy(config, workspace, first)
    asked = []

    def waits(*_):
        asked.append(point(workspace, first))
        return True

    monkeypatch.setattr("souk.steps.deploy.roll_out", waits)
    again = shutil.copytree(workspace.releases / second, tmp_path / "again")
    made = read_manifest(again)
    write_manifest(again, second, made["content"], made["lineage"] | {"replaces": "", "parent": ""})
    assert deploy(step_config(), str(workspace.root), str(again), "none", "none")["changed"] == late
    assert (workspace.current_release(), len(asked)) == (second if late else first, int(late))
