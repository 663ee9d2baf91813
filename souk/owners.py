"""What is a user's own: the listings of who sells and buys on one market are in none of their owner's slates."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from souk.items import item_columns
from souk.spec import Entity, FeatureSpec


def owned(features: str | Path, spec: FeatureSpec) -> Mapping[str, np.ndarray]:
    """By user, the positions of the items whose column `repeat.own` has the user's id, `[own] int64`, ascending.

    Args:
        features: a folder with the item feature table.
        spec: of the features; without the key nobody owns anything.
    """
    names = [feature.name for feature in spec.of(Entity.ITEM) if spec.repeat.own and feature.source == spec.repeat.own]
    if not names:
        return {}
    owners = item_columns(features, *names)[names[0]].combine_chunks()
    places = np.arange(len(owners))
    if pa.types.is_list(owners.type):
        places, owners = pc.list_parent_indices(owners).to_numpy(), owners.flatten()
    coded = owners.dictionary_encode()
    codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    order = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[order], np.arange(len(coded.dictionary) + 1))
    return {
        owner: places[order[start:end]]
        for owner, start, end in zip(
            coded.dictionary.to_pylist(), bounds[:-1].tolist(), bounds[1:].tolist(), strict=True
        )
        if owner
    }
