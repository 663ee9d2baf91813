"""What the size of a model is: its weights, and not how many items and users it has met."""

import tensorflow as tf

from souk.evaluation.twins import weight_bytes


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
