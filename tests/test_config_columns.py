"""Names of declared columns are refused where the config is read, and not by the library that takes them for names."""

import pytest

from souk.config import parse_config
from souk.errors import SoukError

CONFIG = """
name: town
data: {events: {path: events.csv}}
objectives: {engaged: {events: [rating]}, satisfied: {events: [rating]}}
columns: {users: {"COLUMN": categorical}}
"""


@pytest.mark.parametrize("name", ["home", "Home_2", "geo.home", "geo-home", "2nd"])
def test_names_that_tensorflow_takes(name):
    import tensorflow as tf

    assert name in parse_config(CONFIG.replace("COLUMN", name)).columns.users
    with tf.Graph().as_default(), tf.name_scope("user"), tf.name_scope(f"user_{name}"):
        pass


@pytest.mark.parametrize(
    ("name", "plain"), [("geo:home", "geo_home"), ("my home", "my_home"), ("größe", "gr_e"), ("a/b", "a_b")]
)
def test_other_names_are_told_with_the_key_that_maps_them(name, plain):
    told = f"columns.users.{name} has more than letters from A to Z, .*data.users.columns: {{{plain}: '{name}'}}"
    with pytest.raises(SoukError, match=told):
        parse_config(CONFIG.replace("COLUMN", name))
