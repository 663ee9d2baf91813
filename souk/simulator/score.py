"""What given slates are really worth, beside those of simple policies for the same users."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from souk.errors import SoukError
from souk.metrics import Interval, bootstrap, mean_by_user
from souk.outputs import lines_with
from souk.schema import DAY_MS
from souk.simulator.behaviour import odds
from souk.simulator.lifetime import SlateTruth, slate_truth
from souk.simulator.parameters import START
from souk.simulator.policies import draw_slates
from souk.simulator.truth import Truth

SAMPLES, SEED = 2_000, 0
MEASURES = tuple(field.name for field in fields(SlateTruth))
LINES = lines_with({"user_id", *MEASURES})  # a file of them
LONGEST = 200  # items of a slate
PAIRS = 500_000  # users times items that are looked at at once


@dataclass(frozen=True)
class GivenSlates:
    """Slates to score.

    Args:
        users: `[n]` int64.
        items: `[n, k]` int64, padded with -1.
    """

    users: np.ndarray
    items: np.ndarray


def read_slates(path: Path, truth: Truth) -> GivenSlates:
    """Reads JSON lines with `user_id` and `items` (ids, best first); other fields are passed over.

    Raises:
        SoukError: no such file, no slate, or a line that is none; it names the line.
    """
    users = {user: place for place, user in enumerate(truth.world.users.ids.tolist())}
    items = {item: place for place, item in enumerate(truth.world.items.ids.tolist())}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        remedy = "Name the output of `souk recommend`."
        raise SoukError(f"a file of slates at {path}", f"{type(error).__name__}: {error}", remedy) from error
    found = [
        _slate(line, f"{path}, line {number}", users, items) for number, line in enumerate(lines, 1) if line.strip()
    ]
    if not found:
        raise SoukError(f"slates in {path}", "an empty file", 'Write a line {"user_id": ..., "items": [...]} for each.')
    longest = max(len(slate) for _, slate in found)
    rows = np.full((len(found), longest), -1, np.int64)
    for row, (_, slate) in zip(rows, found, strict=True):
        row[: len(slate)] = slate
    return GivenSlates(np.array([user for user, _ in found]), rows)


def _slate(line: str, where: str, users: Mapping[str, int], items: Mapping[str, int]) -> tuple[int, list[int]]:
    try:
        values = json.loads(line)
    except ValueError as error:
        raise SoukError(f"JSON in {where}", line[:80], "One object a line.") from error
    if not isinstance(values, dict):
        raise SoukError(f"an object in {where}", line[:80], 'Write {"user_id": ..., "items": [...]}.')
    if "error" in values:
        raise SoukError(f"a slate in {where}", f"an error: {values['error']}"[:300], "Mend the request, and ask again.")
    user, ids = values.get("user_id"), values.get("items")
    if not isinstance(ids, list) or not 0 < len(ids) <= LONGEST:
        raise SoukError(
            f"a list of 1 to {LONGEST} item ids as items in {where}", f"{ids!r}"[:80], "See docs/simulator.md."
        )
    if not isinstance(user, str) or user not in users:
        raise SoukError(
            f"a user of the simulated marketplace in {where}", repr(user), "Ask for users of users.parquet."
        )
    strange = next((item for item in ids if not isinstance(item, str) or item not in items), None)
    if strange is not None:
        remedy = "Score slates of a release that was trained on its data."
        raise SoukError(f"items of the simulated marketplace in {where}", repr(strange), remedy)
    if len(set(ids)) != len(ids):
        raise SoukError(f"different items in {where}", "one of them twice", "A slate shows an item once.")
    return users[user], [items[item] for item in ids]


def score(truth: Truth, given: GivenSlates, time: int) -> SlateTruth:
    """What slates are worth at `time`, UTC epoch milliseconds; nothing happens on items that are withdrawn then.

    Raises:
        SoukError: a time outside the data, or an item that was created later.
    """
    row = truth.row(time)
    goods = truth.world.items
    shown = given.items[given.items >= 0]
    early = goods.created_at[shown] > time
    if early.any():
        item = goods.ids[shown[early][0]]
        remedy = "Score at the time of the requests: --at, or leave it out for the end of the data."
        raise SoukError(
            f"items that exist at {time}", f"{item}, created at {goods.created_at[shown[early][0]]}", remedy
        )
    times = np.full(len(given.users), time)
    return slate_truth(
        truth.world, given.users, given.items, times, truth.trust[row][given.users], offered(truth, time)
    )


def offered(truth: Truth, time: int) -> np.ndarray:
    """`[items]` bool: created, and not withdrawn, at `time`."""
    goods = truth.world.items
    return (goods.created_at <= time) & (goods.withdrawn_day > (time - START) // DAY_MS)


def simple_slates(truth: Truth, users: np.ndarray, k: int, time: int) -> dict[str, GivenSlates]:
    """Slates to compare with: drawn at random, the most clicked items, and two that only the truth can tell.

    `most clicks` and `most satisfaction` order items by the true probability of a click, or of a kept purchase, of an
    item that is looked at. With the position-based model no slate has more of either.

    Args:
        truth: the marketplace.
        users: `[n]` int64.
        k: items of a slate; cut to what is on offer.
        time: UTC epoch milliseconds.
    """
    pool = np.flatnonzero(offered(truth, time))
    k = min(k, len(pool))
    drawn = pool[draw_slates(np.random.default_rng(SEED), len(pool), len(users), k)]
    slates = {"random": drawn}
    popular = truth.popular[truth.row(time)]
    if k <= len(popular):  # the truth keeps no more of them, and a shorter slate is no fair comparison
        slates["popular"] = np.tile(popular[:k], (len(users), 1))
    slates |= {"most clicks": np.empty_like(drawn), "most satisfaction": np.empty_like(drawn)}
    chunk = max(1, PAIRS // len(pool))
    for start in range(0, len(users), chunk):
        rows = slice(start, start + chunk)
        everything = np.tile(pool, (len(users[rows]), 1))
        chances = odds(truth.world, users[rows], everything, np.full(len(users[rows]), time))
        for name, worth in (("most clicks", chances.click), ("most satisfaction", chances.kept)):
            slates[name][rows] = pool[np.argsort(-worth, axis=1, kind="stable")[:, :k]]
    return {name: GivenSlates(users, items) for name, items in slates.items()}


def means(users: np.ndarray, values: SlateTruth) -> dict[str, Interval]:
    """The mean over users of each measure, with a 95% interval (percentile bootstrap over users)."""
    _, index = np.unique(users, return_inverse=True)
    by_user = {name: mean_by_user(getattr(values, name), index, int(index.max()) + 1) for name in MEASURES}
    return {name: bootstrap(own, SAMPLES, SEED) for name, own in by_user.items()}


def differences(given: GivenSlates, first: SlateTruth, other: GivenSlates, second: SlateTruth) -> dict[str, Interval]:
    """The paired differences, first minus second, of two files for the same users in the same order.

    Raises:
        SoukError: they are for others.
    """
    if not np.array_equal(given.users, other.users):
        received = f"{len(given.users)} and {len(other.users)} lines, for different users"
        raise SoukError("two files of slates for the same users, in the same order", received, "Use the same requests.")
    gaps = {name: getattr(first, name) - getattr(second, name) for name in MEASURES}
    return means(given.users, SlateTruth(**gaps))


def lines(truth: Truth, given: GivenSlates, values: SlateTruth) -> Iterable[str]:
    """One JSON object a slate, in order."""
    users = truth.world.users.ids[given.users].tolist()
    columns = [getattr(values, name).tolist() for name in MEASURES]
    for user, *numbers in zip(users, *columns, strict=True):
        record: dict[str, Any] = {"user_id": user, **dict(zip(MEASURES, numbers, strict=True))}
        yield json.dumps(record)


def table(rows: Mapping[str, Mapping[str, Interval]]) -> str:
    """Means and intervals as text, a line a row."""
    header = ["", *(name.replace("_", " ") for name in MEASURES)]
    cells = [header, *([name, *(_interval(row[m]) for m in MEASURES)] for name, row in rows.items())]
    widths = [max(len(line[column]) for line in cells) for column in range(len(header))]
    return "\n".join(_line(line, widths) for line in cells)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    rest = (cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))
    return "  ".join([cells[0].ljust(widths[0]), *rest])


def _interval(value: Interval) -> str:
    return f"{value.mean:.4f} [{value.low:.4f}, {value.high:.4f}]"
