"""What a request states of its user: it counts for that request alone, as what the store would know."""

import json
import math

import orjson
import pytest
from kserve import InferInput, InferRequest

from souk.config import Columns
from souk.errors import SoukError
from souk.release.bundle import Bundle
from souk.release.manifest import write_manifest
from souk.serving.budget import Guards
from souk.serving.impressions.records import instance_of
from souk.serving.model import instances_of as v1
from souk.serving.protocol.tensors import instances_of
from souk.serving.recommender import Recommender
from souk.serving.request import Request, RequestParser
from souk.serving.slate_cache import SlateCache
from souk.serving.stated import LONGEST
from souk.serving.user_cache import UserCaches
from souk.serving.users import known_states
from souk.spec import FeatureSpec
from souk.state import UserState, features_at
from souk.state_rows import from_row, to_row
from souk.store.memory import MemoryStore
from tests.arms_fixtures import arms_of, beside, user_in
from tests.recommender_fixtures import CANDIDATES, KNOWN, POPULAR, Failing, expected
from tests.serving_fixtures import IDS, NOW, PRICES, SPEC, STATES, write_shop, write_workspace

WIDE = FeatureSpec(
    dataset="wide",
    columns=Columns.model_validate(
        {
            "events": {"device": "categorical"},
            "users": {
                "language": "categorical",
                "age": "numeric",
                "hobbies": "list",
                "home": "path",
                "about": "text",
                "taste": "vector[2]",
            },
        }
    ),
    objectives=SPEC.objectives,
    repeat=SPEC.repeat,
    build=SPEC.build,
)
PARSER = RequestParser(WIDE, 10, 50)
ALL = {
    "language": "de",
    "age": 30,
    "hobbies": ["chess", "go"],
    "home": "Asia/Japan/Kyōto",
    "about": "Likes old maps, and tea.",
    "taste": [0.5, -1],
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_shop(tmp_path_factory.mktemp("profile") / "shop", CANDIDATES)


@pytest.fixture(scope="module")
def recommender(bundle):
    store = MemoryStore(SPEC)
    store.write(STATES, NOW)
    return Recommender.load(bundle, None, UserCaches(60).of(store), Guards())


def ids(slate):
    return [item.item_id for item in slate.items]


def dear_first(slate):
    prices = [PRICES[item.item_id] for item in slate.items if item.scores]
    return prices == sorted(prices, reverse=True)


def features_of(store, **instance):
    request = PARSER.parse(instance, NOW)
    notes = [list(request.degraded)]
    [state] = known_states([request], store, WIDE, notes)
    return features_at(state, request.timestamp, WIDE, request.context).user, notes[0]


@pytest.mark.parametrize("names", [[name] for name in ALL] + [list(ALL), []], ids=str)
def test_an_unknown_user_who_states_it_has_the_features_of_one_of_whom_it_is_stored(names):
    stated = {name: ALL[name] for name in names}
    store = MemoryStore(WIDE)
    store.write([from_row(to_row(UserState("ann", profile=stated), WIDE), WIDE)], NOW)
    stored, none = features_of(store, user_id="ann")
    told, notes = features_of(store, user_id="new", profile=stated)
    assert (none, notes) == ([], ["unknown_user"])
    assert repr(told) == repr({**stored, "user_id": "new"})  # NaN is not equal to itself, its text is
    session, _ = features_of(None, events=[], profile=stated)
    assert repr(session) == repr({**stored, "user_id": ""})


def test_what_is_stated_wins_over_what_is_stored_and_the_rest_of_it_stays():
    store = MemoryStore(WIDE)
    store.write([UserState("ann", profile=ALL)], NOW)
    found, _ = features_of(store, user_id="ann", profile={"language": "fr", "age": None})
    before, _ = features_of(store, user_id="ann")
    assert found == {**before, "user_language": "fr"} and before["user_language"] == "de"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("language", 5),
        ("language", ["de"]),
        ("language", "\ud800"),
        ("language", "x" * (LONGEST + 1)),
        ("about", ["old", "maps"]),
        ("home", {}),
        ("age", "30"),
        ("age", True),
        ("age", math.nan),
        ("age", 10**400),
        ("hobbies", "chess"),
        ("hobbies", ["chess", 1]),
        ("hobbies", ["x" * (LONGEST + 1)]),
        ("taste", [0.5]),
        ("taste", [0.5, "1"]),
    ],
)
def test_a_wrong_value_is_named_and_leaves_what_the_store_has(name, value):
    store = MemoryStore(WIDE)
    store.write([UserState("ann", profile=ALL)], NOW)
    found, notes = features_of(store, user_id="ann", profile={name: value})
    assert notes == [f"malformed_feature:{name}"] and found == features_of(store, user_id="ann")[0]


def test_the_longest_text_is_one():
    assert PARSER.parse({"user_id": "u", "profile": {"language": "x" * LONGEST}}, NOW).degraded == ()


def test_a_slate_follows_the_region_that_is_stated_and_the_next_one_that_which_is_stored(recommender):
    """The ranker likes dear items for the north, and bob lives in the south."""
    north = Request("bob", 8, NOW, profile={"region": "north"})
    before, stated, after = (
        recommender.recommend([each])[0] for each in (Request("bob", 8, NOW), north, Request("bob", 8, NOW))
    )
    assert ids(before) == ids(after) == expected("bob", 8)
    assert ids(stated) != ids(before) and dear_first(stated) and not dear_first(before)
    assert stated.degraded == () and stated.features["user_region"] == "north"
    together = recommender.recommend([north, Request("bob", 8, NOW)])
    assert [ids(slate) for slate in together] == [ids(stated), ids(before)], "also in one batch"


def test_a_user_whom_nobody_knows_has_the_slate_of_one_with_the_same_profile_and_events(recommender):
    request = Request("new", 8, NOW, events=KNOWN["ann"].events, profile={"region": "north"})
    (slate,) = recommender.recommend([request])
    assert ids(slate) == expected("ann", 8) and slate.degraded == ("unknown_user",)


@pytest.mark.parametrize("asker", [{"user_id": "new"}, {"events": []}], ids=str)
def test_a_user_without_events_gets_what_is_popular_in_the_segment_that_is_stated(recommender, asker):
    parser = RequestParser(SPEC, CANDIDATES, 50)
    north, nowhere = (
        recommender.recommend([parser.parse({**asker, **more}, NOW)])[0]
        for more in ({"profile": {"region": "north"}}, {})
    )
    brought = {item.item_id for item in north.items if "segment_popular" in item.source}
    assert brought and brought <= {IDS[place] for place in POPULAR["north"]}
    assert dear_first(north) and not dear_first(nowhere) and len(north.items) == CANDIDATES
    assert north.degraded == nowhere.degraded == (("unknown_user",) if "user_id" in asker else ())


def test_a_store_that_is_down_leaves_what_is_stated(bundle):
    recommender = Recommender.load(bundle, None, Failing(OSError("down")), Guards())
    (slate,) = recommender.recommend([Request("ann", 8, NOW, profile={"region": "north"})])
    assert dear_first(slate) and slate.degraded == ("features_unavailable",)


def test_without_models_a_slate_is_of_what_is_popular_in_the_segment_that_is_stated(recommender):
    down = recommender.connected(None, None)
    down.query_tower = down.ranker = Failing(OSError("down"))
    (slate,) = down.recommend([Request("", 5, NOW, state=UserState(""), profile={"region": "north"})])
    assert ids(slate) == [IDS[place] for place in POPULAR["north"]]


def test_kept_slates_of_visitors_are_told_apart_by_what_they_state(recommender):
    def visitor(region):
        return Request("", 8, NOW, state=UserState(""), profile={"region": region} if region else {})

    cache, regions = SlateCache(10), ("north", "south", "", "north", "south", "")
    slates = [cache.recommend(recommender, [visitor(region)])[0] for region in regions]
    assert cache.reads == {"miss": 3, "hit": 3}
    assert [ids(slate) for slate in slates] == [ids(recommender.recommend([visitor(region)])[0]) for region in regions]
    assert ids(slates[0]) != ids(slates[1])
    together = SlateCache(10).recommend(recommender, [visitor(region) for region in regions])
    assert [ids(slate) for slate in together] == [ids(slate) for slate in slates]


def test_v2_has_it_as_json_texts():
    profiles = ['{"language": "de"}', "", "null"]
    columns = {"user_id": ["a", "b", "c"], "profile": profiles}
    inputs = [InferInput(name, [3], "BYTES", values) for name, values in columns.items()]
    assert instances_of(InferRequest("souk", inputs)) == [
        {"user_id": "a", "profile": {"language": "de"}},
        {"user_id": "b"},
        {"user_id": "c"},
    ]


@pytest.mark.parametrize(
    ("number", "taken"),
    [(10**17, 10**17), (1 - 10**18, 1 - 10**18), (2**63, None), (-(2**63) - 1, None), (10**29, None)],
)
def test_v2_reads_numbers_beyond_64_bits_as_v1_so_that_impressions_can_be_written(number, taken):
    stated = {"age": number, "taste": [number, 0]}
    inputs = [InferInput("events", [1], "BYTES", ["[]"]), InferInput("profile", [1], "BYTES", [json.dumps(stated)])]
    bodies = (
        instances_of(InferRequest("souk", inputs)),
        v1(json.dumps({"instances": [{"events": [], "profile": stated}]})),
    )
    written = [orjson.dumps(instance_of(PARSER.parse(body[0], NOW))) for body in bodies]  # as the log does
    assert written[0] == written[1]
    expected = {} if taken is None else {"profile": {"age": taken, "taste": [taken, 0]}}
    assert {**orjson.loads(written[0]), **expected} == orjson.loads(written[0])


def test_an_event_of_the_request_has_none():
    click = {"item_id": "i", "event_type": "click", "profile": {"language": "de"}}
    with pytest.raises(SoukError, match=r"events\[0\]: a field to be one of .* Received: 'profile'"):
        PARSER.parse({"user_id": "u", "events": [click]}, NOW)


def test_what_a_release_never_saw_is_in_the_answer(bundle):
    """Its vocabulary is written beside the query tower, as TensorFlow Transform does."""
    assert bundle.words == {}
    (bundle.query_tower / "assets").mkdir(exist_ok=True)
    (bundle.query_tower / "assets" / "user_region").write_text("north\nsouth\n")
    known = Bundle.load(bundle.folder)
    parser = RequestParser(SPEC, 10, 50, words=known.words)
    asked = [parser.parse({"events": [], "profile": {"region": region}}, NOW) for region in ("north", "East")]
    slates = Recommender.load(known, None, None).recommend(asked)
    assert [slate.degraded for slate in slates] == [(), ("unknown_value:region",)]


def test_an_arm_s_release_is_asked_what_it_never_saw(tmp_path):
    """It knows the east, where the main release knows the west."""

    def knows(folder, regions):
        (folder / "query_tower/assets").mkdir(exist_ok=True)
        (folder / "query_tower/assets/user_region").write_text("\n".join(regions))
        write_manifest(folder, folder.name, {}, {})

    workspace = write_workspace(tmp_path / "workspace")
    beside(workspace, "shop-2", lambda folder: knows(folder, ["north", "east"]))
    knows(workspace.served_folder(), ["north", "west"])
    text = "experiments: {next: {arms: {control: {share: 0.5}, other: {share: 0.5, release: shop-2}}}}"
    arms = arms_of(workspace, text)

    def told(arm, **stated):
        body = {"user_id": user_in(text, next=arm), "profile": {"region": "north"}, **stated}
        requests = arms.now.main.parser.parse_all([body], NOW, lambda: "r", bound=arms.now)
        (slate,) = arms.recommend(requests)
        return [reason for reason in slate.degraded if reason != "unknown_user"]

    east, west, neither = ({"profile": {"region": region}} for region in ("east", "west", "south"))
    assert [told(arm, **east) for arm in ("control", "other")] == [["unknown_value:region"], []]
    assert [told(arm, **west) for arm in ("control", "other")] == [[], ["unknown_value:region"]]
    for arm in ("control", "other"):
        assert told(arm) == [] and told(arm, **neither) == ["unknown_value:region"]
        assert told(arm, context={"device": 5}) == ["malformed_feature:device"], "it stays"


@pytest.mark.parametrize(("name", "into"), [("device", "context"), ("age", "profile")])
def test_a_declared_column_beside_its_field_is_told_where_it_belongs(name, into):
    with pytest.raises(SoukError) as error:
        PARSER.parse({"user_id": "u1", name: "x"}, NOW, "r")
    assert f'Received: \'{name}\'. It belongs into {into}: "{into}": {{"{name}": ...}}.' in str(error.value)
    with pytest.raises(SoukError, match="Did you mean 'context'"):
        PARSER.parse({"user_id": "u1", "contexts": {}}, NOW, "r")
