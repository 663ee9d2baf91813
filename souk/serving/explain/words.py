"""An explanation as a shopkeeper reads it, and as JSON."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from souk.matches import MATCH
from souk.schema import DAY_MS
from souk.serving.explain.explanation import EventPart, Explanation
from souk.serving.explain.names import BESIDE, DONE, NAMES, OTHERS, TAKEN, UNKNOWN, UNLIKE, both, plain_name
from souk.serving.explain.why_not import WhyNot
from souk.serving.stated import UNKNOWN_VALUE

WHY_NOT = {
    WhyNot.UNAVAILABLE: "It is not shown to this user: it is not available, or not there yet.",
    WhyNot.WITHHELD: "It is not shown to this user: the request excludes it, or it is hidden, at hand, the user's own, "
    "or not to be repeated yet.",
    WhyNot.FILTERED: "It is not shown to this user: the filter of the request leaves it out.",
    WhyNot.NO_CANDIDATE: "It is not shown to this user: the candidates of the request are others.",
    WhyNot.SHOWN_OFTEN: "It was shown to this user often of late: it is in a slate only where nothing else is left.",
}
UNPROPOSED = "No source proposed it: a slate has it only where more are asked for, or too few are proposed."
SPAN = ((DAY_MS, "day"), (3_600_000, "hour"), (60_000, "minute"))
LEAST, MOST = 0.05, 3  # a reason has this share of all that counts, for the item or against; at most so many are told

MANY = 1000  # times a score is told exactly up to here
UNSURE = 0.05  # a gap of more is told


@dataclass(frozen=True)
class Reason:
    """One thing that speaks for an item, or against it: `contribution` is to the logarithm of the score."""

    text: str
    contribution: float


def sentences(explanation: Explanation) -> list[str]:
    """What made the score, most important first."""
    events, features = _of_items(explanation), _of_features(explanation)
    whole = sum(abs(reason.contribution) for reason in (*events, *features))
    said = [_opening(explanation)]
    if best := _told(events, whole):
        said.append(f"Because of {best}.")
    if best := _told(features, whole):
        said.append(f"What also speaks for it: {best}." if len(said) > 1 else f"What speaks for it: {best}.")
    if worst := _told([*events, *features], -whole):
        said.append(f"What speaks against it: {worst}.")
    return said + _notes(explanation)


def to_json(explanation: Explanation) -> dict[str, Any]:
    """The answer of `:explain`."""
    return {
        "user_id": explanation.user_id or None,
        "item_id": explanation.item_id,
        "title": explanation.title,
        "release": explanation.release,
        "position": explanation.place,
        "position_by_score": explanation.place_by_score,
        "source": explanation.source,
        "score": math.exp(explanation.log_score),
        "baseline": math.exp(explanation.log_baseline),
        "log_score": explanation.log_score,
        "log_baseline": explanation.log_baseline,
        "sentences": sentences(explanation),
        "events": [
            {
                "item_id": part.event.item_id,
                "title": part.title,
                "event_type": str(part.event.event_type),
                "timestamp": part.event.timestamp,
                "contribution": part.contribution,
            }
            for part in explanation.events
        ],
        "features": [
            {
                "name": part.name,
                "meaning": plain_name(part.name),
                "value": part.value,
                "contribution": part.contribution,
            }
            for part in explanation.features
        ],
        "completeness_gap": explanation.gap,
        "completeness_share": explanation.share,
        "steps": explanation.steps,
        "degraded": list(explanation.degraded),
    }


def ago(milliseconds: int) -> str:
    """`3 days ago`; the largest unit that it fills."""
    for size, unit in SPAN:
        if milliseconds >= size:
            count = milliseconds // size
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


def _opening(explanation: Explanation) -> str:
    factor = math.exp(min(explanation.way, 50.0))
    number = f"{factor:.2g}" if factor < 100 else f"{factor:.0f}" if factor < MANY else f"more than {MANY:,}"
    name = _names(explanation)[explanation.item_id]
    known = "the user, the history and the moment"
    much = "as much as" if number == "1" else f"{number} times what"
    said = f"{name} scores {much} it would if nothing were known of {known}"
    if any(part.contribution and part.name.startswith(f"{MATCH}:") for part in explanation.features):
        said += ", and it had as much in common with the user as the mean candidate"
    return f"{said}."


def _names(explanation: Explanation) -> dict[str, str]:
    """What items are called, by id: the title, and the id where there is none, or where another item has the same."""
    titles = {part.event.item_id: part.title for part in explanation.events}
    titles[explanation.item_id] = explanation.title
    having = Counter(titles.values())
    return {
        item: f"“{title or item}”" + (f" {item}" if title and having[title] > 1 else "")
        for item, title in titles.items()
    }


def _of_items(explanation: Explanation) -> list[Reason]:
    """Events by item: one that was clicked and bought is one reason."""
    grouped: dict[str, list[EventPart]] = {}
    for part in explanation.events:
        grouped.setdefault(part.event.item_id, []).append(part)
    found, names = [], _names(explanation)
    for item, parts in grouped.items():
        last = parts[-1].event
        done = DONE.get(str(last.event_type), str(last.event_type))
        often = f"{len(parts)} events, last {done} " if len(parts) > 1 else f"{done} "
        text = f"{names[item]} ({often}{ago(explanation.timestamp - last.timestamp)}"
        found.append(Reason(text, sum(part.contribution for part in parts)))
    return found


def _of_features(explanation: Explanation) -> list[Reason]:
    """Features by meaning: a value and the place by it are one reason, and so are those of one name."""
    found: dict[str, float] = {}
    beside = {part.name: part.beside for part in explanation.features}
    for part in explanation.features:
        stem = part.name.removesuffix("_rank")
        name = _compared(stem, beside) or plain_name(stem if stem in NAMES else part.name)
        if part.name.startswith(f"{MATCH}:"):
            text = UNKNOWN if part.value is None else UNLIKE
            name = f"{name}: {', '.join(part.value)}" if part.value else text.format(*both(part.name))
        found[name] = found.get(name, 0.0) + part.contribution
    return [Reason(f"{name} (", contribution) for name, contribution in found.items()]


def _compared(name: str, beside: Mapping[str, int]) -> str:
    """In which direction the item is off the mean candidate: without it, a reason against an item that everybody
    chooses would read as if nobody did. "" for what is not compared."""
    others, sign = {beside.get(other, 0) for other in OTHERS} - {0}, beside.get(name, 0)
    text = BESIDE.get(name, "") if sign else ""
    if name in OTHERS and len(others) == 1:
        text, (sign,) = TAKEN, others
    return text.format("more" if sign > 0 else "less")


def _told(reasons: Sequence[Reason], whole: float) -> str:
    """The greatest of those with the sign of `whole`, each with its share of all that counts."""
    if not whole:
        return ""
    best = sorted(((reason.contribution / whole, reason.text) for reason in reasons), key=lambda pair: -pair[0])
    told = [f"{text}{'' if text.endswith('(') else ', '}{share:.0%})" for share, text in best[:MOST] if share >= LEAST]
    return told[0] if len(told) == 1 else f"{', '.join(told[:-1])} and {told[-1]}" if told else ""


def _lacking(degraded: Sequence[str]) -> list[str]:
    """What was not known of the user and the moment."""
    notes = []
    if "unknown_user" in degraded:
        notes.append("This user is not known: that, the moment, what the request says and the item itself count.")
    elif "features_unavailable" in degraded:
        notes.append("The user's history could not be read: only the request itself and the item count.")
    elif "stale_features" in degraded:
        notes.append("What is known of the user was written long ago: what was done since does not count.")
    new = ", ".join(each.removeprefix(UNKNOWN_VALUE) for each in degraded if each.startswith(UNKNOWN_VALUE))
    if new:
        notes.append(f"The models never saw what the request says of {new}: it counts as an unknown value.")
    if "forgotten_events" in degraded:
        notes.append("The user's state does not keep all that was done before this moment: the rest does not count.")
    return notes


def _notes(explanation: Explanation) -> list[str]:
    notes = _lacking(explanation.degraded)
    if explanation.share > UNSURE:
        notes.append(
            "These parts do not add up to the score: something in the request is far from all that was learned."
        )
    if explanation.place != explanation.place_by_score:
        notes.append(
            f"By its score it would stand at place {(explanation.place_by_score or 0) + 1}: the rules for the slate as "
            f"a whole put it at place {(explanation.place or 0) + 1}."
        )
    if explanation.why_not is WhyNot.UNAVAILABLE and explanation.ended is not None:
        until = f"{datetime.fromtimestamp(explanation.ended / 1000, UTC):%Y-%m-%d %H:%M} UTC"
        notes.append(f"It is not shown to this user: it could be had until {until}.")
    elif explanation.why_not is not None:
        notes.append(WHY_NOT[explanation.why_not])
    elif explanation.place is None:
        notes.append(UNPROPOSED)
    return notes
