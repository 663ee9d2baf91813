"""A request that names columns as the shop's files do is told what to send."""

import re
from dataclasses import replace

import pytest

from souk.errors import SoukError
from souk.serving.request import RequestParser
from tests.serving_fixtures import NOW, write_shop

NAMES = {
    "events": {"device": ["platform"], "user_id": ["member"], "item_id": ["listing"]},
    "users": {"region": ["area"]},
    "items": {"price": ["asking_price"], "title": ["headline"]},
}


@pytest.fixture(scope="module")
def parser(tmp_path_factory):
    return RequestParser.of(replace(write_shop(tmp_path_factory.mktemp("bundle") / "shop"), names=NAMES))


@pytest.mark.parametrize(
    ("fields", "remedy"),
    [
        ({"context": {"platform": "ios"}}, "Send device for platform: the config maps it."),
        ({"profile": {"area": "north"}}, "Send region for area: the config maps it."),
        ({"filter": {"asking_price": {"max": 9}}}, "Send price for asking_price: the config maps it."),
        ({"filter": {"headline": "Boots"}}, "title is a text, which no filter reads."),
        ({"filter": {"title": "Boots"}}, "title is a text, which no filter reads."),
        ({"filter": {"created_at": {"min": 9}}}, "created_at is a time, which no filter reads."),
        ({"filter": {"prise": {"max": 9}}}, "Did you mean 'price'?"),
        ({"member": "ann"}, "Send user_id for member: the config maps it."),
        ({"events": [{"listing": "a", "event_type": "click"}]}, "Send item_id for listing: the config maps it."),
        ({"events": [{"item_id": "a", "event_type": "click", "context": {"platform": ""}}]}, "Send device for platf"),
    ],
)
def test_a_column_of_the_files_is_told_what_to_send(parser, fields, remedy):
    with pytest.raises(SoukError, match=re.escape(remedy)):
        parser.parse({"user_id": "ann", **fields}, NOW)
