"""The sections of the config that name classes of one's own."""

from __future__ import annotations

import re
from typing import Any

from pydantic import Field, field_validator

from souk.config.tables import Section
from souk.config.text import meant

CLASS = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$"
RESERVED = frozenset(  # what an answer, or a metric, calls something else by the same name
    (
        *(
            "two_tower",
            "co_visitation",
            "buy_again",
            "segment_popular",
            "fresh",
            "matched",
            "popular",
            "catalogue",
            "candidates",
            "shown_often",
        ),
        *("parse", "line", "users", "features", "query_tower", "index", "pair_features", "ranker", "rerank", "slate"),
        "impression",
    )
)


class OwnRanker(Section):
    """`use` is the class, `package.module:Class` (souk.plugs); `options` go to its constructor."""

    use: str
    options: dict[str, Any] = Field(default={})

    @field_validator("options", mode="before")
    @classmethod
    def _as_yaml_means(cls, options: Any) -> Any:
        return meant(options)  # nothing else says which of them is to be a number

    @field_validator("use")
    @classmethod
    def _a_class(cls, use: str) -> str:
        if not re.fullmatch(CLASS, use):
            raise ValueError("a class by its place, as package.module:Class")
        return use


class OwnRetriever(OwnRanker):
    """`share` is how much of the ranker's attention its list gets beside the towers' (souk.candidates)."""

    share: float = Field(default=0.5, gt=0, le=1)


def written_short(value: Any) -> Any:
    """`package.module:Class` alone stands for a section with it."""
    return {"use": value} if isinstance(value, str) else value
