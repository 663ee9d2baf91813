"""What is true of a simulated marketplace, in files: everything that it takes to say what a slate is worth.

`truth/` beside the data holds `world.json` (constants, size, policy), `items.parquet`, `users.parquet`, `tastes.npy`
(`[2, users, leaves]` float32), `trust.npy` (`[days + 1, users]` uint8, levels as each day begins, and at the end),
`popular.npy` (`[days + 1, slate]` int64, the most clicked items on offer as each day begins) and `clicks.npy`
(`[items]` float64, faded clicks at the end).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from souk.errors import SoukError
from souk.schema import DAY_MS
from souk.simulator.behaviour import World
from souk.simulator.catalogue import Items
from souk.simulator.events import Numbers
from souk.simulator.parameters import START, Parameters
from souk.simulator.people import Users

FORMAT = 1
FOLDER = "truth"
FILES = ("world.json", "items.parquet", "users.parquet", "tastes.npy", "trust.npy", "popular.npy", "clicks.npy")


@dataclass(frozen=True)
class Course:
    """How far a marketplace has come.

    Args:
        seed: that made its users and items.
        first_day: of the data beside it, since the start.
        days: of that data.
        policy: that chose its slates.
        numbers: the next session and request.
        events: the number of the next event.
    """

    seed: int
    first_day: int
    days: int
    policy: str
    numbers: Numbers
    events: int

    @property
    def end_day(self) -> int:
        """One past the last day."""
        return self.first_day + self.days


@dataclass(frozen=True)
class Truth:
    """A marketplace and its course.

    Args:
        world: users, items and constants.
        course: how far it has come.
        trust: `[days + 1, users]` uint8.
        popular: `[days + 1, slate]` int64.
        clicks: `[items]` float64.
    """

    world: World
    course: Course
    trust: np.ndarray
    popular: np.ndarray
    clicks: np.ndarray

    def row(self, time: int) -> int:
        """The row of `trust` and `popular` that holds at `time`, UTC epoch milliseconds.

        Raises:
            SoukError: the data covers no such time.
        """
        first = START + self.course.first_day * DAY_MS
        last = START + self.course.end_day * DAY_MS
        if not first <= time <= last:
            raise SoukError(f"a time from {first} to {last}, UTC epoch milliseconds", f"{time}", "Leave out --at.")
        return (time - first) // DAY_MS

    @property
    def end(self) -> int:
        """The end of the data, UTC epoch milliseconds."""
        return START + self.course.end_day * DAY_MS


def write_truth(folder: Path, truth: Truth) -> None:
    """Writes the files of a truth folder; the same truth gives the same bytes."""
    folder.mkdir(parents=True)
    values = {
        "format": FORMAT,
        "parameters": truth.world.parameters.to_json(),
        "course": asdict(truth.course),
    }
    (folder / "world.json").write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    pq.write_table(_table(truth.world.items), folder / "items.parquet")
    pq.write_table(_table(truth.world.users), folder / "users.parquet")
    arrays = {
        "tastes": truth.world.users.tastes,
        "trust": truth.trust,
        "popular": truth.popular,
        "clicks": truth.clicks,
    }
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)


def read_truth(folder: Path) -> Truth:
    """Reads what `write_truth` wrote, given its folder or the one above it.

    Raises:
        SoukError: no such folder, or files of another kind.
    """
    place = folder / FOLDER if (folder / FOLDER).is_dir() else folder
    missing = [name for name in FILES if not (place / name).is_file()]
    if missing:
        remedy = "Name a folder that `souk simulate --output` wrote."
        raise SoukError(f"a simulated marketplace in {folder}", f"no {', '.join(missing)}", remedy)
    try:
        return _read(place)
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        received = f"{type(error).__name__}: {str(error).splitlines()[0][:200]}" if str(error) else type(error).__name__
        remedy = "Simulate it again with this version of Souk."
        raise SoukError(f"readable files of a simulated marketplace in {place}", received, remedy) from error


def _read(place: Path) -> Truth:
    values: Mapping[str, Any] = json.loads((place / "world.json").read_text(encoding="utf-8"))
    if values["format"] != FORMAT:
        raise ValueError(f"format {values['format']}, not {FORMAT}")
    names = ("tastes", "trust", "popular", "clicks")
    tastes, trust, popular, clicks = (np.load(place / f"{name}.npy", allow_pickle=False) for name in names)
    items = Items(**_arrays(place / "items.parquet", Items))
    users = Users(tastes=tastes, **_arrays(place / "users.parquet", Users))
    course = dict(values["course"])
    numbers = Numbers(**course.pop("numbers"))
    truth = Truth(
        World(Parameters.from_json(values["parameters"]), users, items),
        Course(numbers=numbers, **course),
        trust,
        popular,
        clicks,
    )
    if trust.shape != (truth.course.days + 1, len(users.ids)) or tastes.shape[1] != len(users.ids):
        raise ValueError(f"tastes {tastes.shape} and trust {trust.shape} for {len(users.ids)} users")
    return truth


def _table(columns: Items | Users) -> pa.Table:
    """The arrays of one dimension, by name."""
    named = {field.name: getattr(columns, field.name) for field in fields(columns)}
    return pa.table({n: _column(values) for n, values in named.items() if values.ndim == 1})


def _column(values: np.ndarray) -> pa.Array:
    return pa.array(values.tolist(), pa.string()) if values.dtype.kind == "U" else pa.array(values)


def _arrays(path: Path, kind: type[Items] | type[Users]) -> dict[str, np.ndarray]:
    table = pq.read_table(path)
    wanted = [field.name for field in fields(kind) if field.name != "tastes"]
    arrays = {name: table[name].to_numpy() for name in wanted}
    return {name: values.astype(str) if values.dtype == object else values for name, values in arrays.items()}
