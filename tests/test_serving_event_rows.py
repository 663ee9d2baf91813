"""Rows of sent events: what is typed, what is refused alone and why, and how a line of the log says them."""

import contextlib
import math

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from souk.errors import SoukError
from souk.ingest.live import EventCheck
from souk.release.manifest import read_manifest, write_manifest
from souk.serving.events import ids as event_ids
from souk.serving.events.ids import EventIds
from souk.serving.events.log import event, line
from souk.serving.events.route import MAX_ROWS, rows_of
from souk.serving.events.states import event_of
from tests.arms_fixtures import reader_of
from tests.serving_fixtures import NOW, SPEC, write_workspace
from tests.test_serving_events import row

CHECK = EventCheck(SPEC.columns.events)
GOOD = row(1, session_id="s", value=2.5, device="tv", basket=3)


def test_a_good_row_has_the_types_of_the_contract():
    typed, refused = CHECK.check([GOOD, {**GOOD, "timestamp": str(NOW), "user_id": 7, "value": None}], NOW)
    assert refused == {} and typed[0] == {**GOOD, "basket": 3.0}
    assert (typed[1]["timestamp"], typed[1]["user_id"], "value" in typed[1]) == (NOW, "7", False)


@pytest.mark.parametrize(("time", "remedy"), [(0, "milliseconds"), (1.5, "milliseconds"), (1_700_000_000, "seconds")])
def test_a_time_that_ingest_will_not_take_is_none(time, remedy):
    """Where the log is of later years; one whose clock began with it has such times."""
    rows = [{**GOOD, "timestamp": time}, GOOD]
    typed, refused = EventCheck(SPEC.columns.events, later=True).check(rows, NOW)
    assert (
        [*refused] == [0]
        and remedy in refused[0]
        and f"{time}"[:3] in refused[0]
        and typed[1]["timestamp"] == GOOD["timestamp"]
    )
    assert CHECK.check([{**GOOD, "timestamp": 0}], NOW)[1] == {}


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"event_id": None},
            "a value for event_id, which is required. Received: null. Files need none; here, give each event",
        ),
        ({"user_id": ""}, "a value for user_id"),
        ({"timestamp": None}, "a value for timestamp"),
        (
            {"event_type": "clik"},
            "event_type to be one of cart, click, hide, impression, purchase, rating, return. Received: 'clik'. "
            "Did you mean 'click'?",
        ),
        ({"event_type": "\ud800"}, "UTF-8 in event_type"),
        (
            {"timestamp": "2026-11-29T01:00:00+01:00"},
            "Received: '2026-11-29T01:00:00+01:00'. Send 1795910400000: files may have",
        ),
        ({"timestamp": "2026-11-29T01:00:00"}, "Received: '2026-11-29T01:00:00'. See docs/data.md."),  # of no zone
        ({"timestamp": "2026-99-29T01:00:00Z"}, "Received: '2026-99-29T01:00:00Z'. See docs/data.md."),
        ({"timestamp": "yesterday"}, "timestamp to be UTC epoch milliseconds (int64). Received: 'yesterday'"),
        ({"timestamp": -1}, "timestamp to be UTC epoch milliseconds"),
        (
            {"timestamp": NOW // 1000},
            "timestamp to be milliseconds since 1970. Received: 1700000000, which looks like seconds. Multiply it by",
        ),
        ({"arrived_at": str(NOW // 1000)}, "arrived_at to be milliseconds since 1970. Received: '1700000000', which"),
        (
            {"timestamp": NOW + 300_001},
            f"timestamp not in the future. Received: {NOW + 300_001}. This server's clock says {NOW} "
            "(2023-11-14 22:13:20 UTC), and allows 300 seconds more: set the sender's.",
        ),
        ({"timestamp": NOW * 1000}, f"Received: {NOW * 1000}. It looks like microseconds: divide it by 1,000."),
        (
            {"timestamp": NOW * 1_000_000},
            f"Received: {NOW * 1_000_000}. It looks like nanoseconds: divide it by 1,000,000",
        ),
        ({"arrived_at": str(NOW * 1000)}, "It looks like microseconds: divide it by 1,000."),
        ({"position": -1}, "position of at least 0"),
        ({"price": "dear"}, "price to be of type double"),
        ({"value": 1e19}, "value of at most 1e"),
        ({"item_id": ["i"]}, "item_id to be a text of 1 to 512"),
        ({"session_id": "x" * 513}, "session_id to be a text of 1 to 512"),
        ({"user_id": "\ud800"}, "UTF-8 in user_id"),
        ({"usr": 1}, "Did you mean 'user_id'?"),
        ({"\ud800": 1}, "a column of events to be one of arm, "),
        ({"basket": nested(100_000)}, "a flat row"),
    ],
)
def test_a_row_that_is_wrong_is_refused_alone(change, reason):
    typed, refused = CHECK.check([GOOD, {**GOOD, **change}, GOOD], NOW)
    assert list(refused) == [1] and reason in refused[1] and typed[1] == {} and typed[0] == typed[2] != {}


def test_a_row_with_the_names_of_the_files_is_told_those_that_they_stand_for():
    names = {"user_id": ["leser"], "item_id": ["artikel"], "device": ["user_id"], "basket": ["korb"]}
    names["event_id"] = ["kauf", "artikel", "kauf"]  # by a template
    check = EventCheck(SPEC.columns.events, names=names)
    own = {("leser" if n == "user_id" else "artikel" if n == "item_id" else n): v for n, v in GOOD.items()}
    both = {"kauf": 1, "artikel": "i"}
    typed, refused = check.check([GOOD, own, {**GOOD, "korb": 3}, {**GOOD, "leserin": 3}, both], NOW)
    assert typed[0] == CHECK.check([GOOD], NOW)[0][0] and list(refused) == [1, 2, 3, 4]
    said = (
        "Expected the names of columns of events that Souk gives them. Received: {!r}, as the files have it. Send {}."
    )
    assert refused[1] == said.format(
        next(n for n in own if [n] in names.values()), "user_id for leser, item_id for artikel, event_id for artikel"
    )
    assert refused[4] == said.format("kauf", "item_id for artikel, event_id for kauf and artikel")
    assert refused[2] == said.format("korb", "basket for korb")
    assert "a column of events to be one of arm, " in refused[3] and "leserin" in refused[3]


def test_an_event_id_that_the_files_have_for_the_item_is_told():
    check = EventCheck(SPEC.columns.events, names={"item_id": ["event_id"]})
    row = {name: value for name, value in GOOD.items() if name != "item_id"}
    _, refused = check.check([row, GOOD], NOW)
    told = "The config reads event_id of the files as item_id: send it by that name."
    assert list(refused) == [0] and refused[0].startswith("Expected a value for item_id") and told in refused[0]
    check = EventCheck(SPEC.columns.events, names={"item_id": ["event_id"], "user_id": ["leser"]})
    row["leser"] = row.pop("user_id")
    _, refused = check.check([row, {**row, "item_id": "i"}], NOW)
    assert refused[0].endswith("Send item_id for event_id, user_id for leser.")
    assert refused[1].endswith("Send user_id for leser.")


TYPES = {"listing_view": "click", "view*": "click", "C*": "return", "Cart": "cart", "*": "purchase"}


@pytest.mark.parametrize(
    ("word", "kind", "remedy"),
    [
        ("listing_view", "click", ""),
        (" listing_view ", "click", ""),
        ("view_cart", "click", ""),  # near to "cart", but the config is surer
        ("C536", "return", ""),
        ("Cart", "cart", ""),  # before the pattern that fits it, too
        ("Order", "purchase", ""),
        ("purchse", "", "Did you mean 'purchase'?"),  # which "*" fits, as any word
    ],
)
def test_a_type_that_the_config_maps_is_told_the_one_to_send(word, kind, remedy):
    check = EventCheck(SPEC.columns.events, types=TYPES)
    typed, refused = check.check([GOOD, {**GOOD, "event_type": word}], NOW)
    remedy = remedy or f"Send {kind}: the config maps {word.strip()} to it."
    expected = "event_type to be one of cart, click, hide, impression, purchase, rating, return"
    assert typed[0]["event_type"] == GOOD["event_type"]
    assert refused == {1: f"Expected {expected}. Received: {word!r}. {remedy}"}


def test_no_type_is_told_that_would_be_refused_too():
    types = {"listing_view": "click", "LISTING": "rating"}
    text = 'feature {name: "event_type" type: BYTES string_domain {value: "rating"}}'
    text += ' feature {name: "device" type: BYTES} feature {name: "basket" type: FLOAT}'
    rows = [{**GOOD, "event_type": word} for word in ("listing_view", "LISTING", "LISTing")]
    _, refused = EventCheck(SPEC.columns.events, text, types=types).check(rows, NOW)
    assert refused[0].endswith("Received: 'listing_view'. See docs/data.md.")
    assert refused[1].endswith("Received: 'LISTING'. Send rating: the config maps LISTING to it.")
    assert refused[2].endswith("Received: 'LISTing'. See docs/data.md.")  # the case is the file's


def test_a_server_knows_the_names_of_the_files_that_its_release_is_of(tmp_path):
    workspace = write_workspace(tmp_path / "workspace")
    manifest = read_manifest(workspace.current)
    names = {"names": {"events": {"user_id": "leser"}, "items": {"price": "preis"}}}
    more = {"parts": {"items": {"available_until": ["sold", "ends"]}}, "event_types": {"view": "click"}}
    more |= {"separators": {"category": " > "}}
    answers = []
    for data in (names, {**names, **more}):  # the first is of a version that kept no more
        write_manifest(workspace.current, manifest["name"], manifest["content"], {"data": data})
        ready = reader_of(workspace).ready(workspace.current)
        served = ready.serve()
        _, refused = served.check.check([{**GOOD, "leser": "ann"}, {**GOOD, "event_type": "view"}], NOW)
        rows = [{"item_id": "g0-00", "preis": 3.0}, {"item_id": "g0-00", "sold": NOW}]
        rows += [{"item_id": "g0-00", "preis": 3.0, "ends": NOW, "sold": None}]
        rows += [{"item_id": "g0-00", "category": "a > b"}] * (data is not names)
        taken = [each.reason for each in served.live.upsert(rows).refused]
        with pytest.raises(SoukError, match="to it" if data is not names else "histories are made of"):
            served.parser.parse({"user_id": "ann", "events": [{"item_id": "g0-00", "event_type": "view"}]}, NOW)
        ready.close()
        answers.append((refused, taken))
        assert "Send user_id for leser." in refused[0] and "Send price for preis." in taken[0]
    (_, before), (refused, taken) = answers
    assert "a column of items to be one of " in before[1] and "Send price for preis." in before[2]
    assert refused[1].endswith("Received: 'view'. Send click: the config maps view to it.")
    assert taken[1].endswith("Received: 'sold', as the files have it. Send available_until for sold.")
    assert taken[2].endswith("Send price for preis, available_until for the earliest of sold and ends.")
    assert taken[3].endswith("Received: 'a > b', as the files have it. Send a/b.")


def test_what_is_no_object_is_refused_alone():
    typed, refused = CHECK.check([GOOD, "event", None, [GOOD]], NOW)
    assert list(refused) == [1, 2, 3] and typed[0] and "a JSON object for each event" in refused[2]


def test_the_schema_of_the_release_holds():
    text = 'feature {name: "device" type: BYTES string_domain {value: "tv"}} feature {name: "basket" type: FLOAT}'
    _, refused = EventCheck(SPEC.columns.events, text).check([GOOD, {**GOOD, "device": "radio"}], NOW)
    assert list(refused) == [1] and "device to be one of tv. Received: 'radio'. See docs/data.md." in refused[1]


def test_the_values_of_a_closed_column_are_told_as_far_as_they_fit():
    values = " ".join(f'value: "{name}"' for name in ["click", "rating", "walk"])
    text = f'feature {{name: "event_type" type: BYTES string_domain {{{values}}}}}'
    names = " ".join(f'value: "{n:03}"' for n in range(300))
    text += f' feature {{name: "device" type: BYTES string_domain {{{names}}}}} feature {{name: "basket" type: FLOAT}}'
    check = EventCheck(SPEC.columns.events, text)
    _, refused = check.check([{**GOOD, "event_type": "cart"}, {**GOOD, "device": "tv"}], NOW)
    assert "event_type to be one of click, rating. Received: 'cart'." in refused[0]  # of both, the contract too
    assert ", 019 and 280 others, which the release's schema lists. Received: 'tv'." in refused[1]
    assert "020" not in refused[1]


@pytest.mark.parametrize("kind", ["hide", "impression"])
@pytest.mark.parametrize("given", [{}, {"value": 0}])
def test_what_a_schema_asks_of_ratings_is_not_asked_of_hides(kind, given):
    presence, stars = "presence {min_fraction: 1}", "float_domain {min: 1 max: 5}"
    schema = f'feature {{name: "value" type: FLOAT {presence} {stars}}} feature {{name: "basket" type: FLOAT}}'
    schema += ' feature {name: "device" type: BYTES}'
    bare = {name: value for name, value in GOOD.items() if name != "value"} | given
    rows = [bare | {"event_type": kind}, bare | {"event_type": "rating"}]
    _, refused = EventCheck(SPEC.columns.events, schema).check(rows, NOW)
    assert list(refused) == [1] and "value" in refused[1]


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
NEAR = st.fixed_dictionaries({}, optional={name: st.just(value) | ANY for name, value in GOOD.items()})


@given(st.lists(NEAR | ANY, min_size=1, max_size=6))
def test_every_row_is_typed_or_refused_with_a_reason(rows):
    typed, refused = CHECK.check(rows, NOW)
    assert len(typed) == len(rows) and {at for at, each in enumerate(typed) if not each} == set(refused)
    for each in filter(None, typed):
        assert each == event(line(each)) and each["event_id"] and event_of(each).order
    assert all(reason.startswith("Expected") for reason in refused.values())


@given(st.binary(max_size=40) | ANY.map(lambda value: str(value).encode("utf-8", "replace")))
def test_a_body_is_rows_or_the_error_of_a_user(body):
    with contextlib.suppress(SoukError):
        rows, alone = rows_of(body)
        assert 1 <= len(rows) <= (1 if alone else MAX_ROWS)


def test_bodies():
    assert rows_of(orjson.dumps(GOOD)) == ([GOOD], True)
    for count in (1, MAX_ROWS):
        assert rows_of(orjson.dumps({"events": [GOOD] * count})) == ([GOOD] * count, False)
    for body, told in (
        ({"events": [GOOD] * (MAX_ROWS + 1)}, "1 to 1000 events"),
        ({"events": []}, "1 to 1000 events in one call. Received: 0. Send one at least"),
        ({"events": GOOD}, "events to be a list"),
        ({"events": [GOOD], "user_id": "u"}, "to have events alone, where it has them"),
        ([GOOD], "an object with events"),
        ({}, "an object with events"),
    ):
        with pytest.raises(SoukError, match=told):
            rows_of(orjson.dumps(body))


@given(st.dictionaries(st.text(max_size=5), st.text() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False)))
def test_a_line_comes_back_or_is_known_to_be_damaged(values):
    values = {name.encode("utf-8", "ignore").decode(): v for name, v in values.items()} | {"event_id": "e"}
    values = {n: v.encode("utf-8", "ignore").decode() if isinstance(v, str) else v for n, v in values.items()}
    text = line({n: v for n, v in values.items() if not (isinstance(v, float) and math.isinf(v))})
    assert text.count(b"\n") == 1 and orjson.loads(text)["_crc32"]
    assert event(text) == {n: v for n, v in orjson.loads(text).items() if n != "_crc32"}
    assert event(text.replace(b'"event_id":"e"', b'"event_id":"f"')) is None


@given(st.lists(st.text(), unique=True), st.lists(st.text()))
def test_ids_are_known_from_when_they_came(first, second):
    ids = EventIds(first)
    assert all(each in ids for each in first)
    assert [each in ids for each in second] == [each in first for each in second]
    assert len(ids) == len(first)
    for together in (2, 10**6):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(event_ids, "TOGETHER", together)
            ids.update(second)
        assert all(each in ids for each in [*first, *second]) and "none of them" not in ids
