"""Requests as rows: from records of the impression log, and from the bodies that KServe's payload logger copies.

A body of a request carries the context only, and one of a response the scores only, so their rows have these columns
and no others: an absent column is not a missing value. So it is with scores that tell nothing of the release: those of
a slate that no model scored, of an experiment's arm, which may weigh and re-rank otherwise than the release, and of a
part of the catalogue, whose best are worse than those of the whole, which the reference has. A body of a response does
not tell the last ones: its request does.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from souk.drift.columns import Cell, fill
from souk.drift.reference import Reference
from souk.errors import SoukError
from souk.experiments import arms_of
from souk.monitored import SCORE, item_scores, score_columns, slate_scores
from souk.schema import SECONDS

Kind = Literal["record", "request", "response"]
NARROWED = "narrowed"  # a cell beside those of the columns: the call asks for a part of the catalogue
LATEST = 1000 * SECONDS.stop  # a time of later is none, or not in milliseconds


@dataclass(frozen=True)
class Row:
    """One request, as far as its source tells.

    Args:
        kind: its source.
        key: names it within its source, so that one that is sent twice counts once; "" where nothing names it. Of a
            request and its response it is the same.
        time: UTC epoch milliseconds.
        cells: by column name, and NARROWED of a request.
        malformed: cells of a wrong type; they count as missing.
    """

    kind: Kind
    key: str
    time: int
    cells: Mapping[str, Cell]
    malformed: int


class RowReader:
    """Reads rows for the columns of one release.

    Args:
        reference: the release's.

    Attributes:
        release: its name.
    """

    def __init__(self, reference: Reference) -> None:
        self.release = reference.release
        self._columns, self._spec = reference.columns, reference.spec
        self._context = {feature.source: feature.name for feature in reference.spec.context}

    @property
    def objectives(self) -> tuple[str, ...]:
        """Whose probabilities a record has."""
        return self._spec.objectives.names

    def records(self, records: Sequence[Any], now: int) -> tuple[list[Row], int]:
        """Rows of impression records, and how many records are of another release.

        Records without any feature are of answers that no model was asked for, such as similar items: they say nothing.

        Args:
            records: with `features` (an object, or its JSON), `scores`, and as far as known `request` (the same),
                `release`, `arm`, `request_id`, `answered_at`, and the probabilities of each objective by its name.
            now: the time of a record that has none, UTC epoch milliseconds.

        Raises:
            SoukError: one of them is no impression record.
        """
        ours = [r for r in records if not isinstance(r, dict) or r.get("release") in (None, self.release)]
        rows = [self._record(record, now) for record in ours]
        return [row for row in rows if row], len(records) - len(ours)

    def request(self, body: Any, key: str, now: int) -> list[Row]:
        """Rows of the body of a V1 call: a row for each instance, with the columns of its context, if there are any.

        One for a part of the catalogue has NARROWED. One that asks for similar items has none: no model is asked.
        """
        rows = []
        for number, instance in enumerate(_list(body, "instances")):
            asked = _object(instance, f"instances[{number}]")
            given = _object(asked.get("context") or {}, f"instances[{number}].context")
            features = {name: given.get(source) for source, name in self._context.items()}
            if not asked.get("item_id") or asked.get("user_id") or asked.get("events"):
                row = self._row("request", f"{key}/{number}" if key else "", now, features)
                rows.append(replace(row, cells={**row.cells, NARROWED: 1.0}) if _narrowed(asked) else row)
        return [row for row in rows if row.cells]

    def response(self, body: Any, key: str, now: int) -> tuple[list[Row], int]:
        """Rows of the body of a V1 answer, one a slate, with its scores; and how many slates are of another release.

        A slate that no model scored has none: it is of similar items, or the ranker did not answer.
        """
        rows = []
        slates = [_object(slate, f"predictions[{n}]") for n, slate in enumerate(_list(body, "predictions"))]
        ours = {n: slate for n, slate in enumerate(slates) if slate.get("release") in (None, self.release)}
        for number, slate in ours.items():
            try:
                values = item_scores(slate["items"], self._spec)
                scores = slate_scores(values, self._spec)
            except (KeyError, TypeError) as error:
                raise _no("a slate with items and their scores", slate, f"predictions[{number}]") from error
            if self._scored(values):
                scores = {} if _in_arm(slate) else scores
                rows.append(self._row("response", f"{key}/{number}" if key else _key(slate), now, scores))
        return rows, len(slates) - len(ours)

    def _record(self, record: Any, now: int) -> Row | None:
        values = _object(record, "a record")
        features = values.get("features")
        try:
            features = json.loads(features) if isinstance(features, str) else features
            asked = values.get("request")
            asked = json.loads(asked) if isinstance(asked, str) else asked
            columns = {name: values.get(name) or () for name in self._spec.objectives.names}
            scores = slate_scores({SCORE: values["scores"], **columns}, self._spec)
            scores = scores if self._scored(columns) and not _in_arm(values) and not _narrowed(asked) else {}
        except (ValueError, KeyError, TypeError, RecursionError) as error:  # of a text with brackets beyond measure
            raise _no("an impression record with features and scores", record, "a record") from error
        if not isinstance(features, dict):
            raise _no("an impression record with features and scores", record, "a record")
        if not features:
            return None
        lacking = {c.feature for c in self._columns} - features.keys() - score_columns(self._spec).keys()
        if lacking:
            raise SoukError(
                "an impression record with every feature of its release",
                f"one without {', '.join(sorted(lacking))}",
                "Send records as souk serve writes them.",
            )
        given = values.get("answered_at")
        time = given if type(given) is int and 0 <= given < LATEST else now
        row = self._row("record", _key(values), time, features | scores)
        return row if given is None or time is given else replace(row, malformed=row.malformed + 1)

    def _scored(self, values: Mapping[str, Sequence[float | None]]) -> bool:
        """Whether a model gave any item of a slate a probability."""
        return any(value is not None for name in self.objectives for value in values[name])

    def _row(self, kind: Kind, key: str, time: int, features: Mapping[str, Any]) -> Row:
        cells, malformed = fill(self._columns, features)
        return Row(kind, key, time, cells, malformed)


def _key(answer: Mapping[str, Any]) -> str:
    """What names an answer; "" where nothing does. What is no text or number is nothing: it may be nested too deep."""
    key = answer.get("request_id")
    return str(key or "") if isinstance(key, str | int) else ""


def _in_arm(answer: Mapping[str, Any]) -> bool:
    """Whether an answer is of an experiment's arm; nothing in it tells what that changes."""
    arm = answer.get("arm")
    return isinstance(arm, str) and bool(arms_of(arm))


def _narrowed(asked: Any) -> bool:
    """Whether a call asks for a part of the catalogue."""
    return isinstance(asked, dict) and bool(asked.get("filter") or asked.get("candidates"))


def _list(body: Any, name: str) -> Iterable[Any]:
    values = _object(body, "the body").get(name)
    if not isinstance(values, list):
        raise _no(f"a body with {name}, a list", body, "the body")
    return values


def _object(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _no(f"{where} to be an object", value, where)
    return value


def _no(expected: str, received: Any, where: str) -> SoukError:
    """The error for a wrong value; it names keys and types only, never what they hold."""
    keys = ", ".join(sorted(map(str, received))[:8]) if isinstance(received, dict) else type(received).__name__
    return SoukError(expected, f"{where} with {keys or 'nothing'}"[:200], "See docs/drift.md.")
