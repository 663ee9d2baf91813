"""What a refusal quotes of a wrong value."""

import re
from dataclasses import replace

import pytest

from souk.config import Columns
from souk.errors import SoukError
from souk.serving.request import RequestParser
from tests.test_serving_request import NOW, SPEC

LONG = "x" * 513


@pytest.mark.parametrize(
    "fields",
    [
        {LONG: 1},
        {"context": {LONG: 1}},
        {"profile": {LONG: 1}},
        {"filter": {LONG: 1}},
        {"events": [{LONG: 1}]},
        {"events": [{"item_id": "a", "event_type": LONG}]},
        {"events": [{"item_id": "a", "event_type": [LONG]}]},
        {"exclude": [LONG]},
        {"k": LONG},
    ],
    ids=["field", "context", "profile", "filter", "field of an event", "type", "list as a type", "id", "k"],
)
@pytest.mark.parametrize("known", [False, True], ids=["unknown", "of the files"])
def test_of_a_wrong_value_80_characters_are_quoted(fields, known):
    names = {"events": {"device": [LONG]}, "users": {"region": [LONG]}, "items": {"kind": [LONG]}} if known else {}
    columns = Columns(events=SPEC.columns.events, items={"kind": "categorical"}, users=SPEC.columns.users)
    types = {"x*": "cart"} if known else {}
    parser = RequestParser(replace(SPEC, columns=columns), 10, 50, types=types, names=names)
    with pytest.raises(SoukError) as error:
        parser.parse({"user_id": "ann", **fields}, NOW)
    runs = re.findall("x{70,}", str(error.value))
    assert runs and max(map(len, runs)) <= 80, str(error.value)


def test_a_long_type_of_the_files_is_looked_up_whole():
    parser = RequestParser(SPEC, 10, 50, types={f"*{'x' * 20}y": "cart"})
    with pytest.raises(SoukError, match=f"Send cart: the config maps {'x' * 80} to it"):
        parser.parse({"user_id": "ann", "events": [{"item_id": "a", "event_type": "x" * 100 + "y"}]}, NOW)
