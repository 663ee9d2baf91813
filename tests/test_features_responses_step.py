"""When `build_features` tells the ranker how often items are taken where they are shown, and which acts apart."""

import pytest

from souk.config import parse_config, parse_step_config
from souk.steps.build_features import spec_of
from tests.features_fixtures import write_tables

CONFIG = """
name: shop
data: {events: {path: unused}}
objectives: {engaged: {events: [click]}, satisfied: {events: [click]}}
"""
MINUTE = 60_000


def spec_of_slates(folder, requests, taken, more="", carts=()):
    """Of so many slates of two, the first ones of which were taken from, and those of `carts` into the cart as well."""
    rows = []
    for n in range(requests):
        known = {"user_id": f"u{n % 30}", "request_id": f"r{n}"}
        kinds = [("impression", "i00", 0), ("impression", "i01", 1)] + [("click", "i00", 0)] * (n < taken)
        kinds += [("cart", "i00", 0)] * (n in carts)
        rows += [
            known | {"event_id": f"{n:04d}-{place}", "event_type": kind, "item_id": item, "position": position}
            | {"timestamp": (3 * n + place) * MINUTE}
            for place, (kind, item, position) in enumerate(kinds)
        ]  # fmt: skip
    config = parse_config(CONFIG + more)
    tables = write_tables(folder / "tables", rows)
    return spec_of(parse_step_config("build_features", config.for_step("build_features")), tables)


@pytest.mark.parametrize(("taken", "told"), [(125, True), (124, False)])
def test_what_was_taken_before_the_validation_window_decides(tmp_path, taken, told):
    """A fifth of what was taken is in the windows."""
    assert spec_of_slates(tmp_path, 200, taken).shown == told


def test_by_the_clock_of_each_user_s_last_one_nothing_is_told(tmp_path):
    """What is held out was shown before its boundary, and taken after it: it would be known by having been left."""
    assert not spec_of_slates(tmp_path, 200, 200, "split: {protocol: leave_last_out}\n").shown


@pytest.mark.parametrize(("carts", "acts"), [(range(20), ("click", "cart")), (range(180, 200), ())])
def test_the_acts_that_are_told_apart_are_those_of_before_the_validation_window(tmp_path, carts, acts):
    assert spec_of_slates(tmp_path, 200, 200, carts=carts).acts == acts
