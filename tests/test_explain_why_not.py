"""Why an item that is explained is not among what is ranked, in words, of requests as they come."""

import json
from dataclasses import replace

import numpy as np
import pytest

from souk.config import Repeat
from souk.release.bundle import Bundle
from souk.serving.explain.gradients import Explainer, _Sum
from souk.serving.explain.words import sentences
from souk.serving.recommender import Recommender
from souk.serving.request import RequestParser
from tests.serving_fixtures import NOW, PRICES, SPEC, STATES, write_shop

RULES = Repeat.model_validate({"rule": "never", "fatigue": {"shown": 2, "days": 3}})
ITEM = "g1-05"
NOT_SHOWN = "It is not shown to this user: "
WITHHELD = f"{NOT_SHOWN}the request excludes it, or it is hidden, at hand, the user's own, or not to be repeated yet."
OFTEN = "It was shown to this user often of late: it is in a slate only where nothing else is left."
TIRED = {"shown": {ITEM: (NOW - 2000, NOW - 1000)}}
OTHERS = {"candidates": ["g1-06", "g2-01"]}
DEARER = {"filter": {"price": {"min": PRICES[ITEM] + 1}}}


class Plain(Explainer):
    """The shop's models have no gradients: nothing adds anything."""

    def _integrated(self, case, steps):
        return _Sum(0.0, 0.0, np.zeros(len(case.features.window)), {})


def serving(folder, **settings):
    """A server of the shop with RULES."""
    write_shop(folder)
    spec = replace(SPEC, repeat=RULES)
    (folder / "spec.json").write_text(spec.to_json())
    told = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps(told | {"spec_hash": spec.hash} | settings))
    return Recommender.load(Bundle.load(folder), None, None)


@pytest.fixture(scope="module")
def recommender(tmp_path_factory):
    return serving(tmp_path_factory.mktemp("why_not") / "shop")


def asked(recommender, fields, state):
    """Ann's request for as many items as there are."""
    request = RequestParser(recommender.spec, 100, 100).parse({"user_id": "ann", **fields}, NOW)
    return replace(request, state=replace(STATES[0], **state))


def said(recommender, item, fields, state):
    """The last sentence, and whether a slate of all items has it."""
    request = asked(recommender, fields, state)
    (slate,) = recommender.recommend([request])
    sources = {own.item_id: own.source for own in slate.items}
    return sentences(Plain(recommender).explain(request, item))[-1], sources.get(item)


@pytest.mark.parametrize(
    ("fields", "state", "expected"),
    [
        ({"exclude": [ITEM]}, {}, WITHHELD),
        ({}, {"hidden": {ITEM: NOW - 1000}}, WITHHELD),
        ({}, {"engaged": {ITEM: NOW - 1000}}, WITHHELD),
        (DEARER, {}, f"{NOT_SHOWN}the filter of the request leaves it out."),
        (OTHERS, {}, f"{NOT_SHOWN}the candidates of the request are others."),
        (DEARER | OTHERS, {}, f"{NOT_SHOWN}the filter of the request leaves it out."),
        (OTHERS, TIRED, f"{NOT_SHOWN}the candidates of the request are others."),
        ({"exclude": [ITEM]}, TIRED, WITHHELD),
    ],
)
def test_what_keeps_an_item_out_is_named_as_it_is(recommender, fields, state, expected):
    assert said(recommender, ITEM, fields, state) == (expected, None)


def test_what_is_not_to_be_had_says_so_whatever_else_keeps_it_out(recommender):
    words = f"{NOT_SHOWN}it is not available, or not there yet."
    assert said(recommender, "g1-07", {}, {}) == said(recommender, "g1-07", {"exclude": ["g1-07"]}, {}) == (words, None)


def test_what_was_shown_too_often_is_said_to_wait_and_is_in_a_slate_of_all(recommender):
    """It was said that no source proposed it, so that it stands in no slate."""
    assert said(recommender, ITEM, {}, TIRED) == (OFTEN, "shown_often")


def test_what_may_be_shown_has_no_such_sentence(recommender):
    told, source = said(recommender, ITEM, {}, {})
    assert source and not told.startswith((NOT_SHOWN, "It was shown", "No source"))


def test_what_only_a_larger_slate_has_is_not_said_to_stand_in_none(tmp_path):
    """Of ten candidates where nobody asks for more: a slate of all items has as many candidates as items."""
    few = serving(tmp_path / "shop", candidates=10)
    (slate,) = few.recommend([asked(few, {}, {})])
    last, short = slate.items[-1].item_id, replace(asked(few, {}, {}), k=5)
    told = sentences(Plain(few).explain(short, last))[-1]
    assert told.startswith("No source proposed it: a slate has it only where more are asked for")
    assert said(few, last, {}, {})[0] != told, "whoever asks for all has it among the candidates"
