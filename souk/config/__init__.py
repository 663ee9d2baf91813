"""The dataset config: one YAML file that says what the data is and what Souk is to do with it.

Every pipeline step gets only the sections that it reads (`DatasetConfig.for_step`), so that changing a value
reruns the steps that depend on it and no others.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, TypeAdapter, ValidationError, field_validator, model_validator

from souk.config.declared import check_caps, check_matches, check_minority, check_names, check_parity
from souk.config.objectives import Objective, Objectives
from souk.config.places import Deploy, LoadIndex, OnlineStore, Rollout
from souk.config.plugs import RESERVED, OwnRanker, OwnRetriever, written_short
from souk.config.problems import explain
from souk.config.repeat import Fatigue, Repeat
from souk.config.settings import (
    BuildFeatures,
    Evaluate,
    Ingest,
    Outliers,
    Rerank,
    Split,
    TrainRanker,
    TrainTwoTower,
)
from souk.config.tables import Columns, Data, Section, Source, spelled, template_parts
from souk.config.text import composed, read_text, sections, with_composed_names
from souk.errors import SoukError, unknown

__all__ = [
    "BuildFeatures",
    "Columns",
    "Data",
    "DatasetConfig",
    "Deploy",
    "Evaluate",
    "Fatigue",
    "Ingest",
    "LoadIndex",
    "Objective",
    "Objectives",
    "OnlineStore",
    "Outliers",
    "Repeat",
    "Rerank",
    "Rollout",
    "Section",
    "Source",
    "Split",
    "TrainRanker",
    "TrainTwoTower",
    "composed",
    "load_config",
    "parse_config",
    "parse_step_config",
    "template_parts",
    "with_value",
]

NAME = spelled("[a-z][a-z0-9_]*", "small letters, digits and _, the first a letter, as my_shop")


class DatasetConfig(Section):
    """The whole file. See `docs/data.md` for every key."""

    name: Annotated[str, NAME]
    data: Data
    columns: Columns = Columns()
    objectives: Objectives
    repeat: Repeat = Repeat()
    ingest: Ingest = Ingest()
    split: Split = Split()
    build_features: BuildFeatures = BuildFeatures()
    online_store: OnlineStore = OnlineStore()
    train_two_tower: TrainTwoTower = TrainTwoTower()
    load_index: LoadIndex = LoadIndex()
    train_ranker: TrainRanker = TrainRanker()
    retrievers: dict[Annotated[str, NAME], OwnRetriever] = Field(default={}, max_length=32)
    ranker: OwnRanker | None = None
    rerank: Rerank = Rerank()
    evaluate: Evaluate = Evaluate()
    deploy: Deploy = Deploy()
    rollout: Rollout = Rollout()

    @model_validator(mode="after")
    def _cluster_has_what_servers_share(self) -> DatasetConfig:
        self.rollout.check_index(self.load_index)
        self.rollout.check_store(self.online_store)
        return self

    @model_validator(mode="after")
    def _labels_of_two_kinds(self) -> DatasetConfig:
        self.objectives.check_carried("satisfied")  # not in the section, which releases of before have, too
        self.objectives.check_windows()
        self.objectives.check_order()
        return self

    @model_validator(mode="after")
    def _features_with_names_of_their_own(self) -> DatasetConfig:
        check_names(self.columns, self.data)  # not in the section, which releases of before have, too
        return self

    @model_validator(mode="after")
    def _columns_of_the_kinds_that_keys_ask_for(self) -> DatasetConfig:
        self.data.check_separators(self.columns)
        self.repeat.check(self.columns.items)
        check_parity(self.columns, self.evaluate.segment_parity)
        check_caps(self.columns, self.rerank.caps)
        check_matches(self.columns, self.build_features.matches if self.build_features.matches != "auto" else ())
        check_minority(self.columns, self.train_ranker.minority)
        return self

    @model_validator(mode="after")
    def _slate_that_can_be_asked_for(self) -> DatasetConfig:
        own, most = self.rerank.model_fields_set, self.deploy.max_slate_size
        sizes = {"rerank.slate": self.rerank.slate} if "slate" in own else {}  # the default is about whatever there is
        for key, given in (sizes | {"deploy.slate_size": self.deploy.slate_size}).items():
            if given > most:
                raise SoukError(
                    f"{key} to be at most deploy.max_slate_size, {most}",
                    str(given),
                    "Lower the one or raise the other: see docs/serving.md.",
                )
        return self

    @field_validator("retrievers", mode="before")
    @classmethod
    def _short_retrievers(cls, value: Any) -> Any:
        return {k: written_short(v) for k, v in value.items()} if isinstance(value, dict) else value

    @field_validator("ranker", mode="before")
    @classmethod
    def _short_ranker(cls, value: Any) -> Any:
        return written_short(value)

    @field_validator("retrievers")
    @classmethod
    def _names_of_their_own(cls, value: dict[str, OwnRetriever]) -> dict[str, OwnRetriever]:
        for name in value:
            if name in RESERVED:
                raise SoukError(f"a name of its own for the retriever {name}", "one that Souk uses", "Take another.")
        return value

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
    "ingest": ("name", "data", "columns", "objectives", "repeat", "ingest", "split"),
    "build_features": ("name", "columns", "objectives", "repeat", "split", "build_features", "online_store"),
    "train_two_tower": ("train_two_tower",),
    "load_index": ("load_index",),
    "train_ranker": ("train_ranker",),
    "evaluate": ("retrievers", "ranker", "rerank", "evaluate", "deploy"),
    "package_release": ("name", "retrievers", "ranker", "rerank", "deploy"),
    "deploy": ("online_store", "load_index", "rollout"),
}

# Where a step reads not all of a section, the keys that it does.
STEP_KEYS: dict[tuple[str, str], set[str]] = {
    ("ingest", "split"): {"protocol"},
    ("ingest", "objectives"): {"engaged"},  # what leave-last-out counts
    ("ingest", "repeat"): {"sold_once"},
}


def parse_step_config(step: str, text: str) -> Any:
    """Reads what `DatasetConfig.for_step` wrote: an object with one attribute for each section of the step."""
    fields = {name: DatasetConfig.model_fields[name] for name in STEP_SECTIONS[step]}
    values: Mapping[str, Any] = json.loads(text)
    parsed = {
        name: _section(field.annotation, values[name], STEP_KEYS.get((step, name))) for name, field in fields.items()
    }
    return _Sections(**parsed)


def with_value(text: str, section: str, key: str, value: Any) -> str:
    """What `DatasetConfig.for_step` wrote, with one value replaced: a parameter overrides its config."""
    values = json.loads(text)
    values[section][key] = value
    return json.dumps(values, sort_keys=True, ensure_ascii=False)


def _section(kind: Any, value: Any, keys: set[str] | None) -> Any:
    """A section, or an object with those of its `keys` alone."""
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return value
    if keys is None:
        return kind.model_validate(value)
    fields = {key: kind.model_fields[key] for key in keys}
    kinds: dict[str, Any] = {key: field.annotation for key, field in fields.items()}
    read = {key: TypeAdapter(kinds[key]).validate_python(value.get(key, fields[key].default)) for key in keys}
    return _Sections(**read)


class _Sections:
    def __init__(self, **sections: Any) -> None:
        self.__dict__.update(sections)


def parse_config(text: str, origin: str = "config") -> DatasetConfig:
    """Reads a dataset config from YAML `text`.

    Raises:
        SoukError: not YAML, an unknown key (the nearest known one is named), or a value out of range.
    """
    values = with_composed_names(sections(text, origin, "docs/data.md"))
    try:
        return DatasetConfig.model_validate(values)
    except ValidationError as error:
        raise explain(error, values, DatasetConfig, origin) from error
    except SoukError as error:
        raise SoukError(f"{origin}: {error.expected}", error.received, error.remedy) from error


def load_config(path: str | Path, data: str = "") -> DatasetConfig:
    """Reads a dataset config file; relative paths in `data` become absolute.

    Args:
        path: the file.
        data: the folder or URL where relative paths start; "" for `data.folder`, relative to the file's own folder.
    """
    file = Path(path)
    if not file.is_file():
        raise SoukError("a dataset config file", str(path), "Write one with `souk init`, or use one of configs/.")
    config = parse_config(read_text(file), str(path))
    folder = data or config.data.folder
    base = folder if "://" in folder else str((Path() if data else file.parent) / folder)
    tables = {table: getattr(config.data, table) for table in ("events", "items", "users")}
    if data and not any(source and _relative(source.path) for source in tables.values()):
        raise SoukError("no --data", data, f"Every path in {path} is complete already.")
    for table, source in tables.items():
        if source is not None and not source.path.strip():
            remedy = f"Write where the {table} are" + (", or take the table out." if table != "events" else ".")
            raise SoukError(f"{path}: data.{table}.path, a file or an address", repr(source.path), remedy)
        if source is not None and "://" not in source.path:
            tables[table] = source.model_copy(update={"path": _beneath(base, source.path)})
    log = config.data.event_log and _beneath(base, config.data.event_log)
    return config.model_copy(update={"data": Data(obtain=config.data.obtain, event_log=log, **tables)})


def _relative(path: str) -> bool:
    return "://" not in path and not Path(path).is_absolute()


def _beneath(base: str, path: str) -> str:
    """`path` within the folder or URL `base`, unless it is complete."""
    if "://" in base and _relative(path):
        return f"{base.rstrip('/')}/{path}"
    return str((Path() if "://" in base else Path(base)).joinpath(path).resolve())
