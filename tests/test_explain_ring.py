"""Explanations of a trained release whose reasons are known: the item of the last event decides (explain_fixtures)."""

import json
import re
import shutil
import time
from dataclasses import replace

import numpy as np
import pytest

from souk.cli import main
from souk.errors import SoukError
from souk.release.bundle import Bundle
from souk.schema import Kind
from souk.serving.explain.gradients import Explainer
from souk.serving.explain.user import _typed
from souk.serving.explain.words import to_json
from souk.serving.recommender import Recommender
from souk.serving.request import Request
from souk.spec import read_spec
from souk.state import UserState
from souk.state_rows import to_row
from souk.store import values
from souk.store.feast_store import FeastStore
from souk.workspace import Workspace
from tests.explain_fixtures import END, RING, history, item, write_ring
from tests.serving_fixtures import write_shop
from tests.serving_process import JSON, V1, serving

pytestmark = pytest.mark.slow
HISTORIES = ([3, 9, 1, 5], [5, 1, 9, 3], [0, 4, 4, 8, 11], [2], [])
EXPLAIN = V1.replace("predict", "explain")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return write_ring(tmp_path_factory.mktemp("ring"))


@pytest.fixture(scope="module")
def recommender(workspace):
    return Recommender.load(Bundle.load(workspace.served_folder()), None, None)


@pytest.fixture(scope="module")
def explainer(recommender):
    return Explainer(recommender)


def by(places, **changes):
    return Request("u000", 5, END, state=history("u000", places), **changes)


def features(explanation):
    return {part.name: part.contribution for part in explanation.features}


@pytest.mark.parametrize("places", HISTORIES)
@pytest.mark.parametrize("name", ["", item(0), item(7)])
def test_the_parts_add_up_to_the_score_less_the_baseline(explainer, places, name):
    found = explainer.explain(by(places), name)
    parts = [part.contribution for part in (*found.events, *found.features)]
    assert sum(parts) == pytest.approx(found.log_score - found.log_baseline, rel=0.05)
    assert found.gap == pytest.approx(sum(parts) - found.way, abs=1e-9)
    assert len({part.name for part in found.features}) == len(found.features)
    assert len(found.events) == len(places)


@pytest.mark.parametrize(
    ("place", "visit", "words"),
    [
        (0, "", [["a"], None]),
        (0, "a", [["a"], ["a"]]),
        (2, "b", [[], ["b"]]),
        (2, "a", [[], []]),
        (4, "b", [[], []]),
    ],
)
def test_what_item_user_and_visit_have_in_common_is_told_in_words(explainer, place, visit, words):
    """The user lives in a; the items at 0 and 1 are made in a, those at 2 and 3 in b."""
    found = explainer.explain(by([3, 9, 1, 5], context={"from": visit}), item(place))
    value = {part.name: part.value for part in found.features}
    assert [value[f"match:{own}:item_made_in"] for own in ("user_country", "context_from")] == words


def test_a_visitor_is_who_is_not_known(recommender):
    """No id is an unknown one: training never moved anything else."""
    asked = [Request(who, 5, END, state=replace(history(who, [3, 9, 1]), profile={})) for who in ("", "stranger")]
    visitor, stranger = recommender.recommend(asked)
    assert [own.item_id for own in visitor.items] == [own.item_id for own in stranger.items]
    assert [own.score for own in visitor.items] == pytest.approx([own.score for own in stranger.items], rel=1e-5)


def test_a_visitor_is_told_that_the_town_was_looked_at(explainer):
    """The items at 0 and 1 are made in a: of the visitor's two events one tells of it, the user states it."""
    name = "match:user_country:item_made_in"
    visitor = replace(history("", [1, 9]), profile={})
    found, stated = (explainer.explain(asked, item(0)) for asked in (Request("", 5, END, state=visitor), by([1, 9])))
    assert found.gap == pytest.approx(0, abs=0.05 * abs(found.way))
    assert name in features(stated) and name not in features(found)  # the events have it
    nothing = explainer.explain(Request("", 5, END, state=replace(history("", []), profile={})), item(0))
    assert features(nothing)[name] == 0


@pytest.mark.parametrize(("country", "words"), [("b", []), ("a", ["a"]), ("", ["a"])])
def test_the_country_that_a_request_states_is_the_one_that_matches(explainer, country, words):
    """The item at 0 is made in a. Somebody else, of whom nothing is stored, states what is stored of the user."""
    stated = {"profile": {"country": country}} if country else {}
    stranger = replace(history("u001", [3, 9, 1, 5]), profile={})
    asked = [by([3, 9, 1, 5], **stated), Request("u001", 5, END, state=stranger, profile={"country": country or "a"})]
    for request in asked:
        value = {part.name: part.value for part in explainer.explain(request, item(0)).features}
        assert (value["match:user_country:item_made_in"], value["user_country"]) == (words, country or "a")


@pytest.mark.parametrize("places", [[3, 9, 1, 5], [2], []])
def test_the_parts_add_up_where_the_body_of_the_ranker_has_a_say(workspace, places):
    """The ring teaches it nothing, so that content, user and moment add nothing there; it gets weights by lot."""
    recommender = Recommender.load(Bundle.load(workspace.served_folder()), None, None)
    draw, ranker = np.random.default_rng(4), recommender.parts[2]
    ranker._read, ranker._rank = (ranker._saved.by_tensorflow(name) for name in ("goods", "serve"))  # not constants
    for variable in ranker._saved._model.signatures["explain"].variables:
        if "embeddings" in variable.name or ("body" in variable.name and variable.shape[-1] == 1):
            variable.assign(draw.normal(0, 3.0 if "items" in variable.name else 0.3, variable.shape))
    ranker._goods = ranker._goods_of(ranker._items)
    changed = {model.path: model._saved.by_tensorflow("explain") for model in recommender.parts[1:]}
    explainer = Explainer(recommender, lambda model, signature, inputs: changed[model](inputs))
    found, slate = explainer.explain(by(places)), recommender.recommend([by(places)])[0]
    parts = [part.contribution for part in (*found.events, *found.features)]
    assert sum(parts) == pytest.approx(found.way, rel=0.05)
    assert found.item_id == slate.items[0].item_id
    assert np.exp(found.log_score) == pytest.approx(slate.items[0].score, rel=1e-3)
    given = features(found)
    told = [given[name] for name in ("item_price", "item_category", "query_hour")]
    assert all(told) and sum(map(abs, told)) > 0.05 * abs(found.way)  # without them the parts would not add up


def test_what_is_explained_is_the_score_of_the_slate(explainer, recommender):
    slate = recommender.recommend([by([3, 9, 1, 5])])[0]
    for place, own in enumerate(slate.items):
        found = explainer.explain(by([3, 9, 1, 5]), own.item_id)
        assert np.exp(found.log_score) == pytest.approx(own.score, rel=1e-2)
        assert (found.place, found.source, found.title) == (place, own.source, own.title)
        assert found.log_baseline < 0 and found.why_not is None
    assert explainer.explain(by([3, 9, 1, 5])).item_id == slate.items[0].item_id


@pytest.mark.parametrize("places", [[3, 9, 1, 5], [5, 1, 9, 3], [0, 4, 8, 11], [8, 6, 2, 10]])
def test_the_event_that_decides_has_the_largest_part(explainer, places):
    found = explainer.explain(by(places), item(places[-1] + 1))
    shares = [part.contribution for part in found.events]
    assert shares[-1] == max(shares) > 2 * max(map(abs, shares[:-1]))
    assert shares[-1] > max(map(abs, features(found).values()))
    assert f"Item {places[-1]}” (rated 1 day ago" in to_json(found)["sentences"][1].split("”, “")[0]


def test_what_no_model_can_use_adds_nothing(explainer):
    found = explainer.explain(by([3, 9, 1, 5]))
    largest = max(abs(part.contribution) for part in found.events)
    assert features(found)["age"] == features(found)["age_known"] == 0  # known of no item
    assert abs(features(found)["user_country"]) < 0.1 * largest  # drawn by lot
    stranger = explainer.explain(Request("nobody", 5, END, state=UserState("nobody")))
    assert features(stranger)["user_id"] == features(stranger)["user_country"] == 0
    assert stranger.events == () and features(stranger)["similarity_last"] == 0


def test_an_item_that_may_not_be_shown_is_explained_and_said_to_be_so(explainer, monkeypatch):
    left_out = by([3, 9, 1, 5], exclude=frozenset([item(6)]))
    found, shown = explainer.explain(left_out, item(6)), explainer.explain(by([3, 9, 1, 5]), item(6))
    assert (found.why_not, found.place, found.source, shown.why_not) == ("withheld", None, "", None)
    assert found.log_score == pytest.approx(shown.log_score, abs=1.0)
    assert "It is not shown to this user" in to_json(found)["sentences"][-1]
    until = explainer._items.available_until.copy()
    until[explainer._recommender.catalogue.positions[item(6)]] = END - 1
    monkeypatch.setattr(explainer, "_items", replace(explainer._items, available_until=until))
    assert explainer.explain(by([3, 9, 1, 5]), item(6)).ended == END - 1 and shown.ended is None
    alone = explainer.explain(by([5], exclude=frozenset(item(n) for n in range(RING))), item(6))
    assert np.isfinite(alone.log_score) and alone.place is None


def test_mistakes_are_named(explainer, tmp_path):
    with pytest.raises(SoukError, match=r"an item of release ring-.*Received: 'boots'. Look for"):
        explainer.explain(by([3]), "boots")
    with pytest.raises(SoukError, match="no candidate"):
        explainer.explain(by([3], exclude=frozenset(item(n) for n in range(RING))))
    older = Explainer(Recommender.load(write_shop(tmp_path / "shop"), None, None))
    with pytest.raises(SoukError, match="signature explain"):
        older.explain(Request("ann", 5, END, state=UserState("ann")))


def test_the_command_prints_a_table_and_sentences(workspace, capsys):
    words = ["explain", "--workspace", str(workspace.root), "--at", str(END), "--user"]
    assert main([*words, "u000", "--item", item(9)]) == 0
    text = capsys.readouterr().out
    assert (
        "past event" in text
        and "Because of “Item 8” (rated 1 day ago" in text
        and "rating    i08  Item 8" in text
        and "add up" in text
    )
    assert main([*words, "new"]) == 0 and "past event" not in capsys.readouterr().out
    assert main([*words, "new", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["events"] == [] and found["degraded"] == ["unknown_user"] and found["position"] == 0
    assert found["sentences"][-2].startswith("This user is not known")
    assert main(["explain", "--workspace", str(workspace.root / "none"), "--user", "u000"]) == 2
    assert "a release at" in capsys.readouterr().err


def test_the_command_takes_a_profile_and_a_context(workspace, capsys):
    """As a request has them, with what is told of them."""
    words = ["explain", "--workspace", str(workspace.root), "--at", str(END), "--user", "new", "--json"]
    assert main([*words, "--profile", "country=b", "--context", "from=a"]) == 0
    found = json.loads(capsys.readouterr().out)
    values = {part["name"]: part["value"] for part in found["features"]}
    assert (values["user_country"], values["context_from"], found["degraded"]) == ("b", "a", ["unknown_user"])
    for given, told in (
        ("country", "Expected --profile NAME=VALUE. Received: 'country'"),
        ("land=de", "request.profile: a field to be one of"),
    ):
        assert main([*words, "--profile", given]) == 2
        assert told in capsys.readouterr().err
    assert main([*words[:-1], "--context", "from=nowhere"]) == 0
    assert "degraded: unknown_user\n" in capsys.readouterr().out


def test_the_command_says_why_a_history_is_not_read(workspace, tmp_path, capsys, monkeypatch):
    place = Workspace(shutil.copytree(workspace.root, tmp_path / "shop", symlinks=True))
    spec = read_spec(place.served_folder() / "spec.json")
    store = FeastStore(place.feast, spec)

    def last(user):
        assert main(["explain", "--workspace", str(place.root), "--at", str(END), "--user", user, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        return [*found["degraded"], found["sentences"][-1]]

    reason, said = last("u000")
    assert reason == "stale_features" and re.fullmatch(r"The user's state was written \d+ \w+ ago; `souk users.*", said)
    (place.feast / "registry.db").rename(tmp_path / "registry.db")
    reason, said = last("u000")
    assert reason == "features_unavailable" and said.startswith("The store of user states did not answer. Expected ")
    assert "FileNotFoundError: no file" in said and "`souk users publish`" in said
    (tmp_path / "registry.db").rename(place.feast / "registry.db")
    reason, said = last("mistyped")
    assert reason == "unknown_user" and said.startswith("The store has no state of 'mistyped': look for a typing error")
    store.write([history("u000", [3, 4, 8])], time.time_ns() // 1_000_000)
    (said,) = last("u000")
    assert "store" not in said and "state" not in said
    with monkeypatch.context() as patch:
        patch.setattr(values, "to_row", lambda one, spec: {**to_row(one, spec), "daily_count": [1] * 9})
        store.write([history("u000", [3, 4, 8])], time.time_ns() // 1_000_000)
    reason, said = last("u000")
    assert reason == "unknown_user" and said.startswith("What the store has of 'u000' is no state")


def test_the_server_explains(workspace, explainer, tmp_path):
    asked = {"user_id": "u000", "timestamp": END, "item_id": item(9)}
    with serving(workspace.root, tmp_path / "serve.log") as server:

        def call(path, *instances):
            status, body = server.call(path, json.dumps({"instances": instances}), JSON)
            return status, json.loads(body)

        status, body = call(EXPLAIN, asked, {"user_id": "new", "timestamp": END, "k": 3, "item_id": None})
        assert status == 200, body
        known, new = body["explanations"]
        stored = Request("u000", 20, END, state=history("u000", [3, 4, 8]))  # 20: the release's slate size
        expected = to_json(explainer.explain(stored, item(9)))
        *sentences, note = known["sentences"]
        assert known["degraded"] == ["stale_features"] and note.startswith("What is known of the user was written long")
        assert sentences == expected["sentences"] and known["position"] == expected["position"]
        assert known["score"] == pytest.approx(expected["score"], rel=1e-4)
        assert new["degraded"] == ["unknown_user"] and new["position"] == 0
        refused = {
            "an item of release": [{**asked, "item_id": "boots"}],
            "instances[0].item_id to be a text": [{**asked, "item_id": 9}],
            "at most 8 instances": [asked] * 9,
            "instances[0]: a field": [{**asked, "item": "1"}],
        }
        for expected, instances in refused.items():
            status, body = call(EXPLAIN, *instances)
            assert status == 400 and expected in body["error"], body
        status, body = call(EXPLAIN, asked, {**asked, "timeout_ms": 1})
        assert status == 503 and "within the timeout_ms of the call" in body["error"]
        status, body = call(V1, asked)
        assert status == 400 and "belongs to :explain" in body["error"]
        assert server.metric('souk_requests_total{code="200",protocol="explain"}') == 1
        assert server.metric('souk_impressions_answered_total{sink="files"}') == 0
    assert "i08" not in (tmp_path / "serve.log").read_text()


def test_values_of_the_command_line_are_those_of_a_request():
    kinds = {"age": Kind.NUMERIC, "tags": Kind.LIST, "taste": Kind.VECTOR, "city": Kind.CATEGORICAL}
    given = ["age=-2.5", "tags=a,b", "tags=c", "taste=[1, 0.5]", "city=5=V"]
    assert _typed("--profile", given, kinds) == {"age": -2.5, "tags": ["a,b", "c"], "taste": [1, 0.5], "city": "5=V"}
    assert _typed("--profile", ['tags=["a", "b"]', "age=old"], kinds) == {"tags": ["a", "b"], "age": "old"}
    for wrong, told in ((["=x"], "NAME=VALUE"), (["city=a", "city=b"], "--profile city once. Received: 'a' and 'b'")):
        with pytest.raises(SoukError, match=told):
            _typed("--profile", wrong, kinds)
