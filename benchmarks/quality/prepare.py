"""Data sources and configs for Souk of the data sets that papers report, and their tables and features."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from souk.errors import SoukError, unknown
from souk.readers.files import find_files

CONFIGS = Path(__file__).parents[2] / "configs"
DAY_MS = 86_400_000
EPOCH_MS = 1_000_000_000_000  # where the order of a file without times begins; the split counts it anew


def prepare(name: str, data: Path, output: Path) -> Path:
    """Writes what Souk reads of a data set.

    Args:
        name: of SOURCES.
        data: the folder of the raw files, where the data set is in no installed package.
        output: gets `config.yaml`, and Parquet files where the raw ones are of no form that Souk reads.

    Returns:
        The config.
    """
    if name not in SOURCES:
        raise unknown("a data set", name, SOURCES)
    output.mkdir(parents=True, exist_ok=True)
    values = SOURCES[name](data, output)
    path = output / "config.yaml"
    path.write_text(yaml.safe_dump({**values, "name": name}, sort_keys=False), encoding="utf-8")
    return path


def _last_out(values: dict[str, Any]) -> dict[str, Any]:
    return {**values, "split": {"protocol": "leave_last_out"}}


def _config(name: str, folder: Path | None = None) -> dict[str, Any]:
    """One of Souk's own configs, over `folder` where its data is no package's."""
    values: dict[str, Any] = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text(encoding="utf-8"))
    if folder is not None:
        values["data"]["folder"] = str(folder.resolve())
    return values


def _movielens_100k(data: Path, output: Path) -> dict[str, Any]:
    """With ids in the order of the file: three ratings in four share user and second with another, and papers keep it.

    Ids that Souk makes are in no order, and then another film is the last one of 28% of the users.
    """
    values = _config("movielens_100k")
    columns = ["user_id", "item_id", "value", "timestamp"]
    with find_files(values["data"]["events"]["path"])[0].open() as file:
        rows = pd.read_csv(file, sep="\t", names=columns, header=0, dtype=str)
    ids = pd.Series(range(len(rows))).astype(str).str.zfill(6)
    rows = rows.astype({"value": float, "timestamp": "int64"}).assign(event_id=ids, event_type="rating")
    rows.assign(timestamp=rows["timestamp"] * 1000).to_parquet(output / "events.parquet", index=False)
    values["data"]["events"] = {"path": str((output / "events.parquet").resolve())}
    return _last_out(values)


def _movielens_1m(data: Path, output: Path) -> dict[str, Any]:
    """From GroupLens' .dat files, or from SASRec's ml-1m.txt (user, item, in order) with movies and users beside it."""
    if (data / "ratings.dat").exists():
        return _last_out(_config("movielens_1m", data))
    events = pd.read_csv(_found(data, "ml-1m.txt", "ml-1m.txt.gz"), sep=" ", header=None, names=["user_id", "item_id"])
    _write_events(events.astype(str), "rating", output)
    movies = pd.read_parquet(_found(data, "movies.parquet")).dropna(subset="item")
    movies = movies.assign(item_id=movies["item"].astype(int).astype(str))
    movies[["item_id", "title", "genres"]].to_parquet(output / "items.parquet", index=False)
    people = pd.read_parquet(_found(data, "users.parquet"))
    people = people.assign(user_id=people["user"])[["user_id", "gender", "age", "occupation"]].astype(str)
    people.to_parquet(output / "users.parquet", index=False)
    values = _config("movielens_1m")
    tables = {"events": "events.parquet", "items": "items.parquet", "users": "users.parquet"}
    values["data"] = {table: {"path": file} for table, file in tables.items()}
    values["objectives"]["satisfied"] = {"events": ["rating"]}  # that file has no stars
    return _last_out(values)


def _beauty(data: Path, output: Path) -> dict[str, Any]:
    """From S3-Rec's Beauty.txt (a line per user: the user, and the items in order) and Beauty_item2attributes.json."""
    rows = []
    for line in _text(_found(data, "Beauty.txt", "Beauty.txt.gz")).splitlines():
        user, *items = line.split()
        rows += [(user, item) for item in items]
    _write_events(pd.DataFrame(rows, columns=["user_id", "item_id"]), "purchase", output)
    attributes = json.loads(_text(_found(data, "Beauty_item2attributes.json", "Beauty_item2attributes.json.gz")))
    words = [[str(value) for value in values] for values in attributes.values()]
    pd.DataFrame({"item_id": list(attributes), "attributes": words}).to_parquet(output / "items.parquet", index=False)
    return _last_out(
        {
            "data": {"events": {"path": "events.parquet"}, "items": {"path": "items.parquet"}},
            "columns": {"items": {"attributes": "list"}},
            "objectives": {"engaged": {"events": ["purchase"]}, "satisfied": {"events": ["purchase"]}},
            "repeat": "never",
        }
    )


def _online_retail(data: Path, output: Path) -> dict[str, Any]:
    return _config("online_retail", data)


def _complete_journey(data: Path, output: Path) -> dict[str, Any]:
    return _config("complete_journey")


SOURCES: dict[str, Callable[[Path, Path], dict[str, Any]]] = {
    "movielens_100k": _movielens_100k,
    "movielens_1m": _movielens_1m,
    "amazon_beauty": _beauty,
    "online_retail": _online_retail,
    "complete_journey": _complete_journey,
}


def _write_events(events: pd.DataFrame, kind: str, output: Path) -> None:
    """Adds to `user_id` and `item_id` [events], each user's in order, the times and ids that keep the order."""
    number = events.groupby("user_id").cumcount()
    names = events["user_id"].str.zfill(7) + "-" + number.astype(str).str.zfill(6)
    times = EPOCH_MS + number * DAY_MS
    events.assign(event_id=names, timestamp=times, event_type=kind).to_parquet(output / "events.parquet", index=False)


def _found(data: Path, *names: str) -> Path:
    for name in names:
        if (data / name).exists():
            return data / name
    raise SoukError(f"{' or '.join(names)} in {data}", "no such file", "Name the folder with --data.")


def _text(path: Path) -> str:
    raw = path.read_bytes()
    return (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8")
