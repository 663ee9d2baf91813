"""What is too long for one word of a command line: a step has all its parameters in one, and Linux takes 128 KiB."""

import json
import random
from pathlib import Path

import pytest

from souk.cli import main
from souk.cli.training import schema_parameter
from souk.errors import SoukError
from souk.ingest.packed import packed, unpacked
from souk.workspace import Workspace
from tests.test_cli import CONFIG

WORD = 100_000  # of 131,071: a step has other parameters too


def schema(*columns: list[str]) -> str:
    """The text of a schema whose columns list these values."""
    domains = ("\n".join(f'    value: "{value}"' for value in values) for values in columns)
    return "".join(
        f'feature {{\n  name: "column{n}"\n  type: BYTES\n  string_domain {{\n{domain}\n  }}\n}}\n'
        for n, domain in enumerate(domains)
    )


def unlike() -> str:
    """A schema that no packing helps: 100 columns of 100 values that say nothing of each other."""
    draw = random.Random(5)
    return schema(*([f"{draw.getrandbits(128):032x}" for _ in range(100)] for _ in range(100)))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "events.csv").write_text("user_id,item_id\nu1,i1\n", "utf-8")
    (tmp_path / "small.schema").mkdir()
    path = tmp_path / "small.yaml"
    path.write_text(CONFIG, "utf-8")
    return path


def test_the_schemas_of_a_shop_that_writes_cyrillic_fit(config: Path, tmp_path: Path) -> None:
    text = schema(*([f"Мебель для спальни {n} {column}" for n in range(100)] for column in range(12)))
    (tmp_path / "small.schema" / "items.pbtxt").write_text(text, "utf-8")
    given = schema_parameter(config, "small", Workspace(tmp_path / "ws"))
    assert len(json.dumps({"inputs": {"parameterValues": {"schema": given}}})) < WORD
    assert len(json.dumps(json.dumps({"items": text}))) > 131_071  # as it was handed on before
    assert unpacked(given) == {"items": text}


def test_what_is_packed_is_found_again_and_json_is_read_as_it_is() -> None:
    texts = {"items": 'Ночь "тиха" 你好 \\ \n', "events": ""}
    assert unpacked(packed(texts)) == texts
    assert unpacked(json.dumps(texts)) == texts
    assert unpacked("") == {}
    for neither in ("of nobody", "eJw=", '{"items": ', packed(texts)[:-8]):
        with pytest.raises(SoukError, match="packed schemas, or JSON"):
            unpacked(neither)


@pytest.mark.parametrize("command", [["run"], ["tune"], ["submit", "--host", "http://localhost:1"]])
def test_schemas_that_no_packing_helps_are_refused_before_the_first_step(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    (tmp_path / "small.schema" / "events.pbtxt").write_text(schema(["web"]), "utf-8")
    (tmp_path / "small.schema" / "items.pbtxt").write_text(unlike(), "utf-8")
    assert main([*command, "--config", str(config), "--workspace", str(tmp_path / "ws")]) == 2
    told = capsys.readouterr()
    assert f"most of them of {tmp_path}/small.schema/items.pbtxt" in told.err
    assert "Delete there string_domain" in told.err and "ingest" not in told.out


def test_an_edited_schema_of_the_workspace_is_named(config: Path, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "ws")
    for folder, text in ((workspace.schemas / "small", unlike()), (workspace.schemas / "small/.inferred", "inferred")):
        folder.mkdir(parents=True)
        (folder / "items.pbtxt").write_text(text, "utf-8")
    with pytest.raises(SoukError, match=r"ws/schemas/small/items\.pbtxt"):
        schema_parameter(config, "small", workspace)


@pytest.mark.parametrize("trials", ["1", "301", "many"])
def test_more_trials_than_one_step_can_be_told_of_are_refused(
    config: Path, capsys: pytest.CaptureFixture[str], trials: str
) -> None:
    with pytest.raises(SystemExit):
        main(["tune", "--config", str(config), "--trials", trials])
    assert f"from 2 to 300, received '{trials}'" in capsys.readouterr().err
