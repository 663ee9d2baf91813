"""Names of declared columns are refused where the config is read, and not by the library that takes them for names."""

from pathlib import Path

import numpy as np
import pytest

from souk.config import parse_config
from souk.config.declared import feature_names
from souk.errors import SoukError
from souk.spec import Entity
from tests.features_fixtures import spec_of

CONFIG = """
name: town
data: {events: {path: events.csv}, items: {path: items.csv, columns: {Id: internal no}}}
objectives: {engaged: {events: [rating]}, satisfied: {events: [rating]}}
"""
NAMES = ["home", "Home_2", "home_2_", "2nd", "_home", "__home", "self", "HOME"]
KINDS = ["categorical", "numeric", "text", "list", "path", "vector[2]"]


def config_of(**columns: dict[str, str]):
    return parse_config(f"{CONFIG}columns: {columns}")


def test_a_model_of_names_that_are_taken_is_saved_and_answers(tmp_path: Path):
    """TensorFlow names the parameters of a signature otherwise where it does not take a name."""
    import tensorflow as tf

    from souk.models.export import pick, specs, write
    from souk.serving.signatures import SavedModel

    for place, name in enumerate(NAMES):
        features = spec_of(config_of(users={name: "numeric", "town": "numeric"})).of(Entity.USER)[1:]
        names = [feature.name for feature in features]

        def serve(features=features, names=names, **raw: tf.Tensor) -> dict[str, tf.Tensor]:
            picked = pick(raw, features)
            return {"found": tf.stack([picked[each] for each in names], axis=-1)}

        write(tf.Module(), tmp_path / str(place), serve=(serve, specs(features)))
        model, rows = SavedModel(tmp_path / str(place)), np.arange(6, dtype=np.float32).reshape(3, 2)
        for call in (model.signature("serve"), model.by_tensorflow("serve")):
            np.testing.assert_array_equal(call(dict(zip(names, rows.T, strict=True)))["found"], rows)


@pytest.mark.parametrize(
    ("name", "plain"),
    [("geo:home", "geo_home"), ("my home", "my_home"), ("größe", "gr_e"), ("a/b", "a_b"), ("geo.home", "geo_home"),
     ("capital-gain", "capital_gain")],
)  # fmt: skip
def test_other_names_are_told_with_the_key_that_maps_them(name, plain):
    told = f"columns.users.{name} has more than letters from A to Z, .*data.users.columns: {{{plain}: '{name}'}}"
    with pytest.raises(SoukError, match=told):
        config_of(users={name: "categorical"})


@pytest.mark.parametrize(
    ("table", "columns", "told"),
    [
        ("items", {"id": "categorical"}, ["item_id of columns.items.id and item_id of the ids", "{own_id: 'id'}"]),
        ("items", {"Id": "numeric"}, ["item_Id of columns.items.Id and item_id of the ids", "{own_Id: 'internal no'}"]),
        ("users", {"id": "numeric"}, ["user_id of columns.users.id", "data.users.columns: {own_id: 'id'}"]),
        ("items", {"brand": "categorical", "Brand": "text"}, ["item_Brand of columns.items.Brand", "item_brand of"]),
        ("items", {"Price": "numeric", "price": "numeric"}, ["item_Price of columns.items.Price", "item_price of"]),
        ("users", {"town": "list", "TOWN": "numeric"}, ["Rename columns.users.town, to own_town for instance"]),
        ("items", {"price": "numeric", "price_missing": "text"}, ["item_price_missing of price", "own_price_missing"]),
        ("items", {"price_bucket": "numeric", "price": "numeric"}, ["item_price_bucket of price", "own_price_bucket"]),
        ("users", {"age_MISSING": "path", "age": "numeric"}, ["user_age_missing of age", "own_age_MISSING"]),
        ("events", {"age": "numeric", "age_bucket": "categorical"}, ["context_age_bucket of age", "data.events."]),
    ],
)
def test_names_that_another_feature_has_are_told_with_the_key_that_maps_them(table, columns, told):
    with pytest.raises(SoukError) as error:
        config_of(**{table: columns})
    assert all(each in str(error.value) for each in told), error.value


@pytest.mark.parametrize("made", ["templates: {id: '{a}-{b}'}", "constants: {id: x}"])
def test_a_name_that_the_config_makes_is_renamed_where_it_is_made(made):
    text = CONFIG.replace("items: {path: items.csv, ", f"items: {{path: items.csv, {made}, ")
    with pytest.raises(SoukError, match=f"to own_id for instance, and in data.items.{made.partition(':')[0]} too"):
        parse_config(f"{text}columns: {{items: {{id: categorical}}}}")


def test_names_of_different_tables_and_of_what_makes_no_such_feature_are_taken():
    config = config_of(
        events={"id": "categorical"}, items={"title": "text", "title_missing": "text"}, users={"Title": "text"}
    )
    assert [f.name for f in spec_of(config).of(Entity.ITEM)] == ["item_id", "item_title", "item_title_missing"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_names_that_are_compared_are_those_of_the_features(kind):
    from souk.features.preprocess import outputs

    config = config_of(users={"age": kind})
    feature = spec_of(config).of(Entity.USER)[1]
    names = [f"user_{name}" for name in feature_names("age", config.columns.users["age"])]
    assert list(outputs(feature, spec_of(config), lambda _: 3)) == names
