"""The sections of the config that say what Souk is to do with the data: one for each step, and what they share."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_serializer, model_validator

from souk.config.tables import Section
from souk.errors import SoukError


class Outliers(Section):
    """Robust bounds for numeric columns: median ± `width` × 1.4826 × median absolute deviation."""

    action: Literal["quarantine", "clip", "warn", "off"] = "warn"
    width: float = Field(default=20.0, gt=0)
    columns: dict[str, Literal["quarantine", "clip", "warn", "off"]] = Field(default={})


class Ingest(Section):
    """`items_without_events: unavailable` is for a catalogue that lists more than the shop sells, `items_without_rows:
    unavailable` for one that lists all that can be had."""

    quarantine_threshold: float = Field(default=0.05, ge=0, le=1)
    allowed_future_seconds: float = Field(default=300, ge=0)
    items_without_events: Literal["available", "unavailable"] = "available"
    items_without_rows: Literal["available", "unavailable"] = "available"
    outliers: Outliers = Outliers()

    @model_serializer(mode="wrap")
    def _without_what_is_not_asked_for(self, handler: Any) -> dict[str, Any]:
        """Tables of before the key are those of its default."""
        return {k: v for k, v in handler(self).items() if (k, v) != ("items_without_rows", "available")}


MOST_HELD_OUT = 0.8  # of the events


class Split(Section):
    """Shares of the events, in time order, that become the validation and the test window.

    `leave_last_out` instead holds out each user's last engagement for the test and the one before it for validation
    (with few users, some before it), as many papers do: for comparison with them, not to be served
    (`souk.ingest.last_out`).
    """

    protocol: Literal["temporal", "leave_last_out"] = "temporal"
    validation: float = Field(default=0.1, gt=0, lt=0.5)
    test: float = Field(default=0.1, gt=0, lt=0.5)

    @model_validator(mode="after")
    def _something_to_train_on(self) -> Split:
        if self.validation + self.test > MOST_HELD_OUT:
            raise SoukError(
                f"split.validation and split.test of at most {MOST_HELD_OUT:g} together",
                f"{self.validation:g} and {self.test:g}",
                "They are shares of the events, and the towers learn from the rest: 0.1 and 0.1 are the default.",
            )
        return self


class BuildFeatures(Section):
    """`history_length` is even: a query sees between half of it and all of it but one of a user's last events. `auto`
    looks at how much users do (`souk.features.history`). Of what came before them, at least `habits` items are
    remembered, mostly those that the user engaged with most (`souk.habits`). `matches` are features of the user or the
    visit, each with one of the item whose values say the same, as `[user_home, item_city]` (`souk.matches`); `auto`
    looks at what users take (`souk.features.matches`)."""

    history_length: Annotated[int, Field(ge=4, le=4096, multiple_of=2)] | Literal["auto"] = "auto"
    habits: int = Field(default=256, ge=0, le=4096)
    matches: list[Annotated[list[str], Field(min_length=2, max_length=2)]] | Literal["auto"] = "auto"
    text_buckets: int = Field(default=2048, ge=16, le=2**20)
    numeric_buckets: int = Field(default=16, ge=2, le=1024)

    @model_serializer(mode="wrap")
    def _without_what_is_left_to_the_data(self, handler: Any) -> dict[str, Any]:
        """Specs of data without matches, and of before this key, keep their hash."""
        return {k: v for k, v in handler(self).items() if (k, v) != ("matches", "auto")}


class TrainTwoTower(Section):
    """`id_dropout` and `user_dropout` hide item and user ids in training, so that content and history learn to do
    without; an item without events leans to the known ones of the nearest content, by `new_item_lean` (`auto`: as these
    can afford, `souk.models.lean`); `refresh_epochs` passes (`auto`: a quarter) go through a new window.

    A batch holds `batch_rows` of the longest histories, or more of shorter ones. Each target is compared with
    `negatives` uniform draws and the batch's other targets, or with all items where these are few. `logq_strength` is
    how much of an item's popularity the towers learn: all of it at 1, none at 0. The softmax has `temperature` /
    ln(items): at 1, a perfect fit is as likely as all else together. `epochs: auto` follows from how many
    targets there are (`souk.models.fit_towers.epochs_for`). With a `consistency` each step has two passes, which drop
    different parts of the towers, and it is what their disagreement weighs; `auto`: 1 where a fit is short, else 0
    (`consistency_for`, there).
    """

    dim: int = Field(default=64, ge=4, le=4096, multiple_of=4)
    layers: int = Field(default=2, ge=0, le=64)
    heads: int = Field(default=2, ge=1)
    dropout: float = Field(default=0.2, ge=0, lt=1)
    id_dropout: float = Field(default=0.1, ge=0, lt=1)
    user_dropout: float = Field(default=0.5, ge=0, lt=1)
    new_item_lean: Annotated[float, Field(ge=0)] | Literal["auto"] = "auto"
    temperature: float = Field(default=1.0, gt=0)
    epochs: Annotated[int, Field(ge=1, le=10_000)] | Literal["auto"] = "auto"
    refresh_epochs: Annotated[int, Field(ge=1, le=10_000)] | Literal["auto"] = "auto"
    consistency: Annotated[float, Field(ge=0)] | Literal["auto"] = "auto"
    batch_rows: int = Field(default=16, ge=1, le=2**16)
    negatives: int = Field(default=2048, ge=1, le=2**20)
    logq_strength: float = Field(default=1.0, ge=0, le=1)
    learning_rate: float = Field(default=4e-3, gt=0, le=1)
    weight_decay: float = Field(default=1e-4, ge=0)
    seed: int = Field(default=17, ge=0, lt=2**32)

    @model_validator(mode="after")
    def _heads_share_the_vector(self) -> TrainTwoTower:
        if self.layers and self.dim % self.heads:
            fit = ", ".join(str(n) for n in range(1, self.dim + 1) if self.dim % n == 0)
            raise SoukError(
                f"a number of train_two_tower.heads that divides its dim, {self.dim}",
                str(self.heads),
                f"Each head has an equal part of the vector: take one of {fit}, or another dim.",
            )
        return self


FEWEST_CANDIDATES, MOST_CANDIDATES, CATALOGUE_SHARE = 200, 500, 10  # auto: a tenth of the items, within these


class TrainRanker(Section):
    """A request's ranker looks at `candidates`; `auto` follows from the catalogue. `straight_epochs` passes fit the
    straight path; from `body_examples` taken items on, at most `epochs` more fit a body of `experts`, which sees
    `negatives` of each list; both are more passes where lists are few. `max_click_loss` is the share of NDCG@10 that a
    tuned weight of satisfaction may cost. `tail_weight` and `minority` (transformed feature: exponent) let what is rare
    count more. `debias` takes the place in a logged slate out of what a click says."""

    candidates: Annotated[int, Field(ge=10, le=MOST_CANDIDATES)] | Literal["auto"] = "auto"
    negatives: int = Field(default=100, ge=1, le=2**20)
    experts: int = Field(default=3, ge=1, le=256)
    hidden: tuple[Annotated[int, Field(ge=1, le=8192)], ...] = Field(default=(32,), min_length=1)
    cross_layers: int = Field(default=1, ge=0, le=64)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    straight_epochs: int = Field(default=3, ge=1, le=10_000)
    body_examples: int = Field(default=1000, ge=0)
    epochs: int = Field(default=6, ge=0, le=10_000)
    batch_rows: int = Field(default=128, ge=1, le=2**16)
    learning_rate: float = Field(default=3e-3, gt=0, le=1)
    weight_decay: float = Field(default=1e-2, ge=0)
    max_click_loss: float = Field(default=0.01, ge=0, lt=1)
    tail_weight: float = Field(default=0.0, ge=0, le=2)
    minority: dict[str, Annotated[float, Field(ge=0, le=2)]] = Field(default={})
    debias: bool = True
    seed: int = Field(default=17, ge=0, lt=2**32)

    def candidates_among(self, items: int) -> int:
        """How many candidates a catalogue of so many items gets."""
        if self.candidates == "auto":
            return min(MOST_CANDIDATES, max(FEWEST_CANDIDATES, items // CATALOGUE_SHARE))
        return self.candidates


class NewItems(Section):
    """Items created in the last `days` get at least `share` of the slate's places, wherever the ranker's order puts
    them, as far as there are any."""

    days: float = Field(default=14, gt=0)
    share: float = Field(default=0, ge=0, le=1)


class Rerank(Section):
    """How a slate of at most `slate` items differs from the ranker's first: see `souk.rerank`. As it is, in nothing.

    `caps` allow at most so many items of one value of a column: a categorical one, or a path, of which the top level
    counts. `diversity` 1 looks at nothing but the difference between the items. With `popularity` p, the score
    s of an item of the most popular 1% counts s^(1 + p).
    """

    diversity: float = Field(default=0, ge=0, le=1)
    caps: dict[str, Annotated[int, Field(ge=1)]] = Field(default={})
    new_items: NewItems = NewItems()
    popularity: float = Field(default=0, ge=0, le=100)
    slate: int = Field(default=20, ge=1)  # and at most deploy.max_slate_size


class Evaluate(Section):
    """The protocol's bounds and the gate: the challenger must beat the champion's primary metric by `margin`, and keep
    every guardrail, each of which null turns off, and which does not break below its floor. A first release must beat
    popularity, or the best baseline by `baseline_margin`. See `docs/evaluation.md`.
    """

    primary: str = "ndcg@10"
    margin: float = Field(default=0.0, ge=-1, le=1)  # as of two values of the metric: 5 is not 5%
    baseline_margin: float | None = Field(default=None, ge=-1, le=1)
    max_users: int = Field(
        default=25_000, ge=1
    )  # each a few rankings of the catalogue, of which tens a second are made
    max_queries_per_user: int = Field(default=20, ge=1)
    bootstrap: int = Field(default=1000, ge=100, le=1_000_000)
    worst_slice: float | None = Field(default=0.05, ge=0)
    cold_items: float | None = Field(default=0.1, ge=0)
    coverage: float | None = Field(default=0.25, ge=0, le=1)
    popularity_bias: float | None = Field(default=0.25, ge=0)
    popularity_bias_floor: float = Field(default=0.05, ge=0, le=1)
    calibration: float | None = Field(default=0.4, ge=0)
    calibration_floor: float = Field(default=0.002, ge=0, le=1)
    latency: float | None = Field(default=1.0, ge=0)
    size: float | None = Field(default=1.0, ge=0)
    segment_parity: dict[str, Annotated[float, Field(ge=0)]] = Field(default={})

    @field_validator("primary")
    @classmethod
    def _a_metric(cls, name: str) -> str:
        """Before anything is trained."""
        from souk.metrics import parse_metric  # numpy, for those alone who name a metric

        try:
            parse_metric(name)
        except SoukError as error:
            raise ValueError(f"{error.expected}. {error.remedy.removesuffix('.')}") from error
        return name
