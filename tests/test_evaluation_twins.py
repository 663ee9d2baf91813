"""What the size of a model is: its weights, and not how many items and users it has met."""

import tensorflow as tf

from souk.evaluation.twins import BY_ID, weight_bytes
from souk.models.export import ServedItemTower
from tests.models_fixtures import cycle_market
from tests.towers_fixtures import Market


class Tower(tf.Module):
    def __init__(self, items: int, width: int) -> None:
        super().__init__()
        self.tower = tf.Module()
        for name in ("items", "users"):
            met = tf.Module()
            met.table, met.seen = tf.Variable(tf.zeros([items, 4])), tf.Variable(tf.zeros([items], tf.bool))
            setattr(self.tower, name, met)
        self.tower.dense = tf.Variable(tf.zeros([4, width]))


def test_a_grown_shop_has_models_of_the_same_size_and_a_wider_model_a_larger_one(tmp_path):
    for name, items, width in (("first", 10, 8), ("grown", 1000, 8), ("wide", 10, 24)):
        tf.saved_model.save(Tower(items, width), tmp_path / name)
    first, grown, wide = (weight_bytes(tmp_path / name) for name in ("first", "grown", "wide"))
    assert first == grown and wide - first == 4 * 4 * 16


def test_no_part_of_a_real_item_tower_that_grows_with_the_items_is_of_its_size(tmp_path):
    market = Market(tmp_path / "market", *cycle_market())
    model = market.towers()
    ServedItemTower(model, market.transforms, market.spec).save(tmp_path / "item")
    shapes = tf.train.load_checkpoint(str(tmp_path / "item/variables/variables")).get_variable_to_shape_map()
    rows = {model.items.size, model.item_tower.among}
    grown = [name for name, shape in shapes.items() if shape and shape[0] in rows]
    assert len(grown) == 4 and all(BY_ID.search(name) for name in grown), grown
