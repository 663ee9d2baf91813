"""The towers and the ranker: TensorFlow models that take raw features.

Nothing here imports `souk.features`: the transforms arrive as callables, one an entity.
"""
