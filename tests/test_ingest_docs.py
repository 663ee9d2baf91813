"""docs/data.md names every key of the config with its default, every column and every reason."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from souk.config import DatasetConfig, Objectives, load_config
from souk.errors import SoukError
from souk.ingest.faults import Reason
from souk.readers import find_files, fingerprint
from souk.schema import TABLES, Kind

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs/data.md").read_text("utf-8")


def models(model: Any) -> list[type[BaseModel]]:
    """The sections below `model`, and itself."""
    found = [model]
    for field in model.model_fields.values():
        for option in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(option, type) and issubclass(option, BaseModel):
                found += models(option)
    return found


@pytest.mark.parametrize("model", list(dict.fromkeys(models(DatasetConfig))), ids=lambda model: model.__name__)
def test_every_key_is_named(model: type[BaseModel]) -> None:
    for name in model.model_fields:
        assert re.search(rf"\b{name}\b", TEXT), f"{model.__name__}.{name}"


def test_the_defaults_of_the_tuning_sections() -> None:
    for section in (
        "split",
        "build_features",
        "train_two_tower",
        "load_index",
        "train_ranker",
        "evaluate",
        "deploy",
        "rollout",
    ):
        line = next(line for line in TEXT.splitlines() if line.startswith(f"| {section} |"))
        for name, field in DatasetConfig.model_fields[section].annotation.model_fields.items():  # type: ignore[union-attr]
            shown = re.search(rf"\b{name} \((.*?)(: |\))", line)
            assert shown, f"{section}.{name}"
            default = list(field.default) if isinstance(field.default, tuple) else field.default
            assert yaml.safe_load(shown[1]) == default, f"{section}.{name}"


def test_every_column_kind_and_reason_is_named() -> None:
    for name in [column.name for table in TABLES.values() for column in table] + [*Kind, *Reason]:
        assert re.search(rf"(\b|\*){name}(\b|\*)", TEXT), name


def test_the_objectives_shown_are_valid() -> None:
    block = next(b for b in re.findall(r"```yaml\n(.*?)```", TEXT, re.S) if b.startswith("objectives:"))
    shown = list(yaml.safe_load_all(block))
    assert len(shown) == 5
    for each in shown:
        Objectives.model_validate(each["objectives"])


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_each_config_is_valid_and_explained(path: Path) -> None:
    assert load_config(path).name == path.stem
    text = path.read_text("utf-8")
    assert text.startswith("# ")
    assert f"souk run --config configs/{path.name}" in text or f"make run DATASET={path.stem}" in text
    assert f"(../configs/{path.name})" in TEXT or path.stem == "simulated"


def test_what_is_said_of_storage_that_cannot_be_read_is_in_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(bucket: str) -> str:
        raise OSError("AWS Error NETWORK_CONNECTION")

    monkeypatch.setattr("pyarrow.fs.resolve_s3_region", away)
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    told = re.findall(r"^\| `((?:a driver for|files at) \w+://)\.\.\.` \|", TEXT, re.M)
    assert len(told) == 2
    for message in told:
        with pytest.raises(SoukError, match=re.escape(message)):
            find_files(message.split()[-1] + "shop/events.csv")


def test_the_folder_of_the_data_can_be_named(tmp_path: Path) -> None:
    path = ROOT / "configs/online_retail.yaml"
    assert load_config(path).data.events.path == str(ROOT / "data/online_retail/online_retail.*")
    assert load_config(path, str(tmp_path)).data.users.path == f"{tmp_path}/online_retail.*"  # type: ignore[union-attr]
    assert load_config(path, "s3://bucket/x/").data.items.path == "s3://bucket/x/online_retail.*"  # type: ignore[union-attr]
    with pytest.raises(SoukError, match="Every path"):
        load_config(ROOT / "configs/complete_journey.yaml", str(tmp_path))
    config = load_config(path, str(tmp_path)).data
    with pytest.raises(SoukError, match="--data DIR"):
        fingerprint(config)
