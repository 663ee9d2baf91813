"""The dataset config: one YAML file that says what the data is and what Souk is to do with it.

Every pipeline step gets only the sections that it reads (`DatasetConfig.for_step`), so that changing a value
reruns the steps that depend on it and no others.
"""

from __future__ import annotations

import codecs
import difflib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from string import Formatter
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from souk.errors import SoukError, unknown
from souk.schema import EventType, Kind, contract

NAME = r"^[a-z][a-z0-9_]*$"
VECTOR = re.compile(r"^vector\[([1-9][0-9]*)\]$")


def template_parts(text: str) -> list[tuple[str, str]]:
    """The parts of a template, "{a}, {b}": pairs of a text and the column after it, "" after the last text.

    Raises:
        ValueError: braces that do not match, or that hold more than a name. "{{" and "}}" are braces of the text.
    """
    parts: list[tuple[str, str]] = []
    held = ""  # a text that a doubled brace ends
    for before, name, form, conversion in Formatter().parse(text):
        if name == "" or form or conversion:
            raise ValueError(f"{text!r}: braces hold the name of a column and nothing else")
        held += before
        if name:
            parts.append((held, name))
            held = ""
    return [*parts, (held, "")] if held else parts


class Section(BaseModel):
    """A part of the config: immutable, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(Section):
    """Where a table is, and how its columns become those of the contract.

    `path` is a local path (relative to the config file), an fsspec URL, or `package://DISTRIBUTION/FILE` for a file
    inside an installed Python package. `columns` maps contract or declared names to the names in the file;
    `templates` makes a column of several of the file; `constants` gives columns that the file lacks one value;
    `separators` splits text into lists; `event_types` maps what the file calls the kinds of events to those of the
    contract. `skip` names the values (of columns of the file) whose rows are left out and counted; `repeated_ids` says
    which row of an id counts. `delimiter`, `encoding` and `header` describe text files.
    """

    path: str
    format: Literal["auto", "parquet", "csv", "jsonl", "atomic"] = "auto"
    delimiter: str = ""
    encoding: str = "utf-8"
    header: tuple[str, ...] = ()
    columns: dict[str, str] = {}
    templates: dict[str, str] = {}
    constants: dict[str, str | int | float | bool] = {}
    separators: dict[str, str] = {}
    event_types: dict[str, EventType] = {}
    timestamp_unit: Literal["ms", "s", "us", "iso"] = "ms"
    timezone: str = "UTC"
    skip: dict[str, tuple[str, ...]] = {}
    repeated_ids: Literal["quarantine", "first", "last"] = "quarantine"

    @field_validator("skip", mode="before")
    @classmethod
    def _texts(cls, value: Any) -> Any:
        """One value may stand without a list, and numbers without quotes."""
        if not isinstance(value, dict):
            return value
        lists = {name: each if isinstance(each, list | tuple) else [each] for name, each in value.items()}
        return {name: ["" if v is None else str(v) for v in each] for name, each in lists.items()}

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        try:
            name = codecs.lookup(value).name
            if name in ("utf-8", "utf-8-sig"):  # with and without a mark both are read
                return "utf-8"
            plain = "\n,".encode(value) == b"\n,"
        except LookupError as error:
            raise ValueError(f"{value!r} is no encoding that Python knows; latin-1 or cp1252 for instance") from error
        if not plain:
            raise ValueError(f"{value} does not write a line end as one byte; rewrite the file as UTF-8")
        return value

    @field_validator("delimiter")
    @classmethod
    def _usable_delimiter(cls, value: str) -> str:
        if set(value) & {"\r", "\n"} or (len(value) == 1 and (not value.isascii() or value == '"')):
            raise ValueError(f"{value!r} cannot delimit: give an ASCII character but no quote, or several characters")
        return value

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            near = difflib.get_close_matches(value, available_timezones(), n=1, cutoff=0.3)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"{value!r} is no time zone, Europe/London for instance{hint}") from error
        return value

    @field_validator("templates")
    @classmethod
    def _readable_templates(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            if not any(part for _, part in template_parts(text)):
                raise ValueError(f'{name}: {text!r} names no column in braces, as "{{basket}}-{{product}}" does')
        return value


class Data(Section):
    """The three tables; relative paths start at `folder`, which is itself relative to the config file.

    `obtain` is the command or the address that gets the files: an error about missing ones ends with it.
    """

    folder: str = ""
    obtain: str = ""
    events: Source
    items: Source | None = None
    users: Source | None = None


class Columns(Section):
    """The columns to learn from, with their kinds. Contract columns may be declared with the kind of the contract.

    A `vector[W]` of W numbers may describe items and users; `widths` keeps its W by `table.column`.
    """

    events: dict[str, Kind] = {}
    items: dict[str, Kind] = {}
    users: dict[str, Kind] = {}
    widths: dict[str, int] = {}

    @model_validator(mode="before")
    @classmethod
    def _read_widths(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        values, widths = dict(values), dict(values.get("widths") or {})
        for table in ("events", "items", "users"):
            kinds = values.get(table)
            for name, kind in kinds.items() if isinstance(kinds, dict) else ():
                found = VECTOR.match(str(kind))
                if found:
                    widths[f"{table}.{name}"] = int(found[1])
                    values[table] = {**values[table], name: str(Kind.VECTOR)}
        return values | {"widths": widths}

    def widths_of(self, table: str) -> dict[str, int]:
        """The width of each vector column of `table`."""
        return {key.split(".", 1)[1]: width for key, width in self.widths.items() if key.startswith(f"{table}.")}

    @model_validator(mode="after")
    def _vectors_have_widths(self) -> Columns:
        for table in ("events", "items", "users"):
            for name, kind in getattr(self, table).items():
                if table == "events" and kind in (Kind.VECTOR, Kind.TEXT, Kind.PATH):
                    raise ValueError(f"columns.events.{name}: a {kind} describes an item or a user, not an event")
                if kind is Kind.VECTOR and f"{table}.{name}" not in self.widths:
                    raise ValueError(f"columns.{table}.{name} must say its width, for instance vector[512]")
        return self

    @model_validator(mode="after")
    def _known_kinds(self) -> Columns:
        for table in ("events", "items", "users"):
            known = contract(table)
            for name, kind in getattr(self, table).items():
                if name in known and known[name].kind != kind:
                    wanted = known[name].kind or "no feature (leave it out of columns)"
                    raise ValueError(f"columns.{table}.{name} must be {wanted}, not {kind}")
        return self


class Objective(Section):
    """A label: which events carry it, and what makes it true.

    An event of one of `events` is positive when its value is at least `min_value`, its dwell at least
    `min_dwell_seconds`, and, within `within_days` after it, the same user did none of `unless` and at least one of
    `followed_by` with the same item. `weight` is the objective's exponent in the slate's score; `auto` is 1 for
    `engaged`, and for `satisfied` what the ranker's held-out users say (`train_ranker.max_click_loss`).
    """

    events: tuple[EventType, ...] = Field(min_length=1)
    min_value: float | None = None
    min_dwell_seconds: float | None = None
    unless: tuple[EventType, ...] = ()
    followed_by: tuple[EventType, ...] = ()
    within_days: float = Field(default=0, ge=0)
    weight: Annotated[float, Field(ge=0)] | Literal["auto"] = "auto"


class Objectives(Section):
    engaged: Objective
    satisfied: Objective


class Repeat(Section):
    """When an item may be recommended again to a user who already engaged with it."""

    rule: Literal["never", "after_days", "always"] = "always"
    days: float = Field(default=0, ge=0)


class Outliers(Section):
    """Robust bounds for numeric columns: median ± `width` × 1.4826 × median absolute deviation."""

    action: Literal["quarantine", "clip", "warn", "off"] = "warn"
    width: float = Field(default=20.0, gt=0)
    columns: dict[str, Literal["quarantine", "clip", "warn", "off"]] = {}


class Ingest(Section):
    """`items_without_events: unavailable` is for a catalogue that lists more than the shop sells."""

    quarantine_threshold: float = Field(default=0.05, ge=0, le=1)
    allowed_future_seconds: float = Field(default=300, ge=0)
    items_without_events: Literal["available", "unavailable"] = "available"
    outliers: Outliers = Outliers()


class Split(Section):
    """Shares of the events, in time order, that become the validation and the test window.

    `leave_last_out` instead holds out each user's last event for the test and the one before it for validation, as many
    papers do: for comparison with them, not to be served (`souk.ingest.last_out`).
    """

    protocol: Literal["temporal", "leave_last_out"] = "temporal"
    validation: float = Field(default=0.1, gt=0, lt=0.5)
    test: float = Field(default=0.1, gt=0, lt=0.5)


class BuildFeatures(Section):
    """`history_length` is even: a query sees between half of it and all of it but one of a user's last events. `auto`
    looks at how much users do (`souk.features.history`)."""

    history_length: Annotated[int, Field(ge=4, multiple_of=2)] | Literal["auto"] = "auto"
    text_buckets: int = Field(default=2048, ge=16)
    numeric_buckets: int = Field(default=16, ge=2)


class TrainTwoTower(Section):
    """`id_dropout` and `user_dropout` hide item and user ids in training, so that content and history learn to do
    without; `refresh_epochs` passes at `refresh_rate` × `learning_rate` take fitted towers through a new window.

    A batch holds `batch_rows` of the longest histories, or more of shorter ones. Each target is compared with
    `negatives` uniform draws and the batch's other targets, or with all items where these are few. `epochs: auto`
    follows from how many targets there are (`souk.models.fit_towers.epochs_for`).
    """

    dim: int = Field(default=64, ge=4, multiple_of=4)
    layers: int = Field(default=2, ge=0)
    heads: int = Field(default=2, ge=1)
    dropout: float = Field(default=0.2, ge=0, lt=1)
    id_dropout: float = Field(default=0.1, ge=0, lt=1)
    user_dropout: float = Field(default=0.5, ge=0, lt=1)
    temperature: float = Field(default=0.15, gt=0)
    epochs: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    refresh_epochs: int = Field(default=2, ge=1)
    batch_rows: int = Field(default=16, ge=1)
    negatives: int = Field(default=512, ge=1)
    learning_rate: float = Field(default=4e-3, gt=0)
    refresh_rate: float = Field(default=0.3, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    seed: int = 17


class LoadIndex(Section):
    """`uri` is empty for Milvus Lite in the workspace, or the address of a Milvus server."""

    uri: str = ""
    recall_bar: float = Field(default=0.95, ge=0, le=1)


class TrainRanker(Section):
    """`straight_epochs` passes fit the straight path; from `body_examples` taken items on, at most `epochs` more fit a
    body of `experts`, which sees `negatives` of each list. `max_click_loss` is the share of NDCG@10 that a tuned weight
    of satisfaction may cost. `tail_weight` and `minority` (transformed feature: exponent) let what is rare count more.
    `debias` takes the place in a logged slate out of what a click says."""

    candidates: int = Field(default=200, ge=10, le=500)
    negatives: int = Field(default=100, ge=1)
    experts: int = Field(default=3, ge=1)
    hidden: tuple[int, ...] = Field(default=(32,), min_length=1)
    cross_layers: int = Field(default=1, ge=0)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    straight_epochs: int = Field(default=3, ge=1)
    body_examples: int = Field(default=1000, ge=0)
    epochs: int = Field(default=6, ge=0)
    batch_rows: int = Field(default=128, ge=1)
    learning_rate: float = Field(default=3e-3, gt=0)
    weight_decay: float = Field(default=1e-2, ge=0)
    max_click_loss: float = Field(default=0.01, ge=0, lt=1)
    tail_weight: float = Field(default=0.0, ge=0, le=2)
    minority: dict[str, float] = {}
    debias: bool = True
    seed: int = 17


class Evaluate(Section):
    """The protocol's bounds and the gate: the challenger must beat the champion's primary metric by `margin`, and keep
    every guardrail, each of which null turns off. See `docs/evaluation.md`.
    """

    primary: str = "ndcg@10"
    margin: float = 0.0
    max_queries_per_user: int = Field(default=20, ge=1)
    bootstrap: int = Field(default=1000, ge=100)
    worst_slice: float | None = Field(default=0.05, ge=0)
    cold_items: float | None = Field(default=0.1, ge=0)
    coverage: float | None = Field(default=0.25, ge=0, le=1)
    popularity_bias: float | None = Field(default=0.25, ge=0)
    calibration: float | None = Field(default=0.4, ge=0)
    latency: float | None = Field(default=1.0, ge=0)
    size: float | None = Field(default=1.0, ge=0)
    segment_parity: dict[str, Annotated[float, Field(ge=0)]] = {}


class Deploy(Section):
    slate_size: int = Field(default=20, ge=1)
    max_slate_size: int = Field(default=200, ge=1)


class Rollout(Section):
    """Where `deploy` puts a release, and how much traffic it gets there. See `docs/rollout.md`.

    `canary_percent` is the share of requests that a release starts with while the one before it keeps the rest; 0
    gives it all of them. `storage` + `/` + the release's name is the address that KServe mounts or downloads.
    """

    target: Literal["workspace", "inference_service"] = "workspace"
    name: str = Field(default="souk", pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", max_length=38)
    namespace: str = Field(default="souk", pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)
    mode: Literal["standard", "knative"] = "standard"
    canary_percent: int = Field(default=0, ge=0, le=99)
    storage: str = Field(default="pvc://souk-workspace/releases", pattern=r"^[a-z0-9]+://[^/].*[^/]$")
    runtime: str = Field(default="souk", min_length=1)
    min_replicas: int = Field(default=1, ge=1)
    max_replicas: int = Field(default=1, ge=1)
    deadline_seconds: float = Field(default=600, gt=0)

    @model_validator(mode="after")
    def _replicas_in_order(self) -> Rollout:
        if self.max_replicas < self.min_replicas:
            raise ValueError(f"max_replicas {self.max_replicas} is below min_replicas {self.min_replicas}")
        return self

    def check_index(self, index: LoadIndex) -> None:
        """A service of several servers needs an index that they share.

        Raises:
            SoukError: the target is a cluster and the index is Milvus Lite, whose file one process holds.
        """
        if self.target == "inference_service" and "://" not in index.uri:
            raise SoukError(
                "the address of a Milvus server in load_index.uri, since rollout.target is inference_service",
                f"{index.uri!r}, which is Milvus Lite: one process holds its file",
                "Set load_index.uri, to http://milvus.milvus:19530 for instance, or rollout.target to workspace.",
            )


class DatasetConfig(Section):
    """The whole file. See `docs/data.md` for every key."""

    name: str = Field(pattern=NAME)
    data: Data
    columns: Columns = Columns()
    objectives: Objectives
    repeat: Repeat = Repeat()
    ingest: Ingest = Ingest()
    split: Split = Split()
    build_features: BuildFeatures = BuildFeatures()
    train_two_tower: TrainTwoTower = TrainTwoTower()
    load_index: LoadIndex = LoadIndex()
    train_ranker: TrainRanker = TrainRanker()
    evaluate: Evaluate = Evaluate()
    deploy: Deploy = Deploy()
    rollout: Rollout = Rollout()

    @model_validator(mode="after")
    def _cluster_has_an_index(self) -> DatasetConfig:
        self.rollout.check_index(self.load_index)
        return self

    @model_validator(mode="after")
    def _parity_of_declared_columns(self) -> DatasetConfig:
        for column in self.evaluate.segment_parity:
            kind = self.columns.users.get(column)
            if kind is None:
                raise unknown("a column of users in evaluate.segment_parity", column, self.columns.users)
            if kind in (Kind.TEXT, Kind.VECTOR):
                raise SoukError(
                    "a column of users with values to compare in evaluate.segment_parity",
                    f"{column}, of kind {kind}",
                    "Take one of the kinds categorical, numeric, path or list.",
                )
        return self

    @field_validator("repeat", mode="before")
    @classmethod
    def _short_repeat(cls, value: Any) -> Any:
        return {"rule": value} if isinstance(value, str) else value

    def for_step(self, step: str) -> str:
        """The sections that `step` reads, as canonical JSON: a pipeline parameter."""
        if step not in STEP_SECTIONS:
            raise unknown("a step", step, STEP_SECTIONS)
        wanted = {name: STEP_KEYS.get((step, name), True) for name in STEP_SECTIONS[step]}
        sections = self.model_dump(mode="json", include=wanted)
        return json.dumps(sections, sort_keys=True, ensure_ascii=False)


# Which sections each step reads. A step that needs to know more takes it from the artifacts of the steps before it.
STEP_SECTIONS: dict[str, tuple[str, ...]] = {
    "ingest": ("name", "data", "columns", "ingest", "split"),
    "build_features": ("name", "columns", "objectives", "repeat", "split", "build_features"),
    "train_two_tower": ("train_two_tower",),
    "load_index": ("load_index",),
    "train_ranker": ("train_ranker",),
    "evaluate": ("evaluate", "deploy"),
    "package_release": ("name", "deploy"),
    "deploy": ("load_index", "rollout"),
}

# Where a step reads not all of a section, the keys that it does.
STEP_KEYS: dict[tuple[str, str], set[str]] = {("ingest", "split"): {"protocol"}}


def parse_step_config(step: str, text: str) -> Any:
    """Reads what `DatasetConfig.for_step` wrote: an object with one attribute for each section of the step."""
    fields = {name: DatasetConfig.model_fields[name] for name in STEP_SECTIONS[step]}
    values: Mapping[str, Any] = json.loads(text)
    parsed = {
        name: field.annotation.model_validate(values[name])
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        else values[name]
        for name, field in fields.items()
    }
    return _Sections(**parsed)


def with_value(text: str, section: str, key: str, value: Any) -> str:
    """What `DatasetConfig.for_step` wrote, with one value replaced: a parameter overrides its config."""
    values = json.loads(text)
    values[section][key] = value
    return json.dumps(values, sort_keys=True, ensure_ascii=False)


class _Sections:
    def __init__(self, **sections: Any) -> None:
        self.__dict__.update(sections)


def parse_config(text: str, origin: str = "config") -> DatasetConfig:
    """Reads a dataset config from YAML `text`.

    Raises:
        SoukError: not YAML, an unknown key (the nearest known one is named), or a value out of range.
    """
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SoukError(f"{origin} to be YAML", str(error).replace("\n", " "), "Mend the line it names.") from error
    if not isinstance(values, dict):
        raise SoukError(f"{origin} to be a mapping of sections", type(values).__name__, "See docs/data.md.")
    try:
        return DatasetConfig.model_validate(values)
    except ValidationError as error:
        raise _explain(error, origin) from error


def load_config(path: str | Path, data: str = "") -> DatasetConfig:
    """Reads a dataset config file; relative paths in `data` become absolute.

    Args:
        path: the file.
        data: the folder or URL where relative paths start; "" for `data.folder`, relative to the file's own folder.
    """
    file = Path(path)
    if not file.is_file():
        raise SoukError("a dataset config file", str(path), "Write one with `souk init`, or use one of configs/.")
    config = parse_config(file.read_text(encoding="utf-8"), str(path))
    folder = data or config.data.folder
    base = folder if "://" in folder else str((Path() if data else file.parent) / folder)
    tables = {table: getattr(config.data, table) for table in ("events", "items", "users")}
    if data and not any(source and _relative(source.path) for source in tables.values()):
        raise SoukError("no --data", data, f"Every path in {path} is complete already.")
    for table, source in tables.items():
        if source is not None and "://" not in source.path:
            tables[table] = source.model_copy(update={"path": _beneath(base, source.path)})
    return config.model_copy(update={"data": Data(obtain=config.data.obtain, **tables)})


def _relative(path: str) -> bool:
    return "://" not in path and not Path(path).is_absolute()


def _beneath(base: str, path: str) -> str:
    """`path` within the folder or URL `base`, unless it is complete."""
    if "://" in base and _relative(path):
        return f"{base.rstrip('/')}/{path}"
    return str((Path() if "://" in base else Path(base)).joinpath(path).resolve())


def _explain(error: ValidationError, origin: str) -> SoukError:
    """The first problem in our own words; a wrong key names the nearest right one."""
    first = min(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    path = [str(part) for part in first["loc"]]
    where = ".".join(path)
    if first["type"] == "extra_forbidden":
        model: Any = DatasetConfig
        for part in path[:-1]:
            model = _model_at(model, part)
        known = model.model_fields if model else {}
        return unknown(f"{origin}: key {where}", path[-1], known)
    received = repr(first.get("input"))[:120]
    more = f" ({error.error_count() - 1} more problems)" if error.error_count() > 1 else ""
    return SoukError(f"{origin}: {where}: {first['msg']}", received + more, "See docs/data.md.")


def _model_at(model: Any, part: str) -> Any:
    field = model.model_fields.get(part) if model else None
    annotation = field.annotation if field else None
    options = (annotation, *getattr(annotation, "__args__", ()))
    return next((o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), None)
