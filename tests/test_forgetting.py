"""Forgetting a person: what an ingest leaves of one who is gone from the files, and that docs/security.md names every
place of a workspace."""

import re
from pathlib import Path

import pytest

from souk.config import load_config
from souk.steps.ingest import ingest
from souk.workspace import Workspace

ROOT = Path(__file__).parents[1]
CONFIG = """
name: shop
data: {events: {path: events.csv, timestamp_unit: s}, users: {path: users.csv}}
columns: {events: {device: categorical}, users: {about: text, age: numeric}}
objectives: {engaged: {events: [click]}, satisfied: {events: [click]}}
"""
PERSON = "person-4711"


def ingest_users(folder: Path, run: str, users: list[str]) -> dict[str, float]:
    events = [
        f"e-{user}-{n},{user},i{n},click,{1_700_000_000 + n},s-{user},r-{user},web" for user in users for n in range(9)
    ]
    header = "event_id,user_id,item_id,event_type,timestamp,session_id,request_id,device"
    (folder / "events.csv").write_text("\n".join([header, *events, ""]))
    about = [f"{user},I am {user},{20 + n}" for n, user in enumerate(users)]
    (folder / "users.csv").write_text("\n".join(["user_id,about,age", *about, ""]))
    (folder / "shop.yaml").write_text(CONFIG)
    outputs = [str(folder / run / name) for name in ("tables", "quarantine", "report.html")]
    return ingest(load_config(folder / "shop.yaml").for_step("ingest"), "", str(folder / "ws"), *outputs)


@pytest.mark.slow  # imports TensorFlow Data Validation
def test_the_statistics_that_a_workspace_keeps_have_no_ids_of_users(tmp_path: Path) -> None:
    users = [f"u{n}" for n in range(20)]
    ingest_users(tmp_path, "1", [*users, PERSON])
    ingest_users(tmp_path, "2", users)
    kept = [path for path in Workspace(tmp_path / "ws").schemas.rglob("*") if path.is_file()]
    assert len([path for path in kept if path.suffix == ".pb"]) == 6  # of both windows, to be compared with
    assert not [path for path in kept if PERSON.encode() in path.read_bytes()]
    assert any(b"web" in path.read_bytes() for path in kept if path.suffix == ".pb")


def test_every_place_of_a_workspace_is_looked_at() -> None:
    architecture, security = ((ROOT / f"docs/{name}.md").read_text("utf-8") for name in ("architecture", "security"))
    rows = architecture.partition("## Workspace")[2].partition("###")[0]
    cells = re.findall(r"^\| (`[^|]+) \|", rows, re.M)
    places = {path.partition("/")[0] for cell in cells for path in re.findall(r"`([^`]+)`", cell)}
    root = Path("root")
    named = [getattr(Workspace(root), name) for name, what in vars(Workspace).items() if isinstance(what, property)]
    assert {path.relative_to(root).parts[0] for path in named} <= places
    told = security.partition("## Forgetting a person")[2].partition("\n## ")[0]
    assert not {place for place in places if not re.search(rf"`{re.escape(place)}[/`]", told)}
