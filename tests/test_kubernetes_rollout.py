"""A release gets its share of the requests in a cluster, in both modes, and the one before it never stops answering."""

from __future__ import annotations

import itertools
import re
import threading

import pytest
import yaml

from souk.errors import SoukError
from souk.release.inference_service import Traffic, stages, storage_uri
from tests.kubernetes_fixtures import NEW, NEXT, OLD, ROOT, SERVICES, TestCluster, rollout, running, until

MODES = ["standard", "knative"]


@pytest.fixture
def cluster(tmp_path):
    with running(tmp_path) as cluster:
        yield cluster


@pytest.fixture(params=MODES)
def settings(request):
    return rollout(mode=request.param)


def without_a_gap(cluster: TestCluster) -> bool:
    """Whether all requests had an answer since the first release was ready."""
    shares = [sum(share.values()) for share in cluster.kserve.shares]
    return set(shares[shares.index(100) :]) == {100}


def test_the_first_release_gets_all_requests_though_a_canary_is_asked_for(cluster, settings):
    assert cluster.roll_out(settings, OLD, 10) is True
    assert cluster.serves({OLD: 100})
    assert "canary" not in cluster.spec()
    assert "canaryTrafficPercent" not in cluster.spec()["predictor"]


def test_a_canary_gets_its_share_grows_and_takes_over(cluster, settings):
    cluster.roll_out(settings, OLD)
    assert cluster.roll_out(settings, NEW, 10) is False
    assert cluster.serves({OLD: 90, NEW: 10})
    assert cluster.roll_out(settings, NEW, 50) is False
    assert cluster.serves({OLD: 50, NEW: 50})
    pods = cluster.pods()
    assert cluster.roll_out(settings, NEW) is True
    assert cluster.serves({NEW: 100})
    assert without_a_gap(cluster)
    assert cluster.pods() <= pods  # nothing was started anew


def test_all_at_once_waits_for_the_new_release(cluster, settings):
    cluster.roll_out(settings, OLD)
    assert cluster.roll_out(settings, NEW) is True
    assert cluster.serves({NEW: 100})
    assert cluster.kserve.shares[-2] == {OLD: 100}
    assert without_a_gap(cluster)


def test_a_canary_is_taken_back_by_the_release_before_it(cluster, settings):
    cluster.roll_out(settings, OLD)
    cluster.roll_out(settings, NEW, 10)
    assert cluster.roll_out(settings, OLD) is True
    assert cluster.serves({OLD: 100})
    assert without_a_gap(cluster)
    assert max(share.get(NEW, 0) for share in cluster.kserve.shares) == 10


def test_the_next_canary_takes_the_place_of_one_that_is_there(cluster, settings):
    cluster.roll_out(settings, OLD)
    cluster.roll_out(settings, NEW, 10)
    assert cluster.roll_out(settings, NEXT, 20) is False
    assert cluster.serves({OLD: 80, NEXT: 20})
    assert without_a_gap(cluster)
    assert max(share.get(NEW, 0) for share in cluster.kserve.shares) == 10


def test_an_earlier_release_comes_back_after_a_promotion_and_the_later_one_again(cluster, settings):
    for release, percent in ((OLD, 0), (NEW, 10), (NEW, 0), (OLD, 0), (NEW, 10), (NEW, 0)):
        cluster.roll_out(settings, release, percent)
    assert cluster.serves({NEW: 100})
    assert without_a_gap(cluster)


def test_a_second_call_changes_nothing(cluster, settings):
    cluster.roll_out(settings, OLD)
    cluster.roll_out(settings, NEW, 10)
    before = cluster.admin("GET", f"{SERVICES}/souk")["metadata"]["generation"]
    assert cluster.roll_out(settings, NEW, 10) is False
    assert cluster.roll_out(settings, NEW, 10) is False
    assert cluster.admin("GET", f"{SERVICES}/souk")["metadata"]["generation"] == before


def test_a_release_that_has_all_requests_is_no_canary_of_itself(cluster, settings):
    cluster.roll_out(settings, OLD)
    assert cluster.roll_out(settings, OLD, 10) is True
    assert cluster.serves({OLD: 100})


@pytest.mark.parametrize("reason", ["ImagePullBackOff", "CrashLoopBackOff", "Unschedulable"])
@pytest.mark.parametrize("percent", [0, 10])
def test_a_release_that_does_not_answer_is_taken_back_and_the_reason_told(cluster, settings, reason, percent):
    cluster.roll_out(settings, OLD)
    before = cluster.spec()
    told = cluster.breaks(NEW, reason)
    with pytest.raises(SoukError, match=rf"within 20 s.*pod souk.*{reason}.*told by the kubelet.*Applied again.*{OLD}"):
        cluster.roll_out(settings, NEW, percent, clock=told)
    assert cluster.spec() == before
    assert without_a_gap(cluster)
    assert all(NEW not in share for share in cluster.kserve.shares)


def test_a_canary_that_does_not_answer_leaves_the_split_before_it(cluster, settings):
    cluster.roll_out(settings, OLD)
    cluster.roll_out(settings, NEW, 10)
    told = cluster.breaks(NEXT, "ImagePullBackOff")
    with pytest.raises(SoukError, match=f"Applied again: 10% of requests to {NEW}"):
        cluster.roll_out(settings, NEXT, 20, clock=told)
    assert cluster.roll_out(settings, NEW, 10) is False
    assert cluster.serves({OLD: 90, NEW: 10})
    assert without_a_gap(cluster)


def test_a_canary_that_fails_is_not_promoted(cluster):
    settings = rollout(mode="standard")
    cluster.roll_out(settings, OLD)
    cluster.roll_out(settings, NEW, 10)
    cluster.breaks(NEW, "CrashLoopBackOff")
    assert cluster.serves({OLD: 100})
    with pytest.raises(SoukError, match="CrashLoopBackOff"):
        cluster.roll_out(settings.model_copy(update={"deadline_seconds": 1}), NEW)  # KServe has time to act
    assert cluster.serves({OLD: 100})
    assert without_a_gap(cluster)


def test_a_canary_that_answers_takes_over_though_the_release_before_it_is_down(cluster):
    settings = rollout(mode="standard")
    cluster.roll_out(settings, OLD)
    cluster.roll_out(settings, NEW, 10)
    told = cluster.breaks(OLD, "CrashLoopBackOff")
    with pytest.raises(SoukError, match=f"Applied again: 10% of requests to {NEW}"):
        cluster.roll_out(settings, NEW, 50, clock=told)
    assert cluster.serves({NEW: 10})
    assert cluster.roll_out(settings, NEW) is True
    assert cluster.serves({NEW: 100})


def test_a_first_release_that_does_not_answer_stays_to_be_looked_at(cluster, settings):
    told = cluster.breaks(OLD, "ImagePullBackOff")
    with pytest.raises(
        SoukError, match=r"Ready is False: PredictorNotReady.*ImagePullBackOff.*Nothing was changed back"
    ):
        cluster.roll_out(settings, OLD, clock=told)
    # It never answered, so there is nothing to split with: the next one gets everything.
    assert cluster.roll_out(settings, NEW, 10) is True
    assert cluster.serves({NEW: 100})


def test_without_a_controller_the_reason_is_its_absence(cluster, settings):
    cluster.kserve.stop()
    with pytest.raises(SoukError, match="does KServe's controller run"):
        cluster.roll_out(settings.model_copy(update={"deadline_seconds": 0.1}), OLD)


def test_the_logger_of_the_drift_story_stays(cluster, settings):
    cluster.roll_out(settings, OLD)
    _, story = yaml.safe_load_all((ROOT / "kserve/drift.yaml").read_text("utf-8"))
    query = "fieldManager=souk-drift&force=false"
    cluster.admin("PATCH", f"{SERVICES}/souk?{query}", story, "application/apply-patch+yaml")
    cluster.roll_out(settings, NEW, 10)
    cluster.roll_out(settings, NEW)
    assert cluster.spec()["predictor"]["logger"] == story["spec"]["predictor"]["logger"]


def test_a_field_that_somebody_else_changed_is_named_and_taken_over_when_asked(cluster, settings):
    cluster.roll_out(settings, OLD)
    cluster.edit({"spec": {"predictor": {"model": {"storageUri": "pvc://elsewhere/x"}}}}, "kubectl-edit")
    with pytest.raises(
        SoukError, match=r"\.spec\.predictor\.model\.storageUri.*kubectl-edit.*--force-conflicts"
    ) as told:
        cluster.roll_out(settings, NEW)
    keep = "kubectl annotate inferenceservice souk helm.sh/resource-policy=keep --namespace souk"
    assert 0 < str(told.value).find(keep) < str(told.value).find("an empty recommender.storageUri"), (
        "Helm deletes it else"
    )
    assert cluster.spec()["predictor"]["model"]["storageUri"] == "pvc://elsewhere/x"
    assert cluster.roll_out(settings, NEW, force=True) is True
    assert cluster.serves({NEW: 100})


def test_what_an_operator_did_while_a_rollout_waits_stays(cluster, settings):
    """A pipeline brings a canary that does not come up; meanwhile somebody ends all canaries."""
    cluster.roll_out(settings, OLD)
    cluster.roll_out(settings, NEW, 10)
    cluster.kserve.broken[NEXT] = "ImagePullBackOff"
    told: list[str] = []

    def pipeline():
        with pytest.raises(SoukError) as caught:
            cluster.roll_out(settings, NEXT, 10)
        told.append(str(caught.value))

    worker = threading.Thread(target=pipeline)
    worker.start()
    assert until(lambda: NEXT in str(cluster.spec()))
    cluster.roll_out(settings, OLD)
    worker.join(20)
    assert re.search(f"somebody else changed it meanwhile: (all|0% of) requests to {OLD}", told[0])
    assert "It is left as it is now; `souk deploy --config FILE --release NAME`" in told[0]
    assert cluster.serves({OLD: 100})
    assert NEW not in str(cluster.spec()) and NEXT not in str(cluster.spec())


def test_what_an_operator_did_after_the_last_look_stays(cluster, settings, monkeypatch):
    cluster.roll_out(settings, OLD)
    cluster.roll_out(settings, NEW, 10)

    def operator(*_):  # between the look and the going back
        cluster.roll_out(settings, OLD)
        return []

    monkeypatch.setattr("souk.release.rollout._events", operator)
    with pytest.raises(SoukError, match="It is left as it is now"):
        cluster.roll_out(settings, NEXT, 10, clock=cluster.breaks(NEXT, "ImagePullBackOff"))
    assert cluster.serves({OLD: 100})


def test_a_service_that_was_deleted_while_a_rollout_waits_does_not_come_back(cluster, settings):
    cluster.roll_out(settings, OLD)
    cluster.kserve.broken[NEW] = "ImagePullBackOff"
    seconds = itertools.count()

    def clock():
        now = float(next(seconds))
        if now and cluster.exists():
            cluster.admin("DELETE", f"{SERVICES}/souk")
        return now

    with pytest.raises(SoukError, match=r"it has no release any more.*left as it is now"):
        cluster.roll_out(settings, NEW, clock=clock)
    assert not cluster.exists()


def test_who_scales_it_while_a_rollout_waits_changes_nothing_for_it(cluster, settings):
    cluster.roll_out(settings, OLD)
    told = cluster.breaks(NEW, "ImagePullBackOff")

    def clock():
        now = told()
        cluster.edit({"spec": {"predictor": {"maxReplicas": 3}}}, "kubectl-scale") if now else None
        return now

    with pytest.raises(SoukError, match=r"ImagePullBackOff.*could not be applied again.*maxReplicas"):
        cluster.roll_out(settings, NEW, 10, clock=clock)


def test_an_api_that_is_away_for_a_moment_is_waited_for(cluster, settings):
    cluster.kserve.broken[OLD] = "ContainerCreating"
    results: list[bool] = []
    worker = threading.Thread(target=lambda: results.append(cluster.roll_out(settings, OLD)))
    worker.start()
    assert until(lambda: any(method == "PATCH" and "/status" not in path for method, path in cluster.api.requests))
    cluster.api.outage = 503
    away = len(cluster.api.requests)
    assert until(lambda: len(cluster.api.requests) > away + 6)
    cluster.api.outage = 0
    del cluster.kserve.broken[OLD]
    worker.join(20)
    assert results == [True]


def test_a_promotion_waits_for_the_canary_as_it_is_before_it_gets_everything(settings):
    old, new = (storage_uri(settings, release) for release in (OLD, NEW))
    canary = {
        "standard": Traffic(old, percent=10, canary=new, canary_name="c"),
        "knative": Traffic(new, percent=10),
    }[settings.mode]
    first, last = stages(settings, NEW, 0, canary)
    assert first == canary
    assert (last.uri, last.percent, last.canary) == (new, None, "")


def test_a_change_of_the_replicas_comes_with_the_next_release(settings):
    more = settings.model_copy(update={"min_replicas": 2, "max_replicas": 3})
    for percent in (0, 10):
        assert stages(more, NEW, percent, Traffic(storage_uri(settings, OLD)))[-1].replicas == (2, 3)
